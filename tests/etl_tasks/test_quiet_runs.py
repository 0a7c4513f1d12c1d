"""A run between two nights that finds nothing new costs next to nothing and leaves nothing behind; one that finds something is like any other."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils.timezone import now
from django_celery_results.models import TaskResult

from dora_metrics.models import Coverage, Deployment, DORAMetric, Incident, MetricRevision
from etl_tasks import inline, ledger, overdue_sources, quiet_runs
from etl_tasks.loaders import metrics
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Source
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from log_store.opening import open_log_store
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, show, source_of, spent
from tests.etl_tasks.sources.github.test_changes_of_old_records import deploy
from tests.etl_tasks.test_stages import lines
from tests.tables import facts

pytestmark = pytest.mark.django_db
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOON = END + 11 * HOUR


@pytest.fixture
def logs(billing: Source, tmp_path: Path) -> Source:
    open_log_store().ensure_schema()
    (tmp_path / "app.log").write_text(lines(0, 30))
    return Source.objects.create(name=f"logs-{tmp_path.name}", service=billing.service, kind="logs", path=str(tmp_path / "*.log"), log_format="json")


@pytest.fixture
def recomputed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the runs that have recomputed metrics."""
    found: list[int] = []
    original = metrics.recompute

    def recompute(service: Any, *, run_id: int, **options: Any) -> int:
        found.append(run_id)
        return original(service, run_id=run_id, **options)

    monkeypatch.setattr(metrics, "recompute", recompute)
    return found


def run(source: Source, moment: Any, *, trigger: str = "interval", github: StandIn | None = None) -> ETLRun:
    """Run the source in this process at this moment."""
    if github:
        github.clock = moment
    with time_machine.travel(moment, tick=False):
        opened = ledger.open_run(source, trigger=trigger)
        assert opened
        inline.run_remaining_stages(opened.pk)
    opened.refresh_from_db()
    source.refresh_from_db()
    return opened


def collected(source: Source, moment: Any, github: StandIn) -> ETLRun:
    """Run two nights. After the first one, the source has its deployments, and the second one no longer reads what may stand in for them."""
    run(source, moment - MINUTE, trigger="beat", github=github)
    last = run(source, moment, trigger="beat", github=github)
    spent(github)
    return last


# --- GitHub -----------------------------------------------------------------------------------------------------------


def test_a_quiet_run_of_github_costs_one_point_and_changes_nothing_but_how_far_it_was_read(
    billing: Source, github: StandIn, recomputed: list[int]
) -> None:
    collected(billing, NOON, github)
    before = facts()
    quiet = run(billing, NOON + 15 * MINUTE, github=github)

    assert (quiet.status, quiet.extracted, quiet.is_quiet) == ("success", 0, True)
    assert spent(github)["points"] == 1
    assert facts() == before
    assert quiet.pk not in recomputed
    assert Coverage.objects.get(stream="pull_requests").until == NOON + 15 * MINUTE
    assert Cursor.objects.get(stream="repository").position["seen_at"] == (NOON + 15 * MINUTE).isoformat()


@pytest.mark.parametrize("deployments_from", ["releases", "workflows", "auto", "pulls"])
def test_every_source_of_deployments_has_quiet_runs(github: StandIn, deployments_from: str) -> None:
    source = source_of("acme/billing", deployments_from=deployments_from)
    collected(source, NOON, github)
    assert run(source, NOON + 15 * MINUTE, github=github).is_quiet
    assert spent(github)["points"] <= 2


def test_a_deployment_of_today_is_in_the_metrics_after_the_next_run(github: StandIn) -> None:
    world = World("acme/shop", end=END + DAY, days=30)
    commit = world.commit((), world.start, world.start, "ana")
    world.push(commit.oid, world.start)
    show(github, world)
    source = source_of("acme/shop", deployments_from="github")
    run(source, NOON, trigger="beat", github=github)
    today = {"metric": "deployment_frequency", "period": "day", "period_start": NOON.date()}
    assert DORAMetric.objects.get(**today).value == 0

    deploy(world, NOON + 5 * MINUTE, (NOON + 6 * MINUTE, "SUCCESS"))
    found = run(source, NOON + 15 * MINUTE, github=github)
    assert (found.status, found.is_quiet, found.loaded) == ("success", False, 1)
    assert (DORAMetric.objects.get(**today).value, DORAMetric.objects.get(**today).is_partial) == (1, True)


