"""A night with many quiet sources and a few that have news, with a real worker: the quiet ones need not wait for the others."""

from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from dora_metrics.models import Service
from etl_tasks import inline, ledger, pipeline
from etl_tasks.models import ETLRun, Source
from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import add_day, exact_world
from tests.conftest import END
from tests.end_to_end.conftest import Stack
from tests.etl_tasks.test_stages import lines

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

DAY = timedelta(days=1)
SMALL = {"days": 20, "pull_requests": 2, "deployments": 2, "issues": 2, "releases": 1, "runs": 1, "commits": 4}


def add_sources(folder: Path) -> StandIn:
    """Add the sources of two services. Those with news come first, in the order in which the runs are opened."""
    worlds = {}
    for news in ("busy", "quiet"):
        service = Service.objects.create(name=news)
        for number in range(3):
            name = f"{news}-{number}"
            worlds[f"acme/{name}"] = exact_world(f"acme/{name}", end=END - DAY, **SMALL)
            add_day(worlds[f"acme/{name}"], END, changed=6 if news == "busy" else 0)
            Source.objects.create(name=name, service=service, kind="github", repository=f"acme/{name}")
            (folder / f"{name}.log").write_text(lines(0, 20))
            Source.objects.create(name=f"{name}-log", service=service, kind="logs", path=str(folder / f"{name}.log"), log_format="json")
    return StandIn(worlds, clock=END - DAY)


def test_quiet_sources_end_before_any_source_with_news_begins(empty_stack: Stack, settings: Settings, tmp_path: Path) -> None:
    """Failed before: the runs were sent kind by kind in the order of the sources' ids, so that each quiet one waited for those before it."""
    with add_sources(tmp_path) as github:
        empty_stack.github = github
        settings.GITHUB_API_URL, settings.GITHUB_GRAPHQL_URL = github.url, f"{github.url}/graphql"
        for source in Source.objects.order_by("pk"):
            run = ledger.open_run(source, trigger="shell")
            assert run
            inline.run_remaining_stages(run.pk)
        github.clock = END
        for number in range(3):
            with (tmp_path / f"busy-{number}.log").open("a") as log:
                log.write(lines(20, 60))
        requests = github.counts["requests"]

        opened = pipeline.open_night(END.date())
        assert github.counts["requests"] - requests == 1  # the survey
        assert pipeline.queue_lengths(["extract"]) == {"extract": 12}  # whatever their priority
        with empty_stack.running("worker"):
            empty_stack.wait_for_end(24)

        runs = list(ETLRun.objects.filter(pk__in=[run.pk for run in opened]).order_by("extract_began_at"))
        assert {run.status for run in runs} == {"success"}
        assert ["quiet" in run.pipeline for run in runs] == [True] * 6 + [False] * 6
        assert max(run.completed_at for run in runs[:6]) < min(run.extract_began_at for run in runs[6:])  # type: ignore[type-var]
        assert [run.extracted > 0 for run in runs] == [False] * 6 + [True] * 6
        asked = github.counts["requests"] - requests
        assert asked - 1 <= 3 * 8, "only the sources with news ask GitHub"
