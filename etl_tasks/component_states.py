"""What works and what does not: database, migrations, broker, log store, beat, workers, and the sources' latest successes.

`component_states` is the answer of /readyz and of the operations page. It takes at most a few seconds, even if a server hangs, and never
raises. Servers are asked in threads. Beat and workers are judged by what they have stored: beat stores when it last sent a task, and the
sweep stores when it ran and which queues workers take (etl_tasks/host_watch.py).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_celery_beat.models import PeriodicTask

from dora_metrics.display import minute_text
from etl_tasks import heartbeats, pipeline
from etl_tasks.bounded_checks import BoundedCheck, Unanswered
from etl_tasks.models import ETLRun, Source
from etl_tasks.overdue_sources import overdue_sources
from log_store.opening import open_log_store

logger = logging.getLogger(__name__)

NAMES = ("database", "migrations", "broker", "log_store", "beat", "workers", "sources")
DATABASE, MIGRATIONS, BROKER, LOG_STORE, BEAT, WORKERS, SOURCES = NAMES
ANSWER_SECONDS = 3.0  # how long a server may take
# Beat and the sweep may be silent for this long, or for three intervals of the sweep if that is longer.
SILENT_AFTER = timedelta(minutes=5)
SWEEP = "etl.sweep"  # the task of beat's entry for the sweep
SHARED_QUEUES = ("transform", "load", "sweep")
MOST_NAMED = 10

_database, _broker, _log_store, _queues = BoundedCheck(), BoundedCheck(), BoundedCheck(), BoundedCheck()
_migrated_tables: set[str] = set()  # names of databases in which every migration of this version is applied


@dataclass(frozen=True)
class ComponentState:
    """Whether one component works.

    `name`: one of NAMES. `is_ok`: None if that is unknown, because the database, from which the answer comes, does not work. `sentence`:
    what is wrong and what to do, for operators, in the active language; may also say why an unused component is no problem; else empty.
    `seen_at`: when beat or a worker was last seen to work, if that is known.
    """

    name: str
    is_ok: bool | None
    sentence: str = ""
    seen_at: datetime | None = None


def component_states(*, timeout_s: float = ANSWER_SECONDS) -> list[ComponentState]:
    """Return the state of each component, in the order of NAMES. `timeout_s`: how long a server may take to answer.

    Database, broker and log store are asked at the same time. The rest is read from the database by the calling thread, with at most
    eight queries, and only if the database has just answered.
    """
    deadline = monotonic() + timeout_s
    waiting = {
        DATABASE: _database.begin(_check_database),
        BROKER: _broker.begin(pipeline.check_broker),
        LOG_STORE: _log_store.begin(lambda: open_log_store().ping()),
    }
    asked = {name: _asked(name, wait, deadline, timeout_s) for name, wait in waiting.items()}
    stored: dict[str, ComponentState] = {}
    if asked[DATABASE].is_ok:
        try:
            stored = _stored_states()
        except DatabaseError as exc:
            asked[DATABASE] = _failed(DATABASE, exc)
    if stored and _is_without_beat(stored[BEAT]):
        unused = _("not used, because commands start the runs (no beat has ever run)")
        stored |= {name: ComponentState(name, is_ok=True, sentence=unused) for name in (BEAT, WORKERS)}
        if not asked[BROKER].is_ok:
            asked[BROKER] = ComponentState(BROKER, is_ok=True, sentence=unused)
    unknown = _("unknown, because the database does not work")
    return [asked.get(name) or stored.get(name) or ComponentState(name, is_ok=None, sentence=unknown) for name in NAMES]


def queue_lengths(*, timeout_s: float = ANSWER_SECONDS) -> dict[str, int] | None:
    """Return how many messages wait in each queue that the enabled sources need; None if the broker does not answer in time.

    One query. Do not call this function if `component_states` says that the broker does not work.
    """
    names = needed_queues()
    try:
        lengths: dict[str, int] = _queues.begin(partial(pipeline.queue_lengths, names))(timeout_s)
    except (Unanswered, pipeline.BrokerAway):
        return None
    return lengths


def beat_sent_at() -> datetime | None:
    """Return when beat last sent a task; None if it has never sent one. One query."""
    return PeriodicTask.objects.exclude(last_run_at=None).order_by("-last_run_at").values_list("last_run_at", flat=True).first()


def needed_queues() -> list[str]:
    """Return the names of the queues that workers must take: those of the enabled sources, and the shared ones. One query."""
    hosts = Source.objects.filter(is_enabled=True).order_by("host").values_list("host", flat=True).distinct()
    return [*(Source(host=host).extract_queue for host in hosts), *SHARED_QUEUES]


# --- asking servers -------------------------------------------------------------------------------------------------


def _asked(name: str, wait: Callable[[float], Any], deadline: float, timeout_s: float) -> ComponentState:
    try:
        wait(deadline - monotonic())
    except Unanswered:
        problem = _("it has not answered within %(seconds)g seconds") % {"seconds": timeout_s}
        return ComponentState(name, is_ok=False, sentence=f"{problem}: {_what_to_do(name)}")
    except Exception as exc:  # noqa: BLE001  any error means that the component does not work
        return _failed(name, exc)
    return ComponentState(name, is_ok=True)


def _failed(name: str, exc: Exception) -> ComponentState:
    # Only the type is shown and logged, because a driver's message may contain a password.
    logger.warning("component_failed", extra={"component": name, "error": type(exc).__name__})
    problem = _("it does not work (%(error)s)") % {"error": type(exc).__name__}
    return ComponentState(name, is_ok=False, sentence=f"{problem}: {_what_to_do(name)}")


def _what_to_do(name: str) -> str:
    if name == LOG_STORE and not settings.CASSANDRA_CONTACT_POINTS:
        return _("it is in the SQL database: check that the server runs; `manage.py migrate` creates missing tables")
    return {
        DATABASE: _("check that the database server runs, and DATABASE_URL"),
        BROKER: _("check that Redis runs, and CELERY_BROKER_URL"),
        LOG_STORE: _("check that Cassandra runs, CASSANDRA_CONTACT_POINTS and its credentials; `manage.py init_log_store` creates missing tables"),
    }[name]


def _check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


# --- reading what was stored ----------------------------------------------------------------------------------------


def _stored_states() -> dict[str, ComponentState]:
    """Return the states that are read from the database. If its tables are missing, the others are unknown."""
    migrations = _migrations()
    if not migrations.is_ok:
        return {MIGRATIONS: migrations} | {
            name: ComponentState(name, is_ok=None, sentence=_("unknown, because migrations are not applied")) for name in (BEAT, WORKERS, SOURCES)
        }
    moment = now()
    interval = _sweep_interval()
    beat = _beat(moment, interval)
    workers = _workers(moment, max(SILENT_AFTER, 3 * (interval or timedelta())), is_beat_ok=bool(beat.is_ok))
    return {MIGRATIONS: migrations, BEAT: beat, WORKERS: workers, SOURCES: _sources(moment)}


def _migrations() -> ComponentState:
    database = str(connection.settings_dict["NAME"])
    if database not in _migrated_tables:
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if missing:
            sentence = ngettext(
                "%(count)d migration is not applied: run `manage.py migrate`",
                "%(count)d migrations are not applied: run `manage.py migrate`",
                missing,
            ) % {"count": missing}
            return ComponentState(MIGRATIONS, is_ok=False, sentence=sentence)
        _migrated_tables.add(database)  # a later version, with more migrations, is another process
    return ComponentState(MIGRATIONS, is_ok=True)


def _sweep_interval() -> timedelta | None:
    """Return the interval of the sweep; None if no enabled entry of beat's schedule starts the sweep at an interval."""
    intervals = []
    for entry in PeriodicTask.objects.filter(task=SWEEP, enabled=True).exclude(interval=None).select_related("interval"):
        try:
            intervals.append(timedelta(**{entry.interval.period: entry.interval.every}))
        except OverflowError:  # the admin accepts an interval of a million years
            continue
    return min(intervals, default=None)


