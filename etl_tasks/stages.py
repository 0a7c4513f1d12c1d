"""A night, in three plain functions. Each can be killed between any two lines and started again."""

import hashlib
import json
import logging
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum
from django.utils.dateparse import parse_datetime

from dora_metrics.alerts import notify, rules, warning_alert
from dora_metrics.derivation.recompute import hold, recompute
from dora_metrics.models import Coverage
from etl_tasks import dead_letters, ledger
from etl_tasks.crash_points import crash_point
from etl_tasks.errors import FatalError
from etl_tasks.loaders import facts, log_facts
from etl_tasks.models import CleanBatch, Cursor, ETLRun, Source, StagedPage, StreamProgress, compressed
from etl_tasks.outcomes import Bad, Good, UnreadablePage
from etl_tasks.sources.adapter import LOG_EVENT, Adapter, Job, Learned, Page, Progress, Unreadable
from etl_tasks.sources.registry import adapter_of
from log_store.event import LogEvent
from log_store.opening import open_log_store
from log_store.store import Tally

logger = logging.getLogger(__name__)

PAGES_AT_ONCE = 100
FEWEST_FOR_A_SHARE = 20  # of so few records a bad share says nothing about the source


def extract(run: ETLRun) -> None:
    """Stage what the source has after its cursors, page by page; goes on after the last committed page."""
    number = run.pages.count()
    for page in adapter_of(run.source).pages(_job(run)):
        crash_point("extract.before_page_commit")
        if isinstance(page, Unreadable):
            _bury_once(run, page)
            continue
        if isinstance(page, Learned):
            with ledger.guarded_transaction(run):
                Source.objects.filter(pk=run.source_id).update(page_sizes=page.page_sizes)
            continue
        with ledger.guarded_transaction(run):
            if page.body:
                number += 1
                _stage(run, page, number)
            place = {"resume": page.resume, "cursor": page.cursor, "is_done": page.is_done}
            # Nobody else writes here while the run is ours.
            if not run.progress.filter(stream=page.stream).update(**place):
                StreamProgress.objects.create(run=run, stream=page.stream, began_at_version=_cursor_version(run, page.stream), **place)
        crash_point("extract.after_page_commit")
    with ledger.guarded_transaction(run):
        dead_letters.close_stage_letters(run, run.stage)
        ledger.advance(run)
    crash_point("extract.before_publish")


def transform(run: ETLRun) -> None:
    """Validate the staged pages; a bad record becomes a dead letter and its neighbours go on."""
    adapter = adapter_of(run.source)
    for page in _one_by_one(StagedPage.objects.filter(run=run, is_clean=False).order_by("number")):
        good, bad = _clean(adapter, run, page)
        crash_point("transform.before_batch")
        with ledger.guarded_transaction(run):
            kind = adapter.fact(page.stream, page.context)
            is_log = kind == LOG_EVENT
            CleanBatch.objects.create(
                # By number: page and batch that know each other stay in memory, with all they hold, until the collector comes.
                page_id=page.pk,
                kind=kind,
                records=compressed(msgspec.json.encode([one.fact for one in good])),
                record_count=len(good),
                dead_lettered=len(bad),
                unparsed=sum(one.is_unparsed for one in good),
                is_loaded=is_log,
                is_stored=not is_log,
            )
            dead_letters.bury_records(run, page, bad)
            _recount(adapter, run, page, found=len(good) + len(bad))
            StagedPage.objects.filter(pk=page.pk).update(is_clean=True)
            ETLRun.objects.filter(pk=run.pk).update(dead_lettered=F("dead_lettered") + len(bad))
        logger.info("page_cleaned", extra={"run": run.pk, "stream": page.stream, "good": len(good), "bad": len(bad)})
        crash_point("transform.after_batch")
    _refuse_a_changed_source(run)
    with ledger.guarded_transaction(run):
        dead_letters.close_stage_letters(run, run.stage)
        ledger.advance(run)
    crash_point("transform.before_publish")


