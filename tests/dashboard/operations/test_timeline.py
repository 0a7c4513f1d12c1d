"""What happened to a run, in the order of time."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.urls import reverse
from django_celery_results.models import TaskResult

from dashboard.operations.timeline import timeline
from etl_tasks import dead_letters
from etl_tasks.models import ETLRun
from etl_tasks.selectors import run_details
from tests.etl_tasks.selectors.conftest import NIGHT, AddRun, AddSource

pytestmark = pytest.mark.django_db


@pytest.fixture
def failed(add_source: AddSource, add_run: AddRun) -> ETLRun:
    """A run that failed a minute after its night began."""
    run = add_run(add_source("billing"), "running", night=NIGHT.date())
    with time_machine.travel(NIGHT + timedelta(minutes=1), tick=False):
        dead_letters.bury_stage(run.pk, "extract", "GitHub answered HTTP 502")
    run.refresh_from_db()
    return run


def result(run: ETLRun, status: str, *, minutes: float, task_id: str = "one", traceback: str = "", arguments: str = "") -> TaskResult:
    with time_machine.travel(NIGHT + timedelta(minutes=minutes), tick=False):
        return TaskResult.objects.create(
            task_id=task_id,
            task_name="etl.extract",
            task_args=arguments or f'"({run.pk},)"',
            status=status,
            worker="celery@web-1",
            traceback=traceback,
        )


def texts(run: ETLRun) -> list[str]:
    letters = run_details.notable_letters(run)
    audit_rows = run_details.audit_rows(run, [letter.pk for letter in letters])
    return [event.text for event in timeline(run, tasks=run_details.task_results(run), audit_rows=audit_rows, letters=letters)]


def test_the_events_of_a_failed_run_are_told_in_their_order(failed: ETLRun) -> None:
    result(failed, "FAILURE", minutes=0.9, traceback="Traceback…")
    letter = failed.dead_letters.get()
    with time_machine.travel(NIGHT + timedelta(minutes=5), tick=False):
        LogEntry.objects.create(
            user=User.objects.create_user("lead"),
            content_type=ContentType.objects.get_for_model(letter),
            object_id=str(letter.pk),
            object_repr=str(letter),
            action_flag=CHANGE,
            change_message="sent to a worker again",
        )
    assert texts(failed) == [
        "Queued by beat for the night",
        "Extract began",
        "Extract, celery@web-1: the task failed",
        "Extract ended after 1.0 min",
        "The run ended: failed",
        f"Dead letter {letter.pk}: GitHub answered HTTP 502",
        "lead: sent to a worker again",
    ]


def test_a_stage_that_ended_well_names_its_worker(add_source: AddSource, add_run: AddRun) -> None:
    run = add_run(add_source("billing"), seconds=30)
    result(run, "SUCCESS", minutes=0.5, task_id="worker")  # the task that claimed the stage
    assert texts(run) == ["Queued by a command", "Extract began", "Extract ended after 30 s, by celery@web-1", "The run ended: success"]


def test_tasks_that_were_sent_again_belong_to_the_run_and_others_do_not(failed: ETLRun) -> None:
    first = result(failed, "SUPERSEDED", minutes=0.2, task_id="first")
    second = result(failed, "FAILURE", minutes=0.9, task_id="second")
    result(failed, "SUCCESS", minutes=0.5, task_id="of another run", arguments='"(987654,)"')
    result(failed, "SUCCESS", minutes=600, task_id="much later")
    claimed = result(failed, "RETRY", minutes=900, task_id="claimed", arguments='"()"')
    ETLRun.objects.filter(pk=failed.pk).update(task_ids={"extract": "claimed"})
    failed.refresh_from_db()
    assert run_details.task_results(failed) == [first, second, claimed]


def test_only_who_may_see_task_results_sees_tracebacks(failed: ETLRun, viewer: Client, django_user_model: Any) -> None:
    result(failed, "FAILURE", minutes=0.9, traceback="Traceback (most recent call last): <b>")
    address = reverse("dashboard:run", args=[failed.pk])
    assert "Traceback (most recent call last): &lt;b&gt;" in viewer.get(address).content.decode()
    user = django_user_model.objects.get(username="viewer")
    user.groups.get().permissions.remove(*user.groups.get().permissions.filter(codename="view_taskresult"))
    assert "Traceback" not in viewer.get(address).content.decode()