def _beat(moment: datetime, interval: timedelta | None) -> ComponentState:
    sent = beat_sent_at()
    if interval is None:
        sentence = _("the sweep has no interval: in the admin, under periodic tasks, enable an entry with an interval and the task etl.sweep")
        return ComponentState(BEAT, is_ok=False, sentence=sentence, seen_at=sent)
    if sent is None:
        return ComponentState(BEAT, is_ok=False, sentence=_("it has never sent a task: start `celery -A callcentersite beat`"))
    if sent < moment - max(SILENT_AFTER, 3 * interval):
        sentence = _("it has sent no task since %(time)s: start `celery -A callcentersite beat`") % {"time": minute_text(sent)}
        return ComponentState(BEAT, is_ok=False, sentence=sentence, seen_at=sent)
    return ComponentState(BEAT, is_ok=True, seen_at=sent)


def _is_without_beat(beat: ComponentState) -> bool:
    """Return whether cron starts the runs: beat has never run, and a command started the latest run."""
    if beat.is_ok is not False or beat.seen_at is not None:
        return False
    return ETLRun.objects.order_by("-pk").values_list("trigger", flat=True).first() == ETLRun.Trigger.COMMAND


def _workers(moment: datetime, silent_after: timedelta, *, is_beat_ok: bool) -> ComponentState:
    seen, oldest = heartbeats.last_seen(), moment - silent_after
    swept = seen.get(heartbeats.SWEEP)
    if swept is None or swept < oldest:
        if not is_beat_ok:
            sentence = _("unknown, because beat has not sent the sweep, which looks for workers")
            return ComponentState(WORKERS, is_ok=None, sentence=sentence, seen_at=swept)
        return ComponentState(WORKERS, is_ok=False, sentence=_no_worker(["sweep"], swept), seen_at=swept)
    times = {queue: seen.get(heartbeats.name_of_queue(queue)) for queue in needed_queues()}
    if unserved := [queue for queue, time in times.items() if time is None or time < oldest]:
        return ComponentState(WORKERS, is_ok=False, sentence=_no_worker(unserved, times[unserved[0]]), seen_at=swept)
    return ComponentState(WORKERS, is_ok=True, seen_at=swept)


def _no_worker(queues: list[str], since: datetime | None) -> str:
    shown = ",".join(queues[:MOST_NAMED])
    start = _("start `celery -A callcentersite worker -Q %(queues)s`") % {"queues": shown}
    if since is None:
        return _("no worker has taken the queue %(queue)s yet: %(start)s") % {"queue": queues[0], "start": start}
    return _("no worker has taken the queue %(queue)s since %(time)s: %(start)s") % {"queue": queues[0], "time": minute_text(since), "start": start}


def _sources(moment: datetime) -> ComponentState:
    names = [source.name for source, _level, _hours in overdue_sources(moment)]
    if not names:
        return ComponentState(SOURCES, is_ok=True)
    shown = ", ".join(names[:MOST_NAMED])
    if (more := len(names) - MOST_NAMED) > 0:
        shown = _("%(names)s and %(count)d more") % {"names": shown, "count": more}
    sentence = ngettext(
        "%(count)d source has had no successful run for too long: %(names)s",
        "%(count)d sources have had no successful run for too long: %(names)s",
        len(names),
    ) % {"count": len(names), "names": shown}
    return ComponentState(SOURCES, is_ok=False, sentence=sentence)
