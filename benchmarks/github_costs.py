"""Measure what collecting from GitHub costs: points and requests together, as the stand-in for GitHub counts them.

    scripts/bench github

For each printed row, generated repositories are collected by the product's stages into a new SQLite database.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from github_stand_in.worlds.exact_size import add_day, exact_world

END = datetime(2026, 3, 20, 1, tzinfo=UTC)
NIGHT = timedelta(days=1)
SIZE = {"pull_requests": 2000, "deployments": 1000, "issues": 2000, "releases": 500, "runs": 1000, "commits": 5000}
# Only 30 days, to save time: more days would mean more metrics to compute, but not more requests.
SMALL = {"days": 30, "pull_requests": 5, "deployments": 4, "issues": 2, "releases": 1, "runs": 0, "commits": 8}
LATENCY_SECONDS = 0.1
MANY, ACTIVE = 1000, 100
# Of a thousand repositories, only the night after the first collection is measured. The first collection itself needs more than an
# hour's budget, so it gets a larger one.
BUDGET, BUDGET_FOR_MANY = 5000, 1_000_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "CALLCENTERSITE_VAR": folder,
            "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
            "DJANGO_SETTINGS_MODULE": "callcentersite.settings",
            "GITHUB_TOKEN": "of-the-stand-in",
            "ETL_BACKOFF_SECONDS": "0",
            "ETL_BACKOFF_MAX_SECONDS": "0",
            "ETL_LOG_LEVEL": "ERROR",
            "CASSANDRA_CONTACT_POINTS": "",
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        print("points + requests, as the server counted them")
        first_collection_and_nights()
        side_by_side()
        many_repositories()


def first_collection_and_nights() -> None:
    for name, faults, limit in (("first collection", {}, 250), ("first collection, every tenth answer a 502", {"every": 10}, 300)):
        with stand_in(["acme/billing"]) as server:
            new_sources(["acme/billing"])
            server.tell("faults", faults)
            night(["acme/billing"])
            report(name, server.counts(), limit)
            if faults:
                continue
            for label, days, limit_of_night in (
                ("a night with 10 changed pull requests and 2 new deployments", 1, 8),
                ("a night without any change", 2, 2),
            ):
                server.tell("clock", {"now": (END + days * NIGHT).isoformat()})
                before = server.counts()
                night(["acme/billing"])
                report(label, difference(server.counts(), before), limit_of_night)


def many_repositories() -> None:
    names = [f"acme/service-{number}" for number in range(MANY)]
    with stand_in(names, is_small=True) as server:
        night(names)
        server.tell("clock", {"now": (END + NIGHT).isoformat()})
        before = server.counts()
        began = time.monotonic()
        night(names)
        report(f"{MANY} repositories, {ACTIVE} of them active ({time.monotonic() - began:.0f} s)", difference(server.counts(), before), 1500)


def side_by_side() -> None:
    """Compare how long a first collection takes with how long its longest stream takes alone. Both are measured in turns, with 100 ms of latency."""
    from etl_tasks.sources.github import collect

    streams = collect.STREAMS
    with stand_in(["acme/billing"], latency_seconds=LATENCY_SECONDS) as server:
        alone: dict[str, list[float]] = {stream.name: [] for stream in streams}
        together: list[float] = []
        for _ in range(3):
            for stream in streams:
                collect.STREAMS = (stream,)
                alone[stream.name].append(extraction(server))
            collect.STREAMS = streams
            together.append(extraction(server))
    longest, seconds = max(((name, sorted(times)[1]) for name, times in alone.items()), key=lambda one: one[1])
    all_streams = sorted(together)[1]
    print(
        f"side by side, {LATENCY_SECONDS * 1000:.0f} ms latency: {all_streams:.1f} s; the longest stream alone ({longest}) {seconds:.1f} s; "
        f"ratio {all_streams / seconds:.2f} (at most 1.3)"
    )


def extraction(server: "Server") -> float:
    from etl_tasks import ledger, stages

    source = new_sources(["acme/billing"])[0]
    run = ledger.open_run(source, trigger="command")
    assert run
    run = ledger.claim(run.pk, "extract", "bench")
    began = time.monotonic()
    stages.extract(run)
    return time.monotonic() - began


def night(repositories: list[str]) -> None:
    """Run one night in this process, with the steps of a night that beat starts."""
    from etl_tasks import inline, ledger
    from etl_tasks.models import Source
    from etl_tasks.sources.github.survey import survey

    sources = list(Source.objects.filter(repository__in=repositories).select_related("service")) or new_sources(repositories)
    news = survey(sources) if len(sources) > 1 else {}
    for source in sources:
        run = ledger.open_run(source, trigger="beat", options={"news": news[source.pk]} if source.pk in news else {})
        assert run
        inline.run_remaining_stages(run.pk)


def new_sources(repositories: list[str]) -> list[Any]:
    from dora_metrics.models import Service
    from etl_tasks.models import Source

    Service.objects.all().delete()
    return [Source.objects.create(name=name, service=Service.objects.create(name=name), kind="github", repository=name) for name in repositories]


class Server:
    """The stand-in for GitHub, which runs in another process. `url`: its address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def counts(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/_stand_in/counts", timeout=60) as answer:
            return dict(json.load(answer))

    def tell(self, what: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(f"{self.url}/_stand_in/{what}", data=json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=60).close()


@contextmanager
def stand_in(repositories: list[str], *, is_small: bool = False, latency_seconds: float = 0) -> Iterator[Server]:
    from django.conf import settings

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, repositories, is_small, latency_seconds), daemon=True)
    process.start()
    url = here.recv()
    settings.GITHUB_API_URL, settings.GITHUB_GRAPHQL_URL = url, f"{url}/graphql"
    try:
        yield Server(url)
    finally:
        process.kill()
        process.join()


def serve(pipe: Any, repositories: list[str], is_small: bool, latency_seconds: float) -> None:
    from github_stand_in.server import StandIn

    size = SMALL if is_small else SIZE
    worlds = {name: exact_world(name, end=END, **size) for name in repositories}
    for world in list(worlds.values())[:ACTIVE]:
        add_day(world, END + NIGHT, changed=2 if is_small else 10, deployed=1 if is_small else 2)
    with StandIn(worlds, clock=END, latency_seconds=latency_seconds, limit=BUDGET_FOR_MANY if is_small else BUDGET) as running:
        pipe.send(running.url)
        pipe.recv()


def difference(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in after.items()}


def report(name: str, counts: dict[str, int], limit: int) -> None:
    points, rest, free = counts.get("points", 0), counts.get("rest", 0), counts.get("not_modified", 0)
    total = points + rest + free
    print(f"{total:5d} of at most {limit:4d}   {name}: {points} points of GraphQL, {rest} requests of REST and {free} answered 304")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
