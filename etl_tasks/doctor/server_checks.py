"""The servers: database, broker, log store, and the processes beat and workers."""

from collections.abc import Iterator
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dora_metrics.display import duration_text, minute_text
from etl_tasks import component_states as components
from etl_tasks import night_schedule, pipeline
from etl_tasks.component_states import ComponentState
from etl_tasks.doctor.findings import Finding, ok, problem, warning
from log_store.opening import open_log_store
from log_store.store import LogStoreUnavailable

MOST_SKEW_SECONDS = 30.0
MOST_WAITING = 1000  # messages in a queue
UTF8 = "utf8mb4"


def check_components() -> Iterator[Finding]:
    """Check that database, migrations, broker, log store and beat work. Workers are asked directly, by `check_queues`.

    Of a database or a log store that works, the checks below say more.
    """
    for state in components.component_states():
        is_told_elsewhere = state.is_ok and state.name in (components.DATABASE, components.LOG_STORE)
        if not is_told_elsewhere and state.name not in (components.WORKERS, components.SOURCES):
            yield _of_component(state)


def _of_component(state: ComponentState) -> Finding:
    name = {
        components.DATABASE: _("database"),
        components.MIGRATIONS: _("migrations"),
        components.BROKER: _("broker"),
        components.LOG_STORE: _("log store"),
        components.BEAT: _("beat"),
    }[state.name]
    if state.is_ok is False:
        sentence, _colon, action = state.sentence.partition(": ")
        return problem(name, sentence, action[:1].upper() + action[1:])
    if state.is_ok is None:
        return warning(name, state.sentence)
    if state.name == components.BEAT and state.seen_at:
        return ok(name, _("it sent a task at %(time)s") % {"time": minute_text(state.seen_at)})
    if state.name == components.MIGRATIONS:
        return ok(name, _("all of them are applied"))
    return ok(name, state.sentence or _("it works"))


def check_database() -> Iterator[Finding]:
    """Check what the database server is, and on MySQL its character set and its clock."""
    name = _("database")
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT sqlite_version()")
            yield ok(name, _("SQLite %(version)s, for one machine") % {"version": cursor.fetchone()[0]})
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT VERSION(), @@character_set_database, UTC_TIMESTAMP(6)")
        version, characters, server_time = cursor.fetchone()
    kind = "MariaDB" if "mariadb" in version.lower() else "MySQL"
    if characters == UTF8:
        yield ok(name, f"{kind} {version}, {characters}")
    else:
        sentence = _("%(kind)s %(version)s stores texts as %(characters)s: some titles and log lines cannot be stored")
        yield problem(
            name,
            sentence % {"kind": kind, "version": version, "characters": characters},
            _("Run ALTER DATABASE … CHARACTER SET utf8mb4, and convert its tables"),
        )
    yield skew_finding(_("database's clock"), server_time.replace(tzinfo=UTC), now())


def skew_finding(name: str, server_time: datetime, here: datetime) -> Finding:
    """Compare a server's clock with this machine's."""
    skew = (server_time - here).total_seconds()
    if abs(skew) <= MOST_SKEW_SECONDS:
        return ok(name, _("it agrees with this machine's"))
    difference = {"duration": duration_text(abs(skew))}
    sentence = _("this machine's clock is %(duration)s behind it") if skew > 0 else _("this machine's clock is %(duration)s ahead of it")
    return problem(name, sentence % difference, _("Let all machines keep their time by NTP (chrony or systemd-timesyncd)"))


def check_log_store() -> Iterator[Finding]:
    """Check that the log store has the tables of this version."""
    name = _("log store's tables")
    try:
        missing = open_log_store().missing_schema_steps()
    except LogStoreUnavailable:  # `check_components` says what to do
        yield warning(name, _("unknown, because the log store does not answer"))
        return
    if missing > 0:
        yield problem(name, _("they are missing, or of an earlier version"), _("Run `manage.py init_log_store`"))
    elif missing < 0:
        yield problem(name, _("they are of a later version than this program"), _("Update this installation, or set another CASSANDRA_KEYSPACE"))
    else:
        yield ok(name, _("they are of this version (%(place)s)") % {"place": _place()})


def _place() -> str:
    return f"Cassandra, {settings.CASSANDRA_KEYSPACE}" if settings.CASSANDRA_CONTACT_POINTS else _("in the SQL database")


def check_queues() -> Iterator[Finding]:
    """Ask all workers which queues they take, and check that each queue that the enabled sources need is among them."""
    states = {state.name: state for state in components.component_states()}
    if states[components.WORKERS].is_ok and states[components.WORKERS].sentence:  # commands start the runs
        yield ok(_("workers"), states[components.WORKERS].sentence)
        return
    if not states[components.BROKER].is_ok:
        yield warning(_("workers"), _("they cannot be asked, because the broker does not work"))
        return
    served = pipeline.served_queues()
    lengths = components.queue_lengths() or {}
    for queue in components.needed_queues():
        name = _("queue %(queue)s") % {"queue": queue}
        waiting = ngettext("%(count)s message waits", "%(count)s messages wait", lengths.get(queue, 0)) % {"count": lengths.get(queue, 0)}
        if queue not in served:
            host = queue.partition("@")[2]
            where = _(" on %(host)s") % {"host": host} if host else ""
            start = _("Start `celery -A callcentersite worker -Q %(queue)s`%(where)s") % {"queue": queue, "where": where}
            yield problem(name, _("no worker takes it; %(waiting)s") % {"waiting": waiting}, start)
        elif lengths.get(queue, 0) > MOST_WAITING:
            yield warning(name, _("a worker takes it; %(waiting)s") % {"waiting": waiting}, _("Start more workers if the number grows"))
        else:
            yield ok(name, _("a worker takes it; %(waiting)s") % {"waiting": waiting})


def check_schedule() -> Iterator[Finding]:
    name = _("nightly run")
    try:
        due = night_schedule.next_night_due_at(now())
    except night_schedule.UnusableSchedule as exc:
        sentence, _colon, action = str(exc).partition(": ")
        yield problem(name, sentence, action[:1].upper() + action[1:])
        return
    if due:
        yield ok(name, _("the next one is due at %(time)s") % {"time": minute_text(due)})
    else:
        action = _("If cron does not start the runs, enable the entry of the task etl.nightly in the admin, under periodic tasks")
        yield warning(name, _("beat starts none within a month"), action)
