"""The database does not grow with the number of nights: after 400 nights it is hardly larger than after 40.

The real nights of the demo's team take half an hour, so they are played only if NIGHTS_OF_THE_DEMO has their number. By default the nights
write, through the real models, as many rows as those nights do.
"""

import json
import os
import random
import shutil
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.apps import apps
from django.db import connection
from django.db.models import Count, Model, Sum
from django.db.models.functions import Length
from django.test import override_settings
from django_celery_results.models import TaskResult

from demo.team import worlds
from demo.team.log_lines import append, first_line, writers
from demo.team.outages import outages
from demo.team.profiles import TEAM, VOICE_BOT, Profile, TeamService
from demo.team.repository_life import RepositoryLife
from dora_metrics.models import MetricRevision, Service
from etl_tasks import inline, ledger, retention
from etl_tasks.models import CleanBatch, Cursor, DeadLetter, ETLRun, Source, StagedPage, StreamProgress, compressed
from github_stand_in.server import StandIn
from log_store.models import LogEventRow, LogSumRow
from tests.dashboard.figure_worlds import _add_team

NIGHTS = int(os.environ.get("NIGHTS_OF_THE_DEMO", "0"))
FEW, MANY, MOST_GROWTH = 40, 400, 1.3
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
END = datetime(2026, 11, 27, 1, tzinfo=UTC)
KEPT_LOGS = 7  # rotated files of each log


def models() -> list[type[Model]]:
    return [model for model in apps.get_models() if model._meta.managed]


def sizes() -> dict[str, tuple[int, int]]:
    """Return the number of rows of each table, and the number of characters and bytes in them."""
    found = {}
    for model in models():
        columns = {f"bytes_{field.column}": Sum(Length(field.attname)) for field in model._meta.concrete_fields}
        counts = model._base_manager.order_by().aggregate(rows=Count("pk"), **columns)
        found[model._meta.label] = counts.pop("rows"), sum(count or 0 for count in counts.values())
    return found


def total(found: dict[str, tuple[int, int]]) -> int:
    return sum(size for _rows, size in found.values())


# --- the real nights of the demo's team ---------------------------------------------------------------------------------


def _world(profile: Profile, now: datetime) -> RepositoryLife:
    """Return the life of a repository that is as old as in the demo when the first night begins."""
    older = replace(profile, days=profile.days + MANY)
    return RepositoryLife(older, midnight=now.replace(hour=0), end=now + DAY, seed=worlds.SEED, outages=outages(now))


def _rotate(folder: Path, service: TeamService) -> None:
    """Rename app.log to app.log.1 and so on, and delete the oldest."""
    path = folder / service.log
    for number in reversed(range(KEPT_LOGS)):
        former = path.with_name(f"{path.name}.{number}") if number else path
        if former.exists():
            shutil.move(former, path.with_name(f"{path.name}.{number + 1}"))
    path.with_name(f"{path.name}.{KEPT_LOGS}").unlink(missing_ok=True)


@pytest.mark.skipif(not NIGHTS, reason="takes half an hour: NIGHTS_OF_THE_DEMO=400")
@pytest.mark.skipif(connection.vendor != "sqlite", reason="measures the file of SQLite")
@pytest.mark.timeout(0)
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_after_400_real_nights_of_the_demo_the_file_is_hardly_larger_than_after_40(tmp_path: Path) -> None:
    first = END - NIGHTS * DAY
    lives = {profile.repository: _world(profile, END) for service in TEAM for profile in service.repositories}
    team = {name: life.live() for name, life in lives.items()}
    logged = tuple(lives[VOICE_BOT.repositories[0].repository].delivery.lines)  # type: ignore[attr-defined]
    logs = writers(outages(END), logged)
    files: dict[int, int] = {}
    with ExitStack() as opened:
        github = opened.enter_context(StandIn(team, clock=first, limit=1_000_000))
        opened.enter_context(override_settings(GITHUB_API_URL=github.url, GITHUB_GRAPHQL_URL=f"{github.url}/graphql", LOG_ROOTS=[str(tmp_path)]))
        opened.enter_context(time_machine.travel(first, tick=True))
        _add_team(tmp_path)
        for source in Source.objects.exclude(path=""):
            Source.objects.filter(pk=source.pk).update(path=f"{source.path}*")
        written = {writer.service.name: first_line(writer.service, first) for writer in logs}
        for number in range(1, NIGHTS + 1):
            moment = first + (number - 1) * DAY
            github.clock = moment
            with time_machine.travel(moment, tick=True):
                for writer in logs:
                    append(writer, tmp_path, written[writer.service.name], moment)
                    written[writer.service.name] = moment
                for source in Source.objects.order_by("pk"):
                    run = ledger.open_run(source, trigger="beat", logical_date=moment.date())
                    assert run
                    inline.run_remaining_stages(run.pk)
                for writer in logs:
                    _rotate(tmp_path, writer.service)
            with time_machine.travel(moment + 3 * HOUR, tick=True):
                outcome = retention.prune()
                assert not outcome.failed
            if number in (1, 5, FEW) or number % 50 == 0:
                files[number] = _compact_size(tmp_path / "compact.sqlite3")
                print(
                    number,
                    files[number],
                    outcome.deleted,
                    json.dumps({name: size for name, size in sizes().items() if size[1] > 100_000}),
                    flush=True,
                )
    assert files[NIGHTS] <= MOST_GROWTH * files[FEW], files


