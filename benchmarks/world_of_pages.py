"""Write a database of many services with years of facts, for the benchmark of the pages.

A few services get random facts, which are linked and measured as in a nightly run. The rows of all other services are copies, which
SQL makes much faster. The copies have numbers, ids and names of their own.
"""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils.timezone import now

from dora_metrics.derivation.recompute import recompute_periods
from dora_metrics.models import (
    Attempt,
    Change,
    Commit,
    Coverage,
    Delivery,
    Deployment,
    DORAMetric,
    Incident,
    Issue,
    MetricsSummary,
    Repository,
    Service,
)
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Source, StagedPage
from etl_tasks.models.staging import compressed
from log_store.event import LogEvent, event_id
from log_store.models import LogEventRow
from log_store.sql import SqlLogStore

TEMPLATES = 20
COPIES_AT_ONCE = 50
NIGHTS = 60
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PER_WEEK = (0.3, 0.7, 1, 1.5, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 10, 12, 15, 20, 30)  # deployments of each template
COPIED = (Deployment, Change, Commit, Issue, Coverage, Attempt, Incident, DORAMetric, MetricsSummary)  # Delivery refers to changes
PEOPLE = ("ada", "grace", "edsger", "barbara", "donald", "renovate[bot]")
SOURCES_WITH_LETTERS, LETTERS_OF_A_SOURCE = 20, 30
ERRORS = ("mergedAt: 'never' is not a time", "number: the record has none", "author: its login is too long")
STAGES = ("extract", "transform", "load")
STREAMS = ("deployments", "pull_requests", "commits", "issues")
STAGED_RECORDS = 100
LOG_LINES, LINES_AT_ONCE, BYTES_OF_A_LINE = 100_000, 2_000, 200  # all of them within the last day
LEVELS = ("info",) * 17 + ("warning", "warning", "error")


def write_world(*, services: int, years: float) -> None:
    """Fill an empty database. The facts end at the present time."""
    end = now().replace(microsecond=0)
    originals = [_template(number, end=end, start=end - timedelta(days=365 * years)) for number in range(min(TEMPLATES, services))]
    copies = [_service(number) for number in range(len(originals), services)]
    _copy_rows(originals, copies)
    logs = Source.objects.create(name="access log", service=originals[0][0], kind="logs", path="/var/log/access.log", log_format="json")
    _write_ledger(end)
    _write_staged_page(ETLRun.objects.order_by("pk")[0], end)
    _write_log_lines(logs, end)
    with connection.cursor() as cursor:
        tables = [model._meta.db_table for model in (*COPIED, Delivery, ETLRun, LogEventRow)]
        for statement in ["ANALYZE"] if connection.vendor == "sqlite" else [f"ANALYZE TABLE {table}" for table in tables]:
            cursor.execute(statement)


def _service(number: int) -> tuple[Service, Repository]:
    service = Service.objects.create(name=f"service-{number:04}", deployments_from="github")
    source = Source.objects.create(name=service.name, service=service, kind="github", repository=f"acme/service-{number:04}")
    repository = source.facts_repository
    assert repository
    Repository.objects.filter(pk=repository.pk).update(default_branch="main", default_branches=["main"], names=[repository.name])
    return service, repository


@transaction.atomic
def _template(number: int, *, start: datetime, end: datetime) -> tuple[Service, Repository]:
    """Write the facts of a service, and what follows from them."""
    service, repository = _service(number)
    rng = random.Random(number)
    of_repository = {"service": service, "repository": repository, "run_id": 1, "page_id": 1}
    deployments, changes, commits, issues = [], [], [], []
    for position, fact in enumerate(_history(rng, start=start, end=end, per_week=PER_WEEK[number % len(PER_WEEK)])):
        sha = f"{number:04x}{position:012x}".ljust(40, "0")
        before = commits[-1].sha if commits else ""
        commits.append(Commit(sha=sha, parents=[before] if before else [], authored_at=fact["at"], committed_at=fact["at"], **of_repository))
        changes.append(_change(rng, len(changes) + 1, sha, fact, of_repository))
        if fact["is_deployed"]:
            for environment, delay in (("staging", HOUR / 2), ("production", HOUR)):
                deployments.append(_deployment(rng, len(deployments) + 1, sha, fact["at"] + delay, environment, of_repository))
            if rng.random() < 0.08:
                issues.append(_incident(rng, len(issues) + 100_001, fact["at"] + 2 * HOUR, of_repository))
    for model, rows in ((Deployment, deployments), (Change, changes), (Commit, commits), (Issue, issues)):
        model._default_manager.bulk_create(rows, batch_size=500)
    for stream in STREAMS:
        Coverage.objects.create(service=service, repository=repository, stream=stream, since=start, until=end - HOUR / 2)
    recompute_periods(service, moment=end)
    return service, repository


