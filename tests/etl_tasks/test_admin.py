"""The admin: every list and detail page opens. Replay and discard need POST and write an audit row."""

from collections.abc import Iterator

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from dora_metrics.models import AlertRule, Attempt, Delivery, DORAMetric, Incident, Issue
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Source, StagedPage
from github_stand_in.worlds.world import World
from tests.shared_night import shared_night

pytestmark = pytest.mark.django_db
PAGES = (
    *("dora_metrics_service", "dora_metrics_deployment", "dora_metrics_change", "dora_metrics_workflowrun", "dora_metrics_dorametric"),
    *("dora_metrics_logdeployment", "dora_metrics_logtraffic"),
    *("dora_metrics_issue", "dora_metrics_release", "dora_metrics_attempt", "dora_metrics_delivery", "dora_metrics_incident"),
    *("dora_metrics_metricrevision", "dora_metrics_alertrule", "dora_metrics_alertepisode"),
    *("etl_tasks_source", "etl_tasks_etlrun", "etl_tasks_deadletter", "etl_tasks_cursor", "etl_tasks_stagedpage"),
    *("django_celery_beat_periodictask", "django_celery_results_taskresult"),
)


@pytest.fixture(scope="module")
def stored_night(django_db_setup: None, django_db_blocker: pytest.FixtureRequest, world: World) -> Iterator[ETLRun]:
    with shared_night(world, django_db_blocker, faults={"bad_record": "Deployments"}) as run:
        yield run


@pytest.fixture
def a_night(stored_night: ETLRun, db: None) -> ETLRun:
    return ETLRun.objects.get(pk=stored_night.pk)


@pytest.mark.parametrize("page", PAGES)
def test_every_list_opens(admin_client: Client, a_night: ETLRun, page: str) -> None:
    assert admin_client.get(reverse(f"admin:{page}_changelist")).status_code == 200


@pytest.mark.parametrize("model", [ETLRun, DeadLetter, Cursor, StagedPage, DORAMetric, Source, Attempt, Delivery, Incident, Issue, AlertRule])
def test_every_row_opens(admin_client: Client, a_night: ETLRun, model: type) -> None:
    row = model._default_manager.first()  # type: ignore[attr-defined]
    address = reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_change", args=[row.pk])  # type: ignore[attr-defined]
    assert admin_client.get(address).status_code == 200


def test_ledger_rows_cannot_be_changed_by_hand(admin_client: Client, a_night: ETLRun) -> None:
    assert admin_client.post(reverse("admin:etl_tasks_etlrun_change", args=[a_night.pk]), {"status": "success"}).status_code == 403
    assert admin_client.get(reverse("admin:etl_tasks_etlrun_add")).status_code == 403


def act(client: Client, action: str, letter: DeadLetter) -> str:
    form = {"action": action, "_selected_action": [letter.pk]}
    return client.post(reverse("admin:etl_tasks_deadletter_changelist"), form, follow=True).content.decode()


def test_a_letter_is_replayed_or_discarded_by_post_and_audited(admin_client: Client, a_night: ETLRun) -> None:
    letter = DeadLetter.objects.filter(kind="record").first()
    assert letter
    assert "stays open" in act(admin_client, "replay", letter)
    act(admin_client, "discard", letter)
    letter.refresh_from_db()
    assert (letter.state, letter.resolved_by) == ("discarded", "admin:admin")
    assert LogEntry.objects.get().change_message == "discarded"


def test_a_letter_is_left_alone_without_the_permission(client: Client, a_night: ETLRun) -> None:
    from django.contrib.auth.models import Permission

    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_deadletter"))
    client.force_login(viewer)
    letter = DeadLetter.objects.first()
    assert letter
    act(client, "discard", letter)
    letter.refresh_from_db()
    assert letter.state == "open"