def _compact_size(path: Path) -> int:
    """Return the size that the database's file has without free pages."""
    path.unlink(missing_ok=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(path)])
    return path.stat().st_size


# --- nights that only write their rows ------------------------------------------------------------------------------------

EVERY = 20  # nights between two prunes, as each takes as long as some nights
STREAMS = ("commits", "deployments", "issues", "pull_requests")


def _play(service: Service, nights: range) -> None:
    """Write what the nights leave behind. In every fifth night little is new, in every ninth a run fails first."""
    randomness, runs, page_counts = random.Random(nights[0]), [], []
    logs = service.sources.get(kind="logs")
    for number in nights:
        moment = END - (MANY - number) * DAY
        for source in service.sources.order_by("pk"):
            for status in ["failed", "success"] if number % 9 == 8 else ["success"]:
                ended = {"completed_at": moment, "started_at": moment, "lease_until": moment, "status": status}
                runs.append(ETLRun(pipeline=source.name, source=source, trigger="beat", **ended))
                page_counts.append(1 if number % 5 == 4 else 4)
        _write_log_of(logs, moment, randomness, number=number)
    revisions = [{"period_start": END.date(), "before": {"value": 1}, "after": {"value": randomness.random()}} for _ in nights]
    MetricRevision.objects.bulk_create(MetricRevision(service=service, **columns) for columns in revisions)
    _write_parts(ETLRun.objects.bulk_create(runs), page_counts, randomness)


def _write_parts(runs: list[ETLRun], page_counts: list[int], randomness: random.Random) -> None:
    body, common = compressed(randomness.randbytes(3000)), {"url": "u", "sha256": "0" * 64, "record_count": 20, "is_clean": True}
    pages = StagedPage.objects.bulk_create(
        StagedPage(run=run, number=number, stream=STREAMS[number], body=body, fetched_at=run.completed_at, **common)
        for run, count in zip(runs, page_counts, strict=True)
        for number in range(count)
    )
    CleanBatch.objects.bulk_create(
        CleanBatch(page=page, kind="change", records=body, record_count=20, is_loaded=is_loaded, is_stored=is_loaded)
        for page in pages
        for is_loaded in [page.run.status == "success"]
    )
    cursor = {"collected_until": END.isoformat(), "seen": ["x" * 40] * 5}
    StreamProgress.objects.bulk_create(StreamProgress(run=run, stream=stream, cursor=cursor, is_done=True) for run in runs for stream in STREAMS)
    TaskResult.objects.bulk_create(
        TaskResult(task_id=f"{run.pk} {stage}", task_name=f"etl.{stage}", task_args=f"({run.pk},)", status="SUCCESS", result=str(run.pk))
        for run in runs
        for stage in ledger.STAGES
    )
    letter = {"kind": "stage", "stage": "load", "error": "GitHub answered HTTP 502", "state": "replayed"}
    failed = (run for run in runs if run.status == "failed")
    DeadLetter.objects.bulk_create(
        DeadLetter(source=run.source, run=run, key=f"stage:load:{run.pk}", resolved_at=run.completed_at, **letter) for run in failed
    )


def _write_log_of(source: Source, moment: datetime, randomness: random.Random, *, number: int) -> None:
    """Write the lines of a day, and the cursor of the file that was rotated away three days later."""
    times = [moment - 3 * HOUR * part for part in range(8)]
    LogEventRow.objects.bulk_create(
        LogEventRow(event_id=f"{number:06}{i:03}", source=source.name, time=time, level="info", message=f"call {randomness.random()}" * 6)
        for i, time in enumerate(times)
    )
    LogSumRow.objects.bulk_create(LogSumRow(source=source.name, hour=time, segment=f"{number}", levels={"info": 1}) for time in times)
    gone_since = (moment + 3 * DAY).isoformat()
    position = {"identity": f"8:{number}:0", "offset": 5, "path": "/var/log/app.log.1", "marks": ["m" * 20] * 40, "gone_since": gone_since}
    Cursor.objects.create(source=source, stream=f"file:8:{number}:0", position=position)


@pytest.mark.slow
@pytest.mark.django_db
def test_after_400_nights_with_prune_the_tables_are_hardly_larger_than_after_40(billing: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LONGEST_PAUSE_SECONDS", 0)
    Source.objects.create(name="app-logs", service=billing.service, kind="logs", path="/var/log/app.log*", log_format="json")
    before, found = sizes(), {}
    for number in range(0, MANY, EVERY):
        with time_machine.travel(END - (MANY - number - EVERY) * DAY, tick=True):
            _play(billing.service, range(number, number + EVERY))
            assert not retention.prune().failed
        if number + EVERY in (FEW, MANY):
            found[number + EVERY] = sizes()
    grown = {name: (rows, found[MANY][name]) for name, rows in found[FEW].items() if found[MANY][name] != rows}
    assert total(found[MANY]) - total(before) <= MOST_GROWTH * (total(found[FEW]) - total(before)), grown
    assert ETLRun.objects.count() > 2 * 180  # half a year of runs is kept