def _history(rng: random.Random, *, start: datetime, end: datetime, per_week: float) -> Iterator[dict[str, Any]]:
    """Yield merges in the order of time. Those with `is_deployed` are deployed soon after; the others wait for the next of these."""
    at = start
    while True:
        at += timedelta(days=rng.expovariate(1.5 * per_week / 7))
        if at > end - 3 * HOUR:
            return
        yield {"at": at.replace(microsecond=0), "is_deployed": rng.random() < 0.66}


def _change(rng: random.Random, number: int, sha: str, fact: dict[str, Any], of_repository: dict[str, Any]) -> Change:
    created_at = fact["at"] - timedelta(hours=rng.lognormvariate(3, 1.2))
    reviewed_at = created_at + (fact["at"] - created_at) * rng.random()
    author = rng.choice(PEOPLE)
    return Change(
        number=number,
        external_id=number,
        title=f"Make the {rng.choice(('queue', 'invoice', 'report', 'login', 'call'))} {rng.choice(('faster', 'simpler', 'testable'))}",
        state="MERGED",
        author=author,
        author_is_bot=author.endswith("[bot]"),
        base_branch="main",
        head_branch="hotfix/now" if rng.random() < 0.05 else f"topic-{number}",
        head_sha=sha[::-1],
        merge_sha=sha,
        created_at=created_at,
        merged_at=fact["at"],
        closed_at=fact["at"],
        version_at=fact["at"],
        commits=[{"sha": sha[::-1], "authored_at": (created_at - HOUR).isoformat()}],
        commit_count=1,
        reviews=[{"login": "linus", "is_bot": False, "submitted_at": reviewed_at.isoformat()}],
        review_count=1,
        url=f"https://github.com/acme/service/pull/{number}",
        **of_repository,
    )


def _deployment(rng: random.Random, number: int, sha: str, at: datetime, environment: str, of_repository: dict[str, Any]) -> Deployment:
    state = "failure" if rng.random() < 0.04 else "success"
    return Deployment(
        external_id=number,
        environment=environment,
        sha=sha,
        state=state,
        created_at=at,
        version_at=at + HOUR / 6,
        statuses=[{"state": state, "created_at": (at + HOUR / 6).isoformat(), "log_url": ""}],
        status_count=1,
        url=f"https://github.com/acme/service/deployments/{number}",
        **of_repository,
    )


def _incident(rng: random.Random, number: int, at: datetime, of_repository: dict[str, Any]) -> Issue:
    return Issue(
        number=number,
        title="Calls are dropped",
        state="closed",
        state_reason="completed",
        labels=["incident"],
        created_at=at,
        closed_at=at + timedelta(hours=rng.lognormvariate(1, 1)),
        version_at=at,
        url=f"https://github.com/acme/service/issues/{number}",
        **of_repository,
    )


