"""Run the nightly collection of a GitHub source in this process, and read how many requests the GitHub stand-in has counted."""

import pytest

from dora_metrics.models import Service
from etl_tasks import inline, ledger, settled_runs
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources import registry
from github_stand_in.resolvers import Worlds
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World


def night(source: Source, **options: object) -> ETLRun:
    run = ledger.open_run(source, trigger="shell", options=options)
    assert run
    inline.run_remaining_stages(run.pk)
    run.refresh_from_db()
    source.refresh_from_db()
    return run


def surveyed_night(source: Source, *, trigger: str = "beat") -> ETLRun:
    """Survey the source, and end its run without stages if it is settled, as a worker does. Otherwise run its stages until they succeed."""
    run = ledger.open_run(source, trigger=trigger)
    assert run
    results = registry.survey(source.kind, [source])
    if source.pk in results:
        run.options["news"] = results[source.pk]
        run.save(update_fields=["options"])
    if not registry.quiet_sources(source.kind, [source], results).get(source.pk):
        finish(run)
    else:
        try:
            settled_runs.end_run(run.pk)
        except settled_runs.NotSettled:
            finish(run)
    run.refresh_from_db()
    return run


def finish(run: ETLRun) -> None:
    """Run the remaining stages as a worker does: retry a stage that failed, at most 20 times."""
    for _ in range(20):
        run.refresh_from_db()
        if run.status in (ETLRun.Status.SUCCESS, ETLRun.Status.PARTIAL):
            return
        if run.status == ETLRun.Status.FAILED:
            assert ledger.reopen(run)
        try:
            inline.run_remaining_stages(run.pk)
        except (inline.StageFailed, inline.Postponed, inline.Interrupted):
            continue
    pytest.fail(f"{run} never ended: {run.error}")


def source_of(repository: str, *, name: str = "", **settings_of_service: object) -> Source:
    name = name or repository.partition("/")[2]
    service = Service.objects.create(name=name, **settings_of_service)
    return Source.objects.create(name=name, service=service, kind="github", repository=repository)


def show(github: StandIn, world: World) -> None:
    github.worlds = Worlds({**github.worlds.by_name, world.repository: world})


def spent(github: StandIn) -> dict[str, int]:
    """Return what the stand-in has counted since the last call, such as requests and points. Set its counters to 0."""
    found, github.counts = dict(github.counts), type(github.counts)()
    return found