def test_the_first_run_of_a_new_day_recomputes_and_stays(billing: Source, github: StandIn, recomputed: list[int]) -> None:
    collected(billing, NOON, github)
    late = run(billing, END.replace(hour=23, minute=50), github=github)
    after_midnight = run(billing, END.replace(hour=0) + DAY + 5 * MINUTE, github=github)
    assert (late.is_quiet, late.pk in recomputed) == (True, False)
    assert (after_midnight.is_quiet, after_midnight.pk in recomputed) == (False, True)
    assert DORAMetric.objects.filter(run_id=after_midnight.pk).exists()


def test_a_day_that_is_not_over_in_the_business_s_zone_is_no_new_day(billing: Source, github: StandIn, settings: Any, recomputed: list[int]) -> None:
    settings.ETL_TIME_ZONE = "America/Mexico_City"
    collected(billing, END.replace(hour=23, minute=50), github)
    assert run(billing, END.replace(hour=0) + DAY + 5 * MINUTE, github=github).is_quiet


def test_a_renamed_repository_is_news(billing: Source, github: StandIn, world: World, recomputed: list[int]) -> None:
    run(billing, NOON, trigger="beat", github=github)
    Cursor.objects.filter(stream="repository").update(position={**Cursor.objects.get(stream="repository").position, "name": "acme/old"})
    found = run(billing, NOON + 15 * MINUTE, github=github)
    assert (found.is_quiet, found.pk in recomputed) == (False, True)


def test_a_changed_setting_of_the_service_applies_from_the_next_run(billing: Source, github: StandIn, recomputed: list[int]) -> None:
    collected(billing, NOON, github)
    billing.service.look_back_hours = 1
    billing.service.save()
    found = run(billing, NOON + 15 * MINUTE, github=github)
    assert (found.is_quiet, found.pk in recomputed) == (False, True)
    assert run(billing, NOON + 30 * MINUTE, github=github).is_quiet


def test_a_run_of_a_night_or_a_person_is_never_quiet(billing: Source, github: StandIn, recomputed: list[int]) -> None:
    for trigger in ("beat", "command", "beat"):
        found = run(billing, NOON, trigger=trigger, github=github)
        assert (found.is_quiet, found.pk in recomputed) == (False, True)


def test_a_record_that_github_did_not_return_is_left_to_the_nights(billing: Source, github: StandIn) -> None:
    last = collected(billing, NOON, github)
    node_id = Deployment.objects.latest("pk").node_id
    DeadLetter.objects.create(
        source=billing, run=last, key="lost", kind="lost", stage="transform", stream="deployments", data=f'{{"id": "{node_id}"}}', error="null"
    )
    assert run(billing, NOON + 15 * MINUTE, github=github).is_quiet
    assert spent(github)["points"] == 1
    run(billing, NOON + 30 * MINUTE, trigger="beat", github=github)
    assert spent(github)["points DeploymentsById"] == 1


# --- logs -------------------------------------------------------------------------------------------------------------


def test_log_files_without_new_lines_are_a_quiet_run_and_new_lines_are_stored(logs: Source, tmp_path: Path, recomputed: list[int]) -> None:
    run(logs, NOON, trigger="beat")
    quiet = run(logs, NOON + MINUTE)
    assert (quiet.is_quiet, quiet.pages.count(), quiet.pk in recomputed) == (True, 0, False)
    with (tmp_path / "app.log").open("a") as file:
        file.write(lines(30, 40))
    found = run(logs, NOON + 2 * MINUTE)
    assert (found.is_quiet, found.loaded) == (False, 10)


def test_a_file_that_still_cannot_be_read_is_nothing_new(logs: Source, tmp_path: Path) -> None:
    (tmp_path / "link.log").symlink_to("/nowhere")
    first = run(logs, NOON, trigger="beat")
    again = run(logs, NOON + MINUTE)
    assert (first.status, again.status, again.is_quiet) == ("partial", "partial", True)
    assert DeadLetter.objects.get().attempts == 2


def test_an_open_incident_of_the_logs_may_end_in_any_run(logs: Source, recomputed: list[int]) -> None:
    run(logs, NOON, trigger="beat")
    Incident.objects.create(service=logs.service, key="logs", started_at=NOON - HOUR, page_id=1, title="many errors")
    found = run(logs, NOON + MINUTE)
    assert (found.is_quiet, found.pk in recomputed) == (False, True)
    Incident.objects.all().delete()
    assert run(logs, NOON + 2 * MINUTE).is_quiet


# --- what is kept ------------------------------------------------------------------------------------------------------


def remaining() -> list[int]:
    quiet_runs.delete_superseded()
    return list(ETLRun.objects.order_by("pk").values_list("pk", flat=True))