def _copy_rows(originals: Sequence[tuple[Service, Repository]], copies: Sequence[tuple[Service, Repository]]) -> None:
    """Give each copy the rows of one of the originals."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE copies (original_id bigint, service_id bigint, old_repository_id bigint, new_repository_id bigint)")
    for first in range(0, len(copies), COPIES_AT_ONCE):
        pairs = []
        for position, (service, repository) in enumerate(copies[first : first + COPIES_AT_ONCE]):
            original, its_repository = originals[(first + position) % len(originals)]
            pairs.append((original.pk, service.pk, its_repository.pk, repository.pk))
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("DELETE FROM copies")
            cursor.executemany("INSERT INTO copies VALUES (%s, %s, %s, %s)", pairs)
            for model in COPIED:
                cursor.execute(_copy_statement(model))
            cursor.execute(_delivery_statement())


def _copy_statement(model: Any) -> str:
    table, replaced = model._meta.db_table, {"service_id": "copies.service_id", "repository_id": "copies.new_repository_id"}
    columns = [field.column for field in model._meta.concrete_fields if field.column != "id"]
    read = [replaced.get(column, f"{table}.{_quoted(column)}") for column in columns]
    return (
        f"INSERT INTO {table} ({', '.join(map(_quoted, columns))}) SELECT {', '.join(read)} "
        f"FROM copies JOIN {table} ON {table}.service_id = copies.original_id"
    )


def _delivery_statement() -> str:
    delivery, change = Delivery._meta.db_table, Change._meta.db_table
    columns = [field.column for field in Delivery._meta.concrete_fields if field.column not in ("id", "service_id", "change_id")]
    return (
        f"INSERT INTO {delivery} (service_id, change_id, {', '.join(map(_quoted, columns))}) "
        f"SELECT copies.service_id, copy.id, {', '.join(f'{delivery}.{_quoted(column)}' for column in columns)} "
        f"FROM copies JOIN {delivery} ON {delivery}.service_id = copies.original_id JOIN {change} AS original ON original.id = {delivery}.change_id "
        f"JOIN {change} AS copy ON copy.repository_id = copies.new_repository_id AND copy.number = original.number"
    )


def _quoted(column: str) -> str:
    return connection.ops.quote_name(column)


def _write_ledger(end: datetime) -> None:
    """Write the runs of the last nights. A few failed, and have an open dead letter."""
    rng = random.Random("ledger")
    sources = list(Source.objects.order_by("pk"))
    midnight = end.astimezone(UTC).replace(hour=1, minute=0, second=0)
    Source.objects.update(created_at=end - 1000 * DAY)
    Cursor.objects.bulk_create(
        [Cursor(source=source, stream=stream, position={"collected_until": end.isoformat()}) for source in sources for stream in STREAMS],
        batch_size=500,
    )
    for night in reversed(range(NIGHTS)):
        due = midnight - night * DAY
        runs = [_run(rng, source, due) for source in sources]
        ETLRun.objects.bulk_create(runs, batch_size=500)
        ETLRun.objects.filter(logical_date=due.date()).update(created_at=due)
    runs = ETLRun.objects.filter(logical_date=midnight.date()).select_related("source").order_by("pk")
    letters = [
        DeadLetter(source=run.source, run=run, key=f"run {run.pk}", kind="stage", stage="extract", error=run.error) for run in runs if run.error
    ]
    letters += [_record_letter(run, number) for run in runs[:SOURCES_WITH_LETTERS] for number in range(LETTERS_OF_A_SOURCE)]
    DeadLetter.objects.bulk_create(letters, batch_size=500)


def _write_staged_page(run: ETLRun, moment: datetime) -> None:
    nodes = [{"number": number, "title": f"Change {number}", "createdAt": moment.isoformat()} for number in range(STAGED_RECORDS)]
    body = json.dumps({"data": {"repository": {"pullRequests": {"nodes": nodes}}}}).encode()
    StagedPage.objects.create(
        run=run,
        number=1,
        stream="pull_requests",
        url="https://api.github.com/graphql",
        body=compressed(body),
        sha256=hashlib.sha256(body).hexdigest(),
        record_count=STAGED_RECORDS,
        fetched_at=moment,
        is_clean=True,
    )


def _write_log_lines(source: Source, end: datetime) -> None:
    rng = random.Random("log lines")
    store = SqlLogStore()
    for first in range(0, LOG_LINES, LINES_AT_ONCE):
        store.write(
            [
                LogEvent(
                    event_id=event_id(f"{source.pk:016x}", number * BYTES_OF_A_LINE),
                    source=source.name,
                    time=end - DAY + number * DAY / LOG_LINES,
                    level=rng.choice(LEVELS),
                    host="web1",
                    message=f"GET /calls/{number}",
                    method="GET",
                    path=f"/calls/{number}",
                    status=200,
                    duration_ms=rng.lognormvariate(3, 1),
                )
                for number in range(first, first + LINES_AT_ONCE)
            ]
        )


def _record_letter(run: ETLRun, number: int) -> DeadLetter:
    return DeadLetter(
        source=run.source,
        run=run,
        record_index=number,
        key=f"pull_requests {number}",
        kind="record",
        stage="transform",
        stream="pull_requests",
        data=json.dumps({"number": number, "mergedAt": "never"}),
        error=ERRORS[number % len(ERRORS)],
    )


def _run(rng: random.Random, source: Source, due: datetime) -> ETLRun:
    is_failed = rng.random() < 0.003
    seconds = rng.lognormvariate(2, 0.7)
    times = [due + timedelta(seconds=seconds * share) for share in (0, 0.6, 0.8, 1)]
    stages = {} if is_failed else {f"{stage}_began_at": begin for stage, begin in zip(STAGES, times, strict=False)}
    stages |= {} if is_failed else {f"{stage}_ended_at": end for stage, end in zip(STAGES, times[1:], strict=True)}
    return ETLRun(
        **stages,
        pipeline=source.name,
        source=source,
        logical_date=due.date(),
        trigger="beat",
        status="failed" if is_failed else "success",
        stage="extract" if is_failed else "load",
        lease_until=due,
        extracted=0 if is_failed else 40,
        loaded=0 if is_failed else 40,
        records_processed=0 if is_failed else 40,
        started_at=due,
        completed_at=due + timedelta(seconds=seconds),
        duration_seconds=seconds,
        error="GitHub answered HTTP 502" if is_failed else "",
    )
