"""The three stages of a run. A stage can be killed at any line; when it is started again, it completes the work."""

import hashlib
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import accumulate, chain, groupby
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from django.db.models import F, Q, QuerySet, Sum

from dora_metrics.derivation.recompute import hold
from dora_metrics.models import Repository
from etl_tasks import cursors, dead_letters, ledger, overdue_sources, waiting_events
from etl_tasks.crash_points import crash_point
from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.loaders import facts, log_facts
from etl_tasks.loaders.metrics import updating_metrics
from etl_tasks.models import CleanBatch, Cursor, ETLRun, Source, StagedPage, StreamProgress, compressed
from etl_tasks.outcomes import WHOLE_PAGE, Bad, Good, Unreadable, UnreadablePage
from etl_tasks.sources.adapter import LOG_EVENT, Adapter, Job, Learned, Page, Progress, lasting
from etl_tasks.sources.registry import adapter_of
from log_store.event import LogEvent
from log_store.opening import open_log_store
from log_store.store import Tally

logger = logging.getLogger(__name__)

Row = TypeVar("Row", StagedPage, CleanBatch)
PAGES_AT_ONCE = 100
PAGES_A_GROUP, RECORDS_A_GROUP = 10, 1000  # of pages that are staged or cleaned, or batches that are loaded, in one transaction
BYTES_A_GROUP = 4 * 1024 * 1024  # of the pages that are staged in one statement, unless a single page is larger
BODIES_A_QUERY = 10
LONGEST_WAIT_SECONDS = 2.0  # of a page without a body for the next page. Each commit renews the lease, which a slow source must not let end.
FEWEST_FOR_A_SHARE = 20  # with fewer records than this, a high share of bad ones may be chance


def extract(run: ETLRun) -> None:
    """Store a copy of everything that the source has after its cursors, page by page. A later attempt continues after the last committed page."""
    rows = _Extracted(run)
    waiting: list[Page] = []
    began_waiting = time.monotonic()
    try:
        for item in adapter_of(run.source).pages(_job(run, rows)):
            match item:
                case Unreadable():
                    _bury_once(run, item)
                case Learned():
                    _save_page_sizes(run, item)
                case Page():
                    began_waiting = began_waiting if waiting else time.monotonic()
                    waiting.append(item)
                    if _is_due(waiting) or time.monotonic() - began_waiting > LONGEST_WAIT_SECONDS:
                        due, waiting = waiting, []
                        _commit_pages(run, rows, due)
    except RetriableError:
        _commit_pages(run, rows, waiting)
        raise
    _commit_pages(run, rows, waiting)
    with ledger.guarded_transaction(run, "extract.end"):
        _complete_stage(run)


def transform(run: ETLRun) -> None:
    """Validate the staged pages: good records go into clean batches, bad ones become dead letters."""
    adapter = adapter_of(run.source)
    for pages in _groups(run, StagedPage.objects.filter(run=run, is_clean=False), by=["number"]):
        cleaned = [(page, *_clean(adapter, run, page)) for page in pages]
        batches = [_clean_batch(page, adapter.fact(page.stream, page.context), good, bad) for page, good, bad in cleaned]
        bad_count = sum(len(bad) for *_, bad in cleaned)
        with ledger.guarded_transaction(run, "transform.page", dead_lettered=F("dead_lettered") + bad_count):
            CleanBatch.objects.bulk_create(batches)
            for page, good, bad in cleaned:
                dead_letters.bury_records(run, page, bad)
                _correct_record_count(adapter, run, page, good, bad)
            StagedPage.objects.filter(pk__in=[page.pk for page in pages]).update(is_clean=True)
        for page, good, bad in cleaned:
            logger.info("page_cleaned", extra={"run": run.pk, "stream": page.stream, "good": len(good), "bad": len(bad)})
    _fail_if_source_changed(run)
    with ledger.guarded_transaction(run, "transform.end"):
        _complete_stage(run)


def load(run: ETLRun) -> None:
    """Upsert facts and write log events; then move the cursors, recompute metrics and end the run in one transaction."""
    _load_facts(run)
    _load_log_events(run)
    _finish(run)


def load_without_log_store(run: ETLRun, reason: str) -> None:
    """End a run whose log events could not be written. `reason`: why the log store did not take them.

    The facts are loaded and the cursors move, so that no file is read again. The events wait in the run's clean batches: when the log store
    is back, the sweep or `etl_load` lets the run continue. Until then an alert is open.
    """
    waiting = CleanBatch.objects.filter(page__run=run, is_stored=False).aggregate(count=Sum("record_count", default=0))["count"]
    _finish(run, waiting=waiting)
    waiting_events.begin_alert(reason)