def load(run: ETLRun) -> None:
    """Upsert facts, write log events, recompute metrics, move the cursors, finish: the last three in one commit."""
    batches = CleanBatch.objects.filter(page__run=run).order_by("page__number")
    for batch in _one_by_one(batches.filter(is_loaded=False)):
        with ledger.guarded_transaction(run):
            done = facts.upsert(
                batch.kind, json.loads(batch.content), repository=run.source.ensure_facts_repository(), run_id=run.pk, page_id=batch.page_id
            )
            CleanBatch.objects.filter(pk=batch.pk).update(is_loaded=True)
            ETLRun.objects.filter(pk=run.pk).update(
                loaded=F("loaded") + done.written,
                skipped=F("skipped") + done.skipped,
                dead_lettered=F("dead_lettered") + done.waiting,
            )
        crash_point("load.after_sql")
    for batch, events, tallies in _stored(batches.filter(is_stored=False)):
        crash_point("load.after_log_store")
        with ledger.guarded_transaction(run):
            log_facts.keep(run.source.service, source=run.source.name, run_id=run.pk, page_id=batch.page_id, events=events, tallies=tallies)
            CleanBatch.objects.filter(pk=batch.pk).update(is_stored=True)
            ETLRun.objects.filter(pk=run.pk).update(loaded=F("loaded") + batch.record_count, unparsed=F("unparsed") + batch.unparsed)
        crash_point("load.after_mark")
        del batch, events, tallies  # else they stay in memory while the next page is made ready beside the one under way
    crash_point("load.before_finish")
    with ledger.guarded_transaction(run):
        hold(run.source.service)
        _move_cursors(run)
        run.source.update_collected_repositories()
        recompute(run.source.service, run_id=run.pk)
        rules.evaluate(run.source.service)
        _finish(run)


def _stored(batches: Any) -> Iterator[tuple[CleanBatch, list[LogEvent], list[Tally]]]:
    """Batches of log events, each once the log store has it."""
    under_way: deque[tuple[CleanBatch, list[LogEvent]]] = deque()

    def pages() -> Iterator[list[LogEvent]]:
        for batch in _one_by_one(batches):
            under_way.append((batch, msgspec.json.decode(batch.content, type=list[LogEvent])))
            yield under_way[-1][1]

    for tallies in open_log_store().write_each(pages()):
        yield *under_way.popleft(), tallies


def _job(run: ETLRun) -> Job:
    since, until = run.options.get("since"), run.options.get("until")
    return Job(
        source=run.source,
        cursors=dict(Cursor.objects.filter(source=run.source).values_list("stream", "position")),
        progress={p.stream: Progress(resume=p.resume, cursor=p.cursor, is_done=p.is_done) for p in run.progress.all()},
        since=datetime.fromisoformat(since) if since else None,
        until=datetime.fromisoformat(until) if until else None,
        is_full=bool(run.options.get("full")),
        is_first_attempt=run.attempt == 1,
        news=run.options.get("news"),
        staged=partial(_staged, run),
    )


def _staged(run: ETLRun, stream: str) -> Iterator[StagedPage]:
    """Their bodies when they are looked at: often the contexts say enough."""
    return StagedPage.objects.filter(run=run, stream=stream).defer("body").order_by("number").iterator(chunk_size=PAGES_AT_ONCE)


def _bury_once(run: ETLRun, part: Unreadable) -> None:
    """A resumed run meets the same part again: that is no progress, and no second record."""
    mark = f"unreadable {hashlib.sha256(part.name.encode()).hexdigest()[:32]}"
    if run.progress.filter(stream=mark).exists():
        return
    with ledger.guarded_transaction(run):
        StreamProgress.objects.create(run=run, stream=mark, cursor={}, is_done=True)
        dead_letters.bury_unreadable(run, part)


def _stage(run: ETLRun, page: Page, number: int) -> None:
    StagedPage.objects.create(
        run=run,
        number=number,
        stream=page.stream,
        url=page.url,
        context=page.context,
        body=compressed(page.body),
        sha256=hashlib.sha256(page.body).hexdigest(),
        record_count=page.record_count,
        fetched_at=page.fetched_at,
    )
    ETLRun.objects.filter(pk=run.pk).update(extracted=F("extracted") + page.record_count)
    logger.info("page_staged", extra={"run": run.pk, "stream": page.stream, "records": page.record_count, "bytes": len(page.body)})


def _cursor_version(run: ETLRun, stream: str) -> int:
    return Cursor.objects.filter(source=run.source, stream=stream).values_list("version", flat=True).first() or 0


def _one_by_one(queryset: Any) -> Iterator[Any]:
    """Rows with large bodies: the keys at once, each row when its turn comes, and nothing beside it."""
    for pk in list(queryset.values_list("pk", flat=True)):
        yield queryset.model.objects.get(pk=pk)


def _clean(adapter: Adapter, run: ETLRun, page: StagedPage) -> tuple[list[Good], list[Bad]]:
    good: list[Good] = []
    bad: list[Bad] = []
    content = page.content
    try:
        for one in adapter.clean(run.source, page.stream, content, page.context):
            (good if isinstance(one, Good) else bad).append(one)  # type: ignore[arg-type]
    except UnreadablePage as exc:
        return [], [dead_letters.unreadable_page(content, str(exc))]
    return good, bad


