"""Delete what is no longer needed, each kind of rows after so many days. docs/operate.md, "What is deleted, and when", has the rules.

Rows are deleted in small batches, each in its own transaction, with a pause after each batch. So a prune may be killed at any time and begun
again, and two may run at once.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import OperationalError, transaction
from django.db.models import Exists, Max, Model, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat, Right
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django_celery_results.models import TaskResult

from dora_metrics.models import AlertEpisode, MetricRevision
from etl_tasks import heartbeats
from etl_tasks.dead_letters import UNREADABLE_DIGITS
from etl_tasks.fault_isolation import isolated
from etl_tasks.models import CleanBatch, Cursor, DeadLetter, ETLRun, Heartbeat, Source, StagedPage, StreamProgress
from etl_tasks.sources.logs import gone_files
from etl_tasks.sources.registry import kinds_with_log_events
from log_store.opening import all_log_stores

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 1000
PAGES_AT_ONCE = 100  # fewer, because a page may be large
RUNS_AT_ONCE = 100
TRIES = 5  # of one batch, if the database was locked or ended the transaction to end a deadlock
FEWEST_DAYS_OF_RUNS = 32  # the pages and reports about the last nights look back for a month
LONGEST_PAUSE_SECONDS = 2.0
FAR_PAST = datetime(1970, 1, 1, tzinfo=UTC)
EVERY = Q()
CURSORS, LETTERS, PAGES, PROGRESS, RUNS = "cursors", "letters", "pages", "progress", "runs"


@dataclass(frozen=True)
class Table:
    """One kind of rows that are deleted when they are old.

    `setting`: the name of the setting with the number of days. `count`, `delete`: take the time before which rows are old; `count` returns
    how many rows would be deleted, `delete` deletes them and yields the size of each batch.
    """

    name: str
    label: Any  # the plural name for people, lazily translated
    setting: str
    count: Callable[[datetime], int]
    delete: Callable[[datetime], Iterator[int]]

    @property
    def days(self) -> int:
        """After how many days rows are deleted; 0: never."""
        days: int = getattr(settings, self.setting)
        return max(days, FEWEST_DAYS_OF_RUNS) if days and self.name == RUNS else days

    @property
    def before(self) -> datetime | None:
        """The time before which rows are old; None if no row ever is."""
        return now() - timedelta(days=self.days) if self.days else None


@dataclass
class Outcome:
    """What a prune has deleted, by the name of the table; which tables failed; and whether the time was long enough for all of it."""

    deleted: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    is_finished: bool = True


def count_old() -> dict[str, int]:
    """Return how many rows `prune` would delete now, by the name of the table. Raises LogStoreUnavailable."""
    return {table.name: table.count(before) if (before := table.before) else 0 for table in TABLES}


def prune(*, until: float = math.inf, report: Callable[[Table, int], None] = lambda table, count: None) -> Outcome:
    """Delete what is old. If one table fails, the others are still pruned; the failure becomes a Fault, like that of a step of the sweep.

    `until`: stop at this time, a value of `time.monotonic`. `report` is called after each batch with its size.
    """
    outcome = Outcome()
    for table in TABLES:
        outcome.deleted[table.name] = 0
        outcome.failed.append(table.name)
        with isolated(fault_name(table)):
            _prune_table(table, outcome, until=until, report=report)
            outcome.failed.remove(table.name)
        if not outcome.is_finished:
            break
    logger.info("pruned", extra={"rows": {name: count for name, count in outcome.deleted.items() if count}, "is_finished": outcome.is_finished})
    return outcome


def fault_name(table: Table) -> str:
    return f"the deletion of old {table.name.replace('_', ' ')}"


def _prune_table(table: Table, outcome: Outcome, *, until: float, report: Callable[[Table, int], None]) -> None:
    """Delete the old rows of one table. After each batch, leave the database to others for as long as the batch took."""
    before = table.before
    if before is None:
        return
    began = time.monotonic()
    for count in table.delete(before):
        outcome.deleted[table.name] += count
        report(table, count)
        if time.monotonic() > until:
            outcome.is_finished = False
            return
        time.sleep(min(time.monotonic() - began, LONGEST_PAUSE_SECONDS))
        began = time.monotonic()


def _cutoff(name: str) -> datetime | None:
    return next(table.before for table in TABLES if table.name == name)


# --- runs, and what belongs to them -------------------------------------------------------------------------------------


def _settled_runs(before: datetime) -> QuerySet[ETLRun]:
    """Return the runs that ended before this time, and whose data nothing needs any more.

    A run with an open letter may be replayed, and one whose log events wait for the log store will be resumed. A failed or cancelled run
    may have the only copy of lines whose file is gone, until a later run of its source has succeeded.
    """
    open_letters = DeadLetter.objects.filter(run=OuterRef("pk"), state=DeadLetter.State.OPEN)
    ended = ETLRun.objects.filter(completed_at__lt=before).exclude(status__in=ETLRun.ACTIVE).exclude(status__in=ETLRun.GOOD, waiting__gt=0)
    return ended.filter(~Exists(open_letters), Q(status__in=ETLRun.GOOD) | Exists(_later_successes()))


def _later_successes() -> QuerySet[ETLRun]:
    return ETLRun.objects.filter(source=OuterRef("source"), pk__gt=OuterRef("pk"), status__in=ETLRun.GOOD)


def _last_pages(before: datetime) -> set[int]:
    """Return the page of the last events of each log file that still existed at this time.

    The next lines of the file that have no time take the time of the event before them. A file that is gone may come back, so it counts for
    as long as other batches and pages are kept.
    """
    batches = CleanBatch.objects.filter(page__run__source__kind__in=kinds_with_log_events(), record_count__gt=0)
    newest = batches.order_by().values_list("page__run__source", "page__stream").annotate(Max("page_id"))
    gone = [pk for keys in gone_files.gone_cursors(before).values() for pk in keys]
    cursors = Cursor.objects.filter(source__kind__in=kinds_with_log_events()).exclude(pk__in=gone)
    followed = set(cursors.values_list("source_id", "stream"))
    return {page_id for source_id, stream, page_id in newest if (source_id, stream) in followed}


def _loaded() -> Q:
    return Q(is_loaded=True, is_stored=True)


def _count_batches(before: datetime) -> int:
    """Return how many batches are loaded and old, or belong to an old page."""
    is_old = Q(_loaded(), page__run__in=_settled_runs(before))
    if pages_before := _cutoff(PAGES):
        is_old |= Q(page__run__in=_settled_runs(pages_before))
    return CleanBatch.objects.filter(is_old).exclude(page_id__in=_last_pages(before)).count()


def _delete_batches(before: datetime) -> Iterator[int]:
    kept, pages_before = _last_pages(before), _cutoff(PAGES) or FAR_PAST
    runs = _settled_runs(max(before, pages_before)).filter(Exists(CleanBatch.objects.filter(page__run=OuterRef("pk"))))
    for chunk in _in_chunks(runs):
        of_loaded = [pk for pk, completed_at in chunk if completed_at < before]
        of_all = [pk for pk, completed_at in chunk if completed_at < pages_before]
        rows = CleanBatch.objects.filter(Q(_loaded(), page__run__in=of_loaded) | Q(page__run__in=of_all))
        yield from _in_batches(rows.exclude(page_id__in=kept & set(rows.values_list("page_id", flat=True))))


def _count_pages(before: datetime) -> int:
    return StagedPage.objects.filter(run__in=_settled_runs(before)).exclude(pk__in=_last_pages(before)).count()


def _delete_pages(before: datetime) -> Iterator[int]:
    kept = _last_pages(before)
    for chunk in _in_chunks(_settled_runs(before).filter(Exists(StagedPage.objects.filter(run=OuterRef("pk"))))):
        rows = StagedPage.objects.filter(run__in=[pk for pk, _ended in chunk])
        yield from _in_batches(rows.exclude(pk__in=kept & set(rows.values_list("pk", flat=True))))


def _count_progress(before: datetime) -> int:
    return StreamProgress.objects.filter(run__in=_settled_runs(before)).count()


def _delete_progress(before: datetime) -> Iterator[int]:
    """Delete the progress of runs. Positions in log files of runs that did not succeed need more care: see gone_files.py."""
    for chunk in _in_chunks(_settled_runs(before).filter(Exists(StreamProgress.objects.filter(run=OuterRef("pk"))))):
        rows = StreamProgress.objects.filter(run__in=[pk for pk, _ended in chunk])
        of_logs = rows.filter(run__source__kind__in=kinds_with_log_events(), run__status__in=gone_files.LOST)
        by_source: dict[int, list[int]] = {}
        for source_id, pk in of_logs.values_list("run__source_id", "pk"):
            by_source.setdefault(source_id, []).append(pk)
        for source_id, keys in by_source.items():
            yield gone_files.forget_progress(source_id, keys)
        yield from _in_batches(rows.exclude(pk__in=[pk for keys in by_source.values() for pk in keys]))


def _old_runs(before: datetime) -> QuerySet[ETLRun]:
    """Return the runs that go when their letters, pages and progress have gone. The last successful run of a source is none of them."""
    pages_before, progress_before = _cutoff(PAGES), _cutoff(PROGRESS)
    if not pages_before or not progress_before:
        return ETLRun.objects.none()
    kept_letters = DeadLetter.objects.filter(run=OuterRef("pk"))
    if letters_before := _cutoff(LETTERS):
        kept_letters = kept_letters.exclude(pk__in=_old_letters(letters_before).values("pk"))
    with_last_page = StagedPage.objects.filter(pk__in=_last_pages(pages_before)).values("run")
    runs = _settled_runs(min(before, pages_before, progress_before))
    return runs.filter(Exists(_later_successes()), ~Exists(kept_letters)).exclude(pk__in=with_last_page)


def _delete_runs(before: datetime) -> Iterator[int]:
    left = (Exists(model._default_manager.filter(run=OuterRef("pk"))) for model in (StagedPage, DeadLetter, StreamProgress))
    return _in_batches(_old_runs(before).filter(*(~exists for exists in left)))


# --- letters ----------------------------------------------------------------------------------------------------------


def _old_letters(before: datetime) -> QuerySet[DeadLetter]:
    """Return the letters that were closed before this time, except discarded ones that keep something from being reported again.

    The letter of a record of a list says that the record is known although it is not stored: the next night compares GitHub's counts with
    that. The letter of a file that cannot be read is kept while runs still meet the file.
    """
    closed = DeadLetter.objects.filter(resolved_at__lt=before).exclude(state=DeadLetter.State.OPEN)
    of_stage, of_log = Q(kind=DeadLetter.Kind.STAGE), Q(source__kind__in=kinds_with_log_events())
    marker = Concat(Value("unreadable "), Right(OuterRef("key"), UNREADABLE_DIGITS))
    met = StreamProgress.objects.filter(run__source=OuterRef("source"), stream=marker)
    if progress_before := _cutoff(PROGRESS):
        met = met.exclude(run__in=_settled_runs(progress_before))
    is_met = Exists(met)
    is_unreadable = Q(key__startswith="unreadable:")
    may_return = (is_unreadable & is_met) | (~of_log & ~is_unreadable)
    return closed.filter(of_stage | Q(state=DeadLetter.State.REPLAYED) | ~may_return)


def _delete_letters(before: datetime) -> Iterator[int]:
    # A run that fails while this works may open the letter again.
    return _in_batches(_old_letters(before), still=Q(resolved_at__lt=before))


# --- the rest ---------------------------------------------------------------------------------------------------------


def _old_heartbeats(before: datetime) -> QuerySet[Heartbeat]:
    needed = {*(queue.name for queue in settings.CELERY_TASK_QUEUES), *(source.extract_queue for source in Source.objects.all())}
    names = {heartbeats.SWEEP, heartbeats.LOOK, *map(heartbeats.name_of_queue, needed)}
    return Heartbeat.objects.filter(seen_at__lt=before).exclude(name__in=names)


def _count_gone_files(before: datetime) -> int:
    return sum(len(keys) for keys in gone_files.gone_cursors(before).values())


def _count_events(before: datetime) -> int:
    return sum(store.expired(before) for store in all_log_stores())


def _delete_events(before: datetime) -> Iterator[int]:
    for store in all_log_stores():
        yield from store.expire(before)


# --- deleting ---------------------------------------------------------------------------------------------------------


def _in_chunks(runs: QuerySet[ETLRun]) -> Iterator[list[tuple[int, datetime]]]:
    """Yield the runs, as pairs of their id and the time when they ended."""
    last = 0
    while chunk := list(runs.filter(pk__gt=last).order_by("pk").values_list("pk", "completed_at")[:RUNS_AT_ONCE]):
        last = chunk[-1][0]
        yield [(pk, completed_at) for pk, completed_at in chunk if completed_at]


def _in_batches(rows: QuerySet[Any], *, still: Q = EVERY) -> Iterator[int]:
    """Delete the rows in batches, and yield the size of each batch. `still`: a condition that a row must still fulfil when it is deleted.

    The rows are not sorted, because sorting millions of rows for each batch would take longer than deleting the batch.
    """
    most = PAGES_AT_ONCE if rows.model in (CleanBatch, StagedPage) else ROWS_AT_ONCE
    while keys := list(rows.order_by().values_list("pk", flat=True)[:most]):
        yield _delete(rows.model._base_manager.filter(still, pk__in=keys))


def _delete(rows: QuerySet[Any]) -> int:
    """Delete the rows of one batch, and return how many."""
    tries = 1
    while True:
        try:
            with transaction.atomic():
                # `only`, because otherwise Django reads all columns of the rows before it deletes them, also the large contents of pages.
                return rows.only("pk").delete()[1].get(rows.model._meta.label, 0)
        except OperationalError:
            if tries == TRIES:
                raise
            time.sleep(0.2 * tries)
            tries += 1


def _simple(name: str, label: Any, setting: str, rows: Callable[[datetime], QuerySet[Any]]) -> Table:
    return Table(name, label, setting, lambda before: rows(before).count(), lambda before: _in_batches(rows(before)))


def _older(model: type[Model], column: str) -> Callable[[datetime], QuerySet[Any]]:
    return lambda before: model._default_manager.filter(**{f"{column}__lt": before})


# Rows come before those that they keep from being deleted.
TABLES: tuple[Table, ...] = (
    Table(CURSORS, _("cursors of log files that are gone"), "ETL_KEEP_GONE_FILES_DAYS", _count_gone_files, gone_files.forget_cursors),
    Table(LETTERS, _("closed dead letters"), "ETL_KEEP_LETTERS_DAYS", lambda before: _old_letters(before).count(), _delete_letters),
    Table("batches", _("clean batches"), "ETL_KEEP_BATCHES_DAYS", _count_batches, _delete_batches),
    Table(PAGES, _("staged pages"), "ETL_KEEP_PAGES_DAYS", _count_pages, _delete_pages),
    Table(PROGRESS, _("stream progress"), "ETL_KEEP_PROGRESS_DAYS", _count_progress, _delete_progress),
    Table(RUNS, _("ETL runs"), "ETL_KEEP_RUNS_DAYS", lambda before: _old_runs(before).count(), _delete_runs),
    Table("log_events", _("log events in the SQL database"), "ETL_KEEP_LOG_EVENTS_DAYS", _count_events, _delete_events),
    _simple("revisions", _("metric revisions"), "ETL_KEEP_REVISIONS_DAYS", _older(MetricRevision, "revised_at")),
    _simple("alert_episodes", _("ended alert episodes"), "ETL_KEEP_EPISODES_DAYS", _older(AlertEpisode, "ended_at")),
    _simple("task_results", _("task results"), "ETL_KEEP_RESULTS_DAYS", _older(TaskResult, "date_done")),
    _simple("heartbeats", _("heartbeats"), "ETL_KEEP_HEARTBEATS_DAYS", _old_heartbeats),
    _simple("sessions", _("expired sessions"), "ETL_KEEP_SESSIONS_DAYS", _older(Session, "expire_date")),
    _simple("audit_rows", _("audit rows"), "ETL_KEEP_AUDIT_DAYS", _older(LogEntry, "action_time")),
)