def _finish(run: ETLRun, *, waiting: int = 0) -> None:
    """Move the cursors, recompute metrics and end the run in one transaction. `waiting`: how many log events wait for the log store."""
    with ledger.guarded_transaction(run, "load.end"):
        if waiting != run.waiting:
            ETLRun.objects.filter(pk=run.pk).update(waiting=waiting)
        is_empty = _is_empty(run)
        with updating_metrics(run.source.service, run_id=run.pk, has_new_facts=not is_empty) as metrics:
            _move_cursors(run)
            run.source.update_collected_repositories()
        _end_run(run, may_be_quiet=is_empty and not metrics.is_recomputed)


def stage_page(run: ETLRun, page: Page, number: int, *, is_clean: bool = False) -> StagedPage:
    """Store one answer of the source as page `number` of the run. `is_clean`: True if the transform stage must leave the page out."""
    staged = _staged_page(run, page, number, is_clean=is_clean)
    staged.save(force_insert=True)
    return staged


def _staged_page(run: ETLRun, page: Page, number: int, *, is_clean: bool = False) -> StagedPage:
    return StagedPage(
        run=run,
        number=number,
        stream=page.stream,
        url=page.url,
        context=page.context,
        body=compressed(page.body),
        sha256=hashlib.sha256(page.body).hexdigest(),
        record_count=page.record_count,
        fetched_at=page.fetched_at,
        is_clean=is_clean,
    )


def _complete_stage(run: ETLRun) -> None:
    dead_letters.close_stage_letters(run, run.stage)
    ledger.advance(run)


def _groups(run: ETLRun, rows: QuerySet[Row], *, by: Sequence[str]) -> Iterator[list[Row]]:
    """Yield the rows of a queryset, ordered by the columns `by`, in groups that one transaction can process. The last of `by` is the page number.

    A group has at most PAGES_A_GROUP rows, and RECORDS_A_GROUP records unless its first row has more. A chunk of a log, which is much larger
    than a page of a list, is a group of its own. Only one group is in memory at a time, because each row has a large page or batch. The ids
    of all rows are not kept either: a large log has many.
    """
    left, most = rows.order_by(*by), 1 if adapter_of(run.source).keeps_log_events else PAGES_A_GROUP
    while found := list(left.values_list("pk", "record_count", *by)[:PAGES_AT_ONCE]):
        _, _, *last = found[-1]
        while found:
            size = _group_size([count for _, count, *_ in found[:most]])
            group, found = found[:size], found[size:]
            by_pk = rows.model._default_manager.in_bulk([pk for pk, *_ in group])
            yield [by_pk[pk] for pk, *_ in group]
        left = rows.filter(_is_behind(by, last)).order_by(*by)


def _is_behind(by: Sequence[str], last: Sequence[Any]) -> Q:
    """Return the condition that a row comes after the one with the values `last`, if rows are ordered by the columns `by`."""
    (column, *columns), (value, *values) = by, last
    is_greater = Q(**{f"{column}__gt": value})
    return is_greater | (Q(**{column: value}) & _is_behind(columns, values)) if columns else is_greater


def _group_size(record_counts: Sequence[int]) -> int:
    """Return how many of the next rows have at most RECORDS_A_GROUP records together; at least 1. `record_counts`: those of the next rows."""
    return max(1, sum(total <= RECORDS_A_GROUP for total in accumulate(record_counts)))


# --- extract --------------------------------------------------------------------------------------------------------


class _Extracted:
    """The rows that a run has while an attempt extracts it. Nobody else writes them, because the attempt holds the run's lease.

    `page_count`: of the run. `with_pages`, `with_context`, `with_progress`: the streams that have staged pages, pages with a context, and a row
    of progress.
    """

    def __init__(self, run: ETLRun) -> None:
        contexts = list(run.pages.values_list("stream", "context"))
        cursors = list(Cursor.objects.filter(source=run.source).values_list("stream", "position", "version"))
        self.page_count, self.with_pages = len(contexts), {stream for stream, _ in contexts}
        self.with_context = {stream for stream, context in contexts if context}
        self.positions = {stream: position for stream, position, _ in cursors}
        self.versions = {stream: version for stream, _, version in cursors}
        self.progress = {p.stream: Progress(resume=p.resume, cursor=p.cursor, is_done=p.is_done) for p in run.progress.all()}
        self.with_progress = set(self.progress)


