"""The grid of nights and sources."""

from datetime import UTC, date, datetime, timedelta

import pytest

from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.selectors.nights import grid, last_settled_due, nights_until, sources_by_urgency, stage_seconds
from tests.etl_tasks.selectors.conftest import MORNING, NIGHT, AddRun, AddSource

DUES = [NIGHT - timedelta(days=back) for back in range(30)]
TODAY = NIGHT.date()


def states(source: Source, *, moment: datetime = MORNING, count: int = 3) -> list[str]:
    nights = nights_until(moment, [due for due in DUES if due <= moment], "UTC", count=count)
    [(_, cells)] = grid([source], nights, moment)
    return [cell.state for cell in cells]


def test_the_latest_night_is_the_last_that_was_due() -> None:
    before = NIGHT - timedelta(minutes=30)
    nights = nights_until(before, [due for due in DUES if due <= before], "UTC", count=2)
    assert [night.day for night in nights] == [date(2026, 11, 25), date(2026, 11, 24)]
    assert (nights[0].begins, nights[1].ends) == (NIGHT - timedelta(days=1), NIGHT - timedelta(days=1))


def test_a_night_is_named_by_the_local_date() -> None:
    due = datetime(2026, 11, 25, 23, tzinfo=UTC)  # 00:00 in Madrid
    assert nights_until(due + timedelta(hours=8), [due], "Europe/Madrid", count=1)[0].day == date(2026, 11, 26)


def test_days_without_a_night_miss_nobody(add_source: AddSource) -> None:
    nights = nights_until(MORNING, [NIGHT, NIGHT - timedelta(days=2)], "UTC", count=3)
    assert [night.is_due for night in nights] == [True, False, True]
    [(_, cells)] = grid([add_source("billing")], nights, MORNING)
    assert [cell.state for cell in cells] == ["missing", "none", "missing"]


def test_without_a_schedule_runs_belong_to_the_day_on_which_they_were_created(add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    run = add_run(source, at=NIGHT - timedelta(days=1))
    nights = nights_until(MORNING, [], "UTC", count=2)
    [(_, cells)] = grid([source], nights, MORNING)
    assert [(cell.state, cell.run_id) for cell in cells] == [("none", None), ("success", run.pk)]
    assert last_settled_due(nights, MORNING) is None


@pytest.mark.parametrize("status", ["success", "partial", "failed", "cancelled", "postponed", "running", "queued"])
def test_a_cell_has_the_status_of_its_run(add_source: AddSource, add_run: AddRun, status: str) -> None:
    source = add_source("billing")
    add_run(source, status, night=TODAY)
    assert states(source) == [status, "missing", "missing"]


def test_a_cell_shows_the_latest_run_and_counts_all(add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    add_run(source, "failed", night=TODAY)
    repaired = add_run(source, at=MORNING - timedelta(minutes=30))
    add_run(source, at=NIGHT - timedelta(minutes=20))  # before the hour of the night, so it belongs to the night before
    add_run(source, "failed", at=MORNING - timedelta(minutes=20), since="2026-01-01", until="2026-02-01")  # a backfill
    nights = nights_until(MORNING, DUES, "UTC", count=2)
    [(_, cells)] = grid([source], nights, MORNING)
    assert [(cell.state, cell.run_count) for cell in cells] == [("success", 2), ("success", 1)]
    assert cells[0].run_id == repaired.pk


def test_a_run_between_two_nights_counts_only_if_it_succeeded(add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    night = add_run(source, "failed", night=TODAY)
    between = add_run(source, "failed", at=NIGHT + timedelta(hours=1))
    ETLRun.objects.filter(pk=between.pk).update(trigger="interval")
    nights = nights_until(MORNING, DUES, "UTC", count=1)
    assert grid([source], nights, MORNING)[0][1][0].run_id == night.pk
    ETLRun.objects.filter(pk=between.pk).update(status="success")
    assert grid([source], nights, MORNING)[0][1][0].run_id == between.pk


def test_a_run_is_missing_only_when_the_sweeper_has_had_time_to_start_it(add_source: AddSource) -> None:
    source = add_source("billing")
    assert states(source, moment=NIGHT + timedelta(minutes=9))[0] == "waiting"
    assert states(source, moment=NIGHT + timedelta(minutes=11))[0] == "missing"


def test_a_new_or_disabled_source_misses_no_night(add_source: AddSource) -> None:
    new, disabled = add_source("new"), add_source("disabled", is_enabled=False)
    new.created_at = NIGHT - timedelta(hours=2)
    assert states(new) == ["missing", "none", "none"]
    assert states(disabled) == ["none", "none", "none"]


def test_sources_with_problems_come_first(add_source: AddSource, add_run: AddRun) -> None:
    for name in ("good", "failed", "missing", "postponed", "partial", "running", "letters", "silent", "cancelled"):
        source = add_source(name)
        if name in ("good", "letters", "silent"):
            run = add_run(source, night=TODAY)
        elif name != "missing":
            run = add_run(source, name, night=TODAY)
        if name == "letters":
            DeadLetter.objects.create(source=source, run=run, key="record:1", kind="record", stage="transform", error="no date")
    Source.objects.filter(name="silent").update(host_silent_since=NIGHT)
    add_source("disabled", is_enabled=False)
    in_order = [source.name for source in sources_by_urgency(NIGHT)]
    assert in_order == ["cancelled", "failed", "missing", "silent", "postponed", "letters", "partial", "running", "good", "disabled"]
    assert [source.name for source in sources_by_urgency(NIGHT, shown="problems")] == in_order[:7]
    assert [source.name for source in sources_by_urgency(NIGHT, shown="running")] == ["postponed", "running"]
    assert [source.name for source in sources_by_urgency(NIGHT, shown="disabled")] == ["disabled"]
    assert [source.name for source in sources_by_urgency(NIGHT, search="LET")] == ["letters"]
    assert len(sources_by_urgency(NIGHT, search="sho")) == 10  # the service's name


def test_the_grid_takes_three_queries_whatever_the_number_of_sources(
    add_source: AddSource, add_run: AddRun, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    nights = nights_until(MORNING, DUES, "UTC")
    for count in (2, 20):
        for number in range(count):
            add_run(add_source(f"source-{count}-{number}"), night=TODAY)
        sources = list(sources_by_urgency(NIGHT))
        with django_assert_num_queries(3):  # type: ignore[operator]
            assert len(grid(sources, nights, MORNING)) == len(sources)


def test_the_time_in_each_stage_is_summed_over_the_runs_of_a_night(add_source: AddSource, add_run: AddRun) -> None:
    add_run(add_source("billing"), night=TODAY, seconds=60)
    add_run(add_source("calls"), night=TODAY, seconds=30)
    add_run(add_source("web"), at=NIGHT - timedelta(days=1), seconds=5)
    nights = nights_until(MORNING, DUES, "UTC", count=3)
    assert [spent["extract"] for spent in stage_seconds(nights)] == [pytest.approx(90, abs=0.001), pytest.approx(5, abs=0.001), 0]
    assert [spent["load"] for spent in stage_seconds(nights)] == [0, 0, 0]
