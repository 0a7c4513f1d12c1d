"""Whatever a message says, its task ends, says why, and changes no run but the one that it names; other messages are not held up.

FUZZ_EXAMPLES=3000 tries so many messages of each task.
"""

import logging
from typing import Any

import pytest
from celery import states
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from callcentersite.celery import app
from etl_tasks import ledger
from etl_tasks.models import DeadLetter, ETLRun, Source
from github_stand_in.server import StandIn
from tests.fuzzing import ODD_VALUES, examples

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
STAGES = ("etl.extract", "etl.transform", "etl.load")
app.loader.import_default_modules()
TASKS = sorted(name for name in app.tasks if name.startswith("etl."))
NO_ARGUMENTS = ("etl.nightly", "etl.sweep", "etl.delete", "etl.prune")
ENDED = {states.SUCCESS, states.FAILURE, states.IGNORED, "SUPERSEDED", "POSTPONED"}
GONE = 2**31 - 1  # the id of a row that was deleted


@pytest.fixture
def waiting(billing: Source, github: StandIn) -> ETLRun:
    """Return a run that waits for its message."""
    run = ledger.open_run(billing, trigger="shell")
    assert run
    return run


def ledger_rows() -> list[Any]:
    return [*ETLRun.objects.order_by("pk").values(), *DeadLetter.objects.order_by("pk").values()]


def test_all_tasks_are_tried() -> None:
    assert {*STAGES, *NO_ARGUMENTS, "etl.check", "etl.preview", "etl.recompute", "etl.replay", "etl.end_settled"} == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
@examples(15)
@given(data=st.data())
def test_a_message_that_makes_no_sense_ends_and_changes_nothing(
    waiting: ETLRun, sent_messages: Any, caplog: pytest.LogCaptureFixture, name: str, data: st.DataObject
) -> None:
    odd = [value for value in ODD_VALUES if type(value) is not int or value != waiting.pk]
    values = st.sampled_from([*odd, GONE, f"{waiting.pk}", waiting.pk + 0.5, [waiting.pk], {"run_id": waiting.pk}])
    least = 1 if name in NO_ARGUMENTS else 0
    arguments = data.draw(st.lists(values, min_size=least, max_size=6))
    names = st.sampled_from(("run_id", "source_id", "service_id", "letter_id", "by", "after", "path", "language", "self", "nothing"))
    keywords = data.draw(st.dictionaries(names, values, max_size=2))
    before, caplog.records[:] = ledger_rows(), []
    with transaction.atomic(), caplog.at_level(logging.ERROR):
        ended = app.tasks[name].apply(args=arguments, kwargs=keywords, throw=False)
        assert ended.state in ENDED
        assert ledger_rows() == before
        transaction.set_rollback(True)
    assert [record.getMessage() for record in caplog.records if "Signal handler" in record.getMessage()] == []


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_that_a_message_names_no_run(waiting: ETLRun, name: str) -> None:
    for arguments in (["x"], [None], [-1], [2**70], [1.5], [True], [f"{waiting.pk}"], [[waiting.pk]]):
        ended = app.tasks[name].apply(args=arguments, throw=False)
        assert ended.state == states.FAILURE, arguments
        assert "the message names no run" in str(ended.result)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.attempt) == ("queued", 0)
    assert not DeadLetter.objects.exists()


@pytest.mark.parametrize("name", STAGES)
def test_a_message_of_a_run_that_was_deleted_is_ignored(waiting: ETLRun, name: str) -> None:
    number = waiting.pk
    waiting.delete()
    assert app.tasks[name].apply(args=[number], throw=False).state in (states.IGNORED, "SUPERSEDED")
    assert not DeadLetter.objects.exists()


def test_a_stage_that_is_sent_by_its_parameter_s_name_fails_as_its_own_run(waiting: ETLRun, github: StandIn) -> None:
    github.faults = {"instead": "Survey", "answer": {"data": {"r0": None, "rateLimit": None}}}
    app.tasks["etl.extract"].apply(kwargs={"run_id": waiting.pk}, throw=False)
    waiting.refresh_from_db()
    assert waiting.status == "failed"
    assert DeadLetter.objects.get().run == waiting