def _job(run: ETLRun, rows: _Extracted) -> Job:
    since, until = run.options.get("since"), run.options.get("until")
    return Job(
        source=run.source,
        cursors=rows.positions,
        progress=rows.progress,
        since=datetime.fromisoformat(since) if since else None,
        until=datetime.fromisoformat(until) if until else None,
        is_full=bool(run.options.get("full")),
        is_between_nights=run.trigger == ETLRun.Trigger.INTERVAL,
        is_first_attempt=run.attempt == 1,
        survey=run.options.get("news"),
        staged=partial(_staged, run, rows),
    )


def _staged(run: ETLRun, rows: _Extracted, stream: str, *, with_bodies: bool = False) -> Iterator[StagedPage]:
    """Yield the pages that the run has staged of a stream: `with_bodies`, all of them; otherwise those with a context, without their bodies.

    A body that was not read with the row is read when it is accessed.
    """
    if stream not in (rows.with_pages if with_bodies else rows.with_context):
        return
    found, after = StagedPage.objects.filter(run=run, stream=stream).order_by("number"), 0
    found, size = (found, BODIES_A_QUERY) if with_bodies else (found.defer("body"), PAGES_AT_ONCE)
    while pages := list(found.filter(number__gt=after)[:size]):
        yield from (page for page in pages if with_bodies or page.context)
        after = pages[-1].number


def _is_due(pages: Sequence[Page]) -> bool:
    """Return whether the pages have to be committed now.

    Pages without a body have only progress, so they wait for the next page. A page with a body must be staged before the source reads on,
    because what it reads next may depend on what was staged.
    """
    size = sum(len(page.body) for page in pages)
    return bool(size and not pages[-1].is_followed) or len(pages) == PAGES_A_GROUP or size > BYTES_A_GROUP


def _commit_pages(run: ETLRun, rows: _Extracted, pages: Sequence[Page]) -> None:
    """Store the pages and the progress of their streams together. Of a page without a body, only the progress is stored."""
    if not pages:
        return
    with_body = [page for page in pages if page.body]
    staged = [_staged_page(run, page, number) for number, page in enumerate(with_body, start=rows.page_count + 1)]
    with ledger.guarded_transaction(run, "extract.page", extracted=F("extracted") + sum(page.record_count for page in with_body)):
        if staged:
            StagedPage.objects.bulk_create(staged)
        for stream, page in {page.stream: page for page in pages}.items():  # a stream's last page says how far it has been read
            position = {"resume": page.resume, "cursor": page.cursor, "is_done": page.is_done}
            if stream in rows.with_progress:
                StreamProgress.objects.filter(run=run, stream=stream).update(**position)
            else:
                StreamProgress.objects.create(run=run, stream=stream, began_at_version=rows.versions.get(stream, 0), **position)
    rows.page_count += len(staged)
    rows.with_pages |= {page.stream for page in with_body}
    rows.with_context |= {page.stream for page in with_body if page.context}
    rows.with_progress |= {page.stream for page in pages}
    for page in with_body:
        logger.info("page_staged", extra={"run": run.pk, "stream": page.stream, "records": page.record_count, "bytes": len(page.body)})


def _save_page_sizes(run: ETLRun, learned: Learned) -> None:
    with ledger.guarded_transaction(run, "extract.page_sizes", is_progress=False):
        Source.objects.filter(pk=run.source_id).update(page_sizes=learned.page_sizes)


def _bury_once(run: ETLRun, part: Unreadable) -> None:
    """Write the dead letter of an unreadable part, unless this run has written it already.

    When an attempt is repeated, it finds the same part again, and the part must not be counted twice.
    """
    marker = f"unreadable {dead_letters.unreadable_digest(part)}"
    if run.progress.filter(stream=marker).exists():
        return
    with ledger.guarded_transaction(run, "extract.unreadable"):
        StreamProgress.objects.create(run=run, stream=marker, cursor={}, is_done=True)
        dead_letters.bury_unreadable(run, part)


# --- transform ------------------------------------------------------------------------------------------------------


def _clean(adapter: Adapter, run: ETLRun, page: StagedPage) -> tuple[list[Good], list[Bad]]:
    good: list[Good] = []
    bad: list[Bad] = []
    content = page.content
    try:
        for record in adapter.clean(run.source, page.stream, content, page.context):
            (good if isinstance(record, Good) else bad).append(record)  # type: ignore[arg-type]
    except UnreadablePage as exc:
        return [], [dead_letters.unreadable_page(content, str(exc))]
    return good, bad


