"""Runs in progress, how long they will take, and the list of all runs."""

from datetime import timedelta

import pytest
import time_machine

from etl_tasks.models import DeadLetter, ETLRun
from etl_tasks.selectors.nights import nights_until
from etl_tasks.selectors.runs import expected_seconds, in_progress, just_ended, matching_runs, oldest_open_letter, page_of_runs
from tests.etl_tasks.selectors.conftest import MORNING, NIGHT, AddRun, AddSource

TODAY = NIGHT.date()


def test_a_run_in_progress_has_the_end_that_earlier_runs_suggest(add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    for back, seconds in enumerate((100, 300, 200), start=1):
        add_run(source, at=NIGHT - timedelta(days=back), seconds=seconds)
    add_run(source, "failed", at=NIGHT - timedelta(hours=2), seconds=1)
    add_run(source, at=NIGHT - timedelta(hours=1), seconds=3000, full=True)
    run = add_run(source, "running", night=TODAY)
    [progress], count = in_progress()
    assert (progress.run, count) == (run, 1)
    assert progress.expected_end == NIGHT + timedelta(seconds=200)


def test_nothing_is_estimated_for_a_first_run_or_a_requested_range(add_source: AddSource, add_run: AddRun) -> None:
    first = add_source("first")
    ranged = add_source("ranged")
    add_run(first, "running")
    add_run(ranged, at=NIGHT - timedelta(days=1))
    add_run(ranged, "running", since="2026-01-01")
    assert [(progress.expected_seconds, progress.expected_end) for progress in in_progress()[0]] == [(None, None), (None, None)]


def test_a_queued_run_has_no_end_yet(add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    add_run(source, at=NIGHT - timedelta(days=1))
    add_run(source, "queued")
    [progress], _ = in_progress()
    assert (progress.expected_seconds, progress.expected_end) == (60, None)


def test_only_the_latest_runs_are_compared(add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    for back in range(12, 0, -1):
        add_run(source, at=NIGHT - timedelta(days=back), seconds=10_000 if back > 10 else 10)
    assert expected_seconds([source.pk]) == {source.pk: 10}


def test_running_runs_are_shown_before_queued_and_postponed_ones(add_source: AddSource, add_run: AddRun) -> None:
    for status in ("postponed", "queued", "running"):
        add_run(add_source(status), status)
    assert [progress.run.status for progress in in_progress()[0]] == ["running", "queued", "postponed"]


def test_runs_in_progress_take_as_many_queries_for_many_as_for_few(
    add_source: AddSource, add_run: AddRun, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    for count in (2, 60):
        for number in range(count):
            source = add_source(f"source-{count}-{number}")
            add_run(source, at=NIGHT - timedelta(days=1))
            add_run(source, "running")
        with django_assert_num_queries(4):  # type: ignore[operator]
            shown, total = in_progress()
        assert len(shown) == min(total, 50)
    assert total == 62


def test_a_run_that_ended_minutes_ago_has_just_ended(add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    add_run(source, at=NIGHT)
    late = add_run(source, at=MORNING - timedelta(minutes=10))
    assert just_ended(MORNING) == [late]


def test_the_oldest_open_letter_is_found(add_source: AddSource, add_run: AddRun) -> None:
    run = add_run(add_source("billing"))
    for key, at, state in (("a", NIGHT, "replayed"), ("b", MORNING, "open"), ("c", NIGHT + timedelta(hours=1), "open")):
        with time_machine.travel(at, tick=False):
            DeadLetter.objects.create(source=run.source, run=run, key=key, kind="record", stage="transform", error="", state=state)
    letter = oldest_open_letter()
    assert letter
    assert letter.key == "c"


def test_runs_are_found_by_source_status_night_and_trigger(add_source: AddSource, add_run: AddRun) -> None:
    billing, calls = add_source("billing"), add_source("calls")
    failed = add_run(billing, "failed", night=TODAY)
    older = add_run(calls, at=NIGHT - timedelta(days=1), night=TODAY - timedelta(days=1))
    by_hand = add_run(billing, at=MORNING)
    running = add_run(calls, "running", at=MORNING)
    night = nights_until(MORNING, [NIGHT], "UTC", count=1)[0]
    assert set(matching_runs(source="billing")) == {failed, by_hand}
    assert not matching_runs(source="no such source")
    assert set(matching_runs(status="failed")) == {failed}
    assert set(matching_runs(status="active")) == {running}
    assert set(matching_runs(night=night)) == {failed, by_hand, running}
    assert set(matching_runs(trigger="beat")) == {failed, older}


def test_pages_of_runs_lead_to_older_and_newer_ones(add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    one, two, three, four, five = (add_run(source, at=NIGHT + timedelta(hours=hour)).pk for hour in range(5))

    def ids(**position: int) -> tuple[list[int], int | None, int | None]:
        page = page_of_runs(ETLRun.objects.all(), limit=2, **position)
        return [run.pk for run in page.runs], page.older, page.newer

    assert ids() == ([five, four], four, None)
    assert ids(before=four) == ([three, two], two, three)
    assert ids(before=two) == ([one], None, one)
    assert ids(after=three) == ([five, four], four, None)
    assert ids(after=one) == ([three, two], two, three)
    assert page_of_runs(ETLRun.objects.none(), limit=2).runs == []


def test_the_list_takes_one_query(add_source: AddSource, add_run: AddRun, django_assert_num_queries: pytest.FixtureRequest) -> None:
    for number in range(5):
        add_run(add_source(f"source-{number}"))
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert [run.pipeline for run in page_of_runs(matching_runs()).runs]