def _recount(adapter: Adapter, run: ETLRun, page: StagedPage, *, found: int) -> None:
    """Whoever mended how a source is read, and replays a run, may find other records in the page than were counted when it was staged."""
    if found == page.record_count or adapter.count(run.source, page.content) != found:
        return  # as it should be; or records are lost, which ends the run
    StagedPage.objects.filter(pk=page.pk).update(record_count=found)
    ETLRun.objects.filter(pk=run.pk).update(extracted=F("extracted") + found - page.record_count)


def _refuse_a_changed_source(run: ETLRun) -> None:
    """Half of a stream bad is not bad records but a changed API or a wrong format: fail, and take its letters back."""
    batches = CleanBatch.objects.filter(page__run=run, is_loaded=False) | CleanBatch.objects.filter(page__run=run, is_stored=False)
    by_stream = batches.values("page__stream").annotate(good=Sum("record_count"), bad=Sum("dead_lettered"), unparsed=Sum("unparsed"))
    for counts in by_stream.order_by("page__stream"):
        stream, bad, total = counts["page__stream"], counts["bad"], counts["good"] + counts["bad"]
        not_as_they_should = bad + counts["unparsed"]
        if total < FEWEST_FOR_A_SHARE or not_as_they_should <= total * settings.ETL_MAX_BAD_SHARE:
            continue
        with ledger.guarded_transaction(run):
            CleanBatch.objects.filter(page__run=run, page__stream=stream).delete()
            StagedPage.objects.filter(run=run, stream=stream).update(is_clean=False)
            ETLRun.objects.filter(pk=run.pk).update(dead_lettered=F("dead_lettered") - bad)
            dead_letters.withdraw(run, stream)
        raise FatalError(
            f"{not_as_they_should} of {total} records of {stream} cannot be read: the source has changed, or its format is set wrongly; "
            f"the pages of run {run.pk} are kept: mend that, and replay the run"
        )


def _move_cursors(run: ETLRun) -> None:
    """Only from where the run found them: a run that was late, or replayed, moves nothing back."""
    moved: dict[str, dict[str, Any]] = {}
    for progress in run.progress.exclude(cursor={}).order_by("stream"):
        if progress.began_at_version == 0:
            _, is_moved = Cursor.objects.get_or_create(source=run.source, stream=progress.stream, defaults={"position": progress.cursor})
        else:
            standing = Cursor.objects.filter(source=run.source, stream=progress.stream, version=progress.began_at_version)
            is_moved = bool(standing.update(position=progress.cursor, version=F("version") + 1))
        if is_moved:
            moved[progress.stream] = progress.cursor
            _cover(run, progress.stream, progress.cursor)
    adapter_of(run.source).loaded(run.source, moved)


def _cover(run: ETLRun, stream: str, cursor: dict[str, Any]) -> None:
    if "collected_from" in cursor:
        span = {"since": parse_datetime(cursor["collected_from"]), "until": parse_datetime(cursor["collected_until"])}
        home = run.source.ensure_facts_repository()
        Coverage.objects.update_or_create(repository=home, stream=stream, defaults={"service_id": home.service_id, **span})


def _finish(run: ETLRun) -> None:
    counted = ETLRun.objects.get(pk=run.pk)
    settled = counted.loaded + counted.skipped + counted.dead_lettered
    if counted.extracted != settled:
        raise ArithmeticError(f"{counted.extracted} records extracted, {settled} accounted for: run {run.pk} does not balance")
    ETLRun.objects.filter(pk=run.pk).update(records_processed=settled)
    dead_letters.close_stage_letters(run, *ledger.STAGES)
    dead_letters.close_unreadable_letters(run)
    ledger.close(run.pk, ETLRun.Status.PARTIAL if counted.dead_lettered else ETLRun.Status.SUCCESS, attempt=run.attempt)
    if Source.objects.filter(pk=run.source_id, overdue_alerted_at__isnull=False).update(overdue_alerted_at=None):
        transaction.on_commit(partial(_tell_it_is_over, run))


def _tell_it_is_over(run: ETLRun) -> None:
    notify(
        warning_alert,
        sender=Source,
        message=f"{run.pipeline}: over: a run has succeeded again",
        context={"stage": "schedule", "error": "", "source": run.pipeline, "run": run.pk, "episode": "ended"},
    )