def _clean_batch(page: StagedPage, kind: str, good: list[Good], bad: list[Bad]) -> CleanBatch:
    """Return the row that stores the page's valid records.

    Facts are loaded only into the SQL database, and log events only into the log store, unless they report deployments. The flag of a
    destination that a batch does not need (`is_loaded` for log events, `is_stored` for facts) is True at once.
    """
    is_log = kind == LOG_EVENT
    return CleanBatch(
        page_id=page.pk,  # not page=page: the objects would refer to each other and stay in memory until garbage collection
        kind=kind,
        records=compressed(msgspec.json.encode([record.fact for record in good])),
        record_count=len(good),
        dead_lettered=len(bad),
        unparsed=sum(record.is_unparsed for record in good),
        is_loaded=is_log and not log_facts.has_deployments(record.fact for record in good),
        is_stored=not is_log,
    )


def _correct_record_count(adapter: Adapter, run: ETLRun, page: StagedPage, good: list[Good], bad: list[Bad]) -> None:
    """Correct the page's record count if the page is unreadable, or if the source's settings were changed since the page was staged.

    An unreadable page counts as one record, because it has one letter. Extract may have read it: how deeply nested JSON Python decodes
    depends on the depth of the call. Otherwise, if `Adapter.count` does not find as many records as transform, transform has missed some:
    the page's count stays, and the check at the end of `load` fails.
    """
    found, is_unreadable = len(good) + len(bad), any(record.index == WHOLE_PAGE for record in bad)
    if found == page.record_count or not (is_unreadable or adapter.count(run.source, page.content) == found):
        return
    StagedPage.objects.filter(pk=page.pk).update(record_count=found)
    ETLRun.objects.filter(pk=run.pk).update(extracted=F("extracted") + found - page.record_count)


def _fail_if_source_changed(run: ETLRun) -> None:
    """If more than ETL_MAX_BAD_PERCENT of a stream's records are bad or unparsed, delete their dead letters and raise FatalError.

    With such a share, the cause is a changed API or a wrong format, not single bad records.
    """
    batches = CleanBatch.objects.filter(page__run=run, is_loaded=False) | CleanBatch.objects.filter(page__run=run, is_stored=False)
    by_stream = batches.values("page__stream").annotate(good=Sum("record_count"), bad=Sum("dead_lettered"), unparsed=Sum("unparsed"))
    for counts in by_stream.order_by("page__stream"):
        stream, bad, total = counts["page__stream"], counts["bad"], counts["good"] + counts["bad"]
        unreadable = bad + counts["unparsed"]
        if total < FEWEST_FOR_A_SHARE or unreadable <= total * settings.ETL_MAX_BAD_SHARE:
            continue
        with ledger.guarded_transaction(run, "transform.withdraw"):
            CleanBatch.objects.filter(page__run=run, page__stream=stream).delete()
            StagedPage.objects.filter(run=run, stream=stream).update(is_clean=False)
            ETLRun.objects.filter(pk=run.pk).update(dead_lettered=F("dead_lettered") - bad)
            dead_letters.withdraw(run, stream)
        raise FatalError(
            f"{unreadable} of {total} records of {stream} cannot be read: the source has changed, or its format is set wrongly; "
            f"the pages of run {run.pk} are kept: mend that, and replay the run"
        )


# --- load -----------------------------------------------------------------------------------------------------------


def _load_facts(run: ETLRun) -> None:
    """Load the facts, and the deployments in log events. The latter are loaded again with the counts that the log store returns.

    The facts of several pages that are of the same kind are written together, so one stream is loaded after the other.
    """
    for batches in _groups(run, CleanBatch.objects.filter(page__run=run, is_loaded=False), by=["page__stream", "page__number"]):
        with ledger.guarded_transaction(run, "load.facts"):
            hold(run.source.service)
            CleanBatch.objects.filter(pk__in=[batch.pk for batch in batches]).update(is_loaded=True)
            done = [_load_batches(run, kind, list(same)) for kind, same in groupby(batches, key=lambda batch: batch.kind)]
            if any(one.written for one in done):
                Repository.note_new_facts(run.source.ensure_facts_repository().pk)
            ETLRun.objects.filter(pk=run.pk).update(
                loaded=F("loaded") + sum(one.written for one in done),
                skipped=F("skipped") + sum(one.skipped for one in done),
                dead_lettered=F("dead_lettered") + sum(one.waiting for one in done),
            )