def closed(source: Source, *, status: str = "success", is_quiet: bool = True) -> ETLRun:
    opened = ledger.open_run(source, trigger="interval")
    assert opened
    ledger.close(opened.pk, status)
    ETLRun.objects.filter(pk=opened.pk).update(is_quiet=is_quiet, task_ids={"load": f"task-{opened.pk}"})
    TaskResult.objects.create(task_id=f"task-{opened.pk}", status="SUCCESS")
    return opened


def test_of_quiet_runs_the_last_good_one_of_each_source_stays(billing: Source, logs: Source) -> None:
    of_billing = [closed(billing) for _ in range(3)]
    of_logs = [closed(logs) for _ in range(2)]
    assert remaining() == [of_billing[-1].pk, of_logs[-1].pk]
    assert set(TaskResult.objects.values_list("task_id", flat=True)) == {f"task-{of_billing[-1].pk}", f"task-{of_logs[-1].pk}"}


def test_a_quiet_run_stays_until_a_later_one_has_succeeded(billing: Source) -> None:
    quiet = closed(billing)
    failed = closed(billing, status="failed", is_quiet=False)
    active = ledger.open_run(billing, trigger="interval")
    assert active
    assert remaining() == [quiet.pk, failed.pk, active.pk]
    ledger.close(active.pk, "success")
    assert remaining() == [failed.pk, active.pk]


def test_runs_that_found_something_stay(billing: Source) -> None:
    runs = [closed(billing, is_quiet=False) for _ in range(3)]
    assert remaining() == [one.pk for one in runs]


def test_a_sweep_deletes_a_limited_number(billing: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet_runs, "MOST_A_SWEEP", 2)
    for _ in range(5):
        closed(billing)
    assert [len(remaining()) for _ in range(3)] == [3, 1, 1]


def test_without_quiet_runs_it_takes_one_query(billing: Source, django_assert_num_queries: Callable[[int], Any]) -> None:
    closed(billing, is_quiet=False)
    with django_assert_num_queries(1):
        quiet_runs.delete_superseded()


def test_a_run_that_ended_a_failure_stays(billing: Source, github: StandIn) -> None:
    """A closed dead letter names the run that closed it."""
    run(billing, NOON, trigger="beat", github=github)
    github.faults = {"outage": True}
    with pytest.raises(inline.StageFailed):
        run(billing, NOON + 15 * MINUTE, github=github)
    github.faults = {}
    good = run(billing, NOON + HOUR, github=github)
    letter = DeadLetter.objects.get()
    assert (letter.state, letter.resolved_by, good.is_quiet) == ("replayed", f"run {good.pk}", False)
    later = run(billing, NOON + 2 * HOUR, github=github)
    assert later.is_quiet
    assert good.pk in remaining()


def test_a_run_that_ended_a_silence_stays(billing: Source, github: StandIn) -> None:
    run(billing, NOON, trigger="beat", github=github)
    Source.objects.update(overdue_alerted_at=now())
    assert not run(billing, NOON + 15 * MINUTE, github=github).is_quiet


@pytest.mark.slow
def test_nothing_that_is_stored_refers_to_a_quiet_run(billing: Source, github: StandIn, logs: Source) -> None:
    """Collect half a day every 15 minutes, and compare every number of a run in the tables with the runs that are left."""
    for moment in (END + minutes * MINUTE for minutes in range(0, 12 * 60, 15)):
        run(billing, moment, trigger="beat" if moment == END else "interval", github=github)
        run(logs, moment, trigger="beat" if moment == END else "interval")
    left = set(remaining())
    assert ETLRun.objects.filter(is_quiet=True).count() == 2
    for model in (Deployment, DORAMetric, MetricRevision):
        assert set(model.objects.exclude(run_id=None).values_list("run_id", flat=True)) <= left
    assert not list(overdue_sources.overdue_sources(END + 13 * HOUR))


def test_quiet_runs_between_the_nights_end_with_the_same_numbers_as_the_nights_alone(github: StandIn) -> None:
    often, nightly = source_of("acme/billing", name="often"), source_of("acme/billing", name="nightly")
    for hours in range(-48, 1, 6):
        run(often, END + hours * HOUR, github=github)
    with time_machine.travel(END, tick=False):
        night(nightly)
    values = [
        list(DORAMetric.objects.filter(service=source.service).order_by("metric", "period", "period_start").values_list("value", "n", "is_partial"))
        for source in (often, nightly)
    ]
    assert values[0] == values[1]
