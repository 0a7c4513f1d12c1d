"""Two worlds whose figures the pages show: that of the demo's team, and one in which much is unknown, partial or flagged."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import time_machine
from django.core.management import call_command
from django.db import transaction
from django.test import override_settings

from demo.team.log_lines import append, first_line, writers
from demo.team.outages import outages
from demo.team.profiles import TEAM
from demo.team.worlds import logged_deployments, team_worlds
from dora_metrics.calculators.inputs import Facts, Status
from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Service
from etl_tasks import inline, ledger
from etl_tasks.models import GitHubBudget, Heartbeat, Source
from github_stand_in.server import StandIn
from tests.dora_metrics.calculators.examples import at, change, covering, deployment, facts, issue, line, links, log_hours, one_a_day, pull
from tests.dora_metrics.example_service import EVENTFUL
from tests.dora_metrics.stored_rows import store

TODAY = datetime(2026, 11, 27, 16, 4, tzinfo=UTC)
STAGE = "stage/<b>&100%?"  # an environment may have any name


@dataclass(frozen=True)
class World:
    """A stored world, and what is asked of its pages.

    `now`: when the pages are opened. `periods`: of the overview, in addition to 7, 30, 90 and 365 days. `values`: the periods of which each value
    is opened. `ranges`: (by, first day, last day) of the charts. `environments`: the services that were deployed to each.
    """

    name: str
    now: datetime
    time_zone: str
    periods: Sequence[str]
    values: Sequence[str]
    ranges: Sequence[tuple[str, str, str]]
    environments: dict[str, Sequence[str]]


# --- the demo's world -------------------------------------------------------------------------------------------------


@contextmanager
def demo_world(folder: Path) -> Iterator[World]:
    """Collect the team in two nights. In the second one GitHub does not answer for crm-sync, and only some of the sources run."""
    worlds, logs = team_worlds(TODAY), writers(outages(TODAY), logged_deployments(TODAY))
    yesterday = TODAY - timedelta(days=1)
    with ExitStack() as opened:
        github = opened.enter_context(StandIn(worlds, clock=yesterday))
        opened.enter_context(override_settings(GITHUB_API_URL=github.url, GITHUB_GRAPHQL_URL=f"{github.url}/graphql"))
        with time_machine.travel(yesterday, tick=True):
            for writer in logs:
                append(writer, folder, first_line(writer.service, yesterday), yesterday)
            _add_team(folder)
            _night(yesterday, Source.objects.all())
        with time_machine.travel(TODAY, tick=True):
            for writer in logs:
                append(writer, folder, yesterday, TODAY)
            github.clock, github.faults = TODAY, {"outage": True, "repository": "acme/crm-sync"}
            _night(TODAY, Source.objects.filter(name__in=("billing", "call-routing", "call-routing-logs", "crm-sync")))
    yield World(
        name="demo",
        now=TODAY + timedelta(hours=1),
        time_zone="UTC",
        periods=("2026-10", "2026-W46", "2026-11-10..2026-11-20"),
        values=("2026-10", "2026-W47", "2026-11-26"),
        ranges=(("month", "2026-01-01", "2026-11-27"), ("week", "2026-09-01", "2026-11-27"), ("day", "2026-11-10", "2026-11-27")),
        environments={"staging": ["billing"]},
    )
    _delete_all()


def _add_team(folder: Path) -> None:
    for service in TEAM:
        repositories = [word for profile in service.repositories for word in ("--repository", profile.repository)]
        call_command("add_service", service.name, *repositories, *service.options, stdout=StringIO())
        if service.log:
            named = ("--service", service.name, "--path", str(folder / service.log), "--format", service.log_format)
            call_command("add_log_source", service.log_source, *named, *service.log_options, stdout=StringIO())
    Source.objects.update(created_at=TODAY - timedelta(days=5))


def _night(moment: datetime, sources: Iterable[Source]) -> None:
    for source in sources:
        run = ledger.open_run(source, trigger="beat", logical_date=moment.date())
        assert run
        try:
            _run(run.pk)
        except inline.StageFailed:
            assert source.repository == "acme/crm-sync"


def _run(run_id: int) -> None:
    try:
        inline.run_remaining_stages(run_id)
    except inline.Interrupted:  # the run goes on where it stood, and fails if it gets no further
        inline.run_remaining_stages(run_id)


# --- the world in which much is unknown, partial or flagged -----------------------------------------------------------

COVERED = covering(at(-5), at(41))
DAILY = tuple(f"c{day}" for day in range(28))
SKEWED = replace(deployment(5, "m5", at(5, hours=1)), statuses=(Status("success", at(5)),))  # finished before it started
SLOW = deployment(4, "m4", at(3.4), *("in_progress",) * 300, "success")  # finished five hours after it started
FACTS: dict[str, Facts] = {
    "billing": replace(EVENTFUL, log_hours=log_hours(at(7, hours=2), *[(40, 20)] * 20, *[(40, 0)] * 20), coverage=COVERED),
    # A service without incidents: enough values for its medians, and no failure.
    "calm": facts(
        deployments=tuple(deployment(100 + day, sha, at(day, hours=9)) for day, sha in enumerate(DAILY)),
        parents=line(*DAILY),
        pull_requests=tuple(change(day, merge_sha=f"c{day}") for day in range(1, 28)),
        coverage=COVERED,
    ),
    "quiet": facts(coverage=COVERED),
    # Collection began and ended within a day, and has stopped since.
    "Ñandú.v2_x-1": facts(
        **one_a_day(*(f"m{day}" for day in range(25)), pull_requests=(change(9), change(12)), coverage=covering(at(3.2), at(20.3)))
    ),
    "no-issues": facts(
        **one_a_day("a", "m1", "m2", "b", pull_requests=(change(1), change(2))),
        coverage={stream: span for stream, span in COVERED.items() if stream != "issues"},
    ),
    "by-merges": facts(
        pull_requests=(pull(1), pull(2, merged_at=at(1)), pull(3, merged_at=at(6.9))), issues=(issue(100, at(1.5), at(2)),), coverage=COVERED
    ),
    "nameless": facts(deployments=tuple(deployment(number, "", at(number)) for number in range(3)), pull_requests=(change(1),), coverage=COVERED),
    "strange": facts(
        deployments=(
            *(deployment(day, f"m{day}", at(day)) for day in range(4)),
            SLOW,
            SKEWED,
            deployment(6, "gone", at(6)),
            deployment(7, "m7", at(7.9)),
        ),
        parents=line(*(f"m{day}" for day in range(8))),
        pull_requests=(change(1), change(2, merged_at=at(2.5)), change(3, authored_at=(at(9),), commit_shas=("c3",)), change(7)),
        issues=(
            issue(100, at(3.5), at(3.55), links=links(deployment="4")),
            issue(101, at(2.5), at(2.9), links=links(deployment="7")),
            issue(102, at(-1), at(2)),
        ),
        repositories=frozenset({"acme/strange"}),
        coverage=COVERED,
    ),
}
STAGED = facts(deployments=tuple(deployment(50 + number, f"m{number}", at(3 + number), environment=STAGE) for number in range(3)), coverage={})


@contextmanager
def awkward_world(_folder: Path) -> Iterator[World]:
    now = at(41, hours=2)  # in São Paulo, this is the evening of the 10th of February
    with override_settings(ETL_TIME_ZONE="America/Sao_Paulo"):
        for name, known in FACTS.items():
            service = Service.objects.create(name=name, deployments_from="pulls" if name == "by-merges" else "auto")
            store(service, known)
            if name in ("billing", "calm"):
                store(service, STAGED)
            with transaction.atomic():
                recompute(service, run_id=1, moment=now)
        store(Service.objects.get(name="billing"), facts(issues=(issue(103, at(3.5)),), coverage={}))
        with transaction.atomic():
            recompute(Service.objects.get(name="billing"), run_id=77, moment=now)  # facts that came late change past values
        Service.objects.create(name="new-one")
    yield World(
        name="awkward",
        now=now,
        time_zone="America/Sao_Paulo",
        periods=("2026-01", "2026-02", "2026-W01", "2026-01-08", "2026-01-04..2026-02-05", "2025-12-20..2026-03-05", "2026-05", "2019-01"),
        values=("2026-01", "2026-02", "2026-W02", "2026-01-04", "2025-12-20..2026-03-05", "2026-05"),
        ranges=(
            ("month", "2025-11-01", "2026-02-10"),
            ("month", "2026-01-06", "2026-01-20"),
            ("week", "2025-12-17", "2026-02-10"),
            ("day", "2025-12-20", "2026-02-10"),
        ),
        environments={STAGE: ["billing", "calm"]},
    )
    _delete_all()


def _delete_all() -> None:
    for name in list(Service.objects.values_list("name", flat=True)):
        call_command("delete_service", name, "--yes", stdout=StringIO())
    for model in (GitHubBudget, Heartbeat):  # they belong to no service
        model.objects.all().delete()


WORLDS: dict[str, Callable[[Path], AbstractContextManager[World]]] = {"demo": demo_world, "awkward": awkward_world}