def _load_batches(run: ETLRun, kind: str, batches: Sequence[CleanBatch]) -> facts.Upserted:
    if kind != LOG_EVENT:
        pages = ((batch.page_id, batch.content) for batch in batches)
        return facts.upsert_batches(kind, pages, repository=run.source.ensure_facts_repository(), run_id=run.pk)
    for batch in batches:
        origin = {"run_id": run.pk, "page_id": batch.page_id}
        log_facts.upsert(run.source.service, source=run.source.name, events=_events(batch), tallies=(), **origin)
    return facts.Upserted(written=0, skipped=0)


def _load_log_events(run: ETLRun) -> None:
    for batch, events, tallies in _write_to_log_store(run):
        counts: dict[str, Any] = {"loaded": F("loaded") + batch.record_count, "unparsed": F("unparsed") + batch.unparsed}
        if run.waiting:
            counts["waiting"] = F("waiting") - batch.record_count
        with ledger.guarded_transaction(run, "load.log_events", **counts):
            log_facts.upsert(run.source.service, source=run.source.name, run_id=run.pk, page_id=batch.page_id, events=events, tallies=tallies)
            CleanBatch.objects.filter(pk=batch.pk).update(is_stored=True)
        del batch, events, tallies  # otherwise they stay in memory while the next page is prepared


def _events(batch: CleanBatch) -> list[LogEvent]:
    return msgspec.json.decode(batch.content, type=list[LogEvent])


def _write_to_log_store(run: ETLRun) -> Iterator[tuple[CleanBatch, list[LogEvent], list[Tally]]]:
    """Write the log events to the log store. Yield each batch, with its events and their tallies (counts per hour), once it is written."""
    in_progress: deque[tuple[CleanBatch, list[LogEvent]]] = deque()

    def pages() -> Iterator[list[LogEvent]]:
        batches = _groups(run, CleanBatch.objects.filter(page__run=run, is_stored=False), by=["page__number"])
        for batch in chain.from_iterable(batches):
            in_progress.append((batch, _events(batch)))
            crash_point("load.log_store.before")
            yield in_progress[-1][1]

    for tallies in open_log_store().write_each(pages()):
        crash_point("load.log_store.after")
        yield *in_progress.popleft(), tallies


def _is_empty(run: ETLRun) -> bool:
    """Return whether the run is one between two nights that found nothing new: no pages, no new dead letters, and no cursor that moves on.

    A cursor does not move on if only the time changes at which its stream was read.
    """
    if run.trigger != ETLRun.Trigger.INTERVAL or run.pages.exists() or run.dead_letters.exists():
        return False
    stored = dict(Cursor.objects.filter(source=run.source).values_list("stream", "position"))
    read = run.progress.exclude(cursor={}).values_list("stream", "cursor")
    return all(lasting(cursor) == lasting(stored.get(stream, {})) for stream, cursor in read)


def _move_cursors(run: ETLRun) -> None:
    progress = list(run.progress.exclude(cursor={}).order_by("stream"))
    began_at = {stream.stream: stream.began_at_version for stream in progress}
    moved = cursors.move(run.source, {stream.stream: stream.cursor for stream in progress}, began_at=began_at)
    adapter_of(run.source).loaded(run.source, moved)


def _end_run(run: ETLRun, *, may_be_quiet: bool) -> None:
    """Check that every extracted record is accounted for, close the dead letters whose data this run has read, and end the run.

    `may_be_quiet`: the run has written nothing that refers to it. It is quiet if it has ended no failure either.
    """
    counted = ETLRun.objects.get(pk=run.pk)
    settled = counted.loaded + counted.skipped + counted.dead_lettered
    if counted.extracted != settled + counted.waiting:
        raise ArithmeticError(f"{counted.extracted} records extracted, {settled + counted.waiting} accounted for: run {run.pk} does not balance")
    ETLRun.objects.filter(pk=run.pk).update(records_processed=settled)
    dead_letters.close_stage_letters(run, *ledger.STAGES)
    dead_letters.close_unreadable_letters(run)
    ledger.close(run.pk, ETLRun.Status.PARTIAL if counted.dead_lettered or counted.waiting else ETLRun.Status.SUCCESS, attempt=run.attempt)
    was_overdue = overdue_sources.end_episode(run)
    if may_be_quiet and not was_overdue and not dead_letters.has_closed_letters(run):
        ETLRun.objects.filter(pk=run.pk).update(is_quiet=True)
