"""Look which queues workers take, store that, and alert when no worker reads the log files of a host.

Files that only one host has are read by a worker on that host. This worker takes messages from the host's own queue.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext, gettext_noop

from dora_metrics.alerts import critical_alert, notify, warning_alert
from etl_tasks import heartbeats, pipeline
from etl_tasks.fault_isolation import for_each
from etl_tasks.models import Source

WITH_HOST = Q(is_enabled=True) & ~Q(host="")
LOOK_INTERVAL = timedelta(seconds=45)  # below the sweep's usual interval of a minute, so that each sweep takes a look
NOT_SILENT = {"host_silent_since": None, "host_alerted_at": None}
NO_WORKER = gettext_noop("no worker reads the files of %(host)s: start one there, with -Q %(queue)s")


def watch() -> None:
    """Alert once when no worker has taken a host's queue for ETL_GRACE_SECONDS, and once when a worker takes the queue again.

    A shorter silence causes no alert, because the worker may be restarting or may answer late. Raises SomeFailed, BrokerAway.
    """
    Source.objects.exclude(WITH_HOST).exclude(**NOT_SILENT).update(**NOT_SILENT)
    hosts = sorted(set(Source.objects.filter(WITH_HOST).values_list("host", flat=True)))
    if hosts or _is_look_due(now()):
        try:
            served = pipeline.served_queues()
        except pipeline.BrokerAway:
            if hosts:
                raise
            return  # nobody has to be told here: no files wait for a worker of their own, and component_states.py reports the broker
        heartbeats.mark_seen([heartbeats.LOOK, *map(heartbeats.name_of_queue, served)], now())
        for_each(hosts, lambda host: _mark_served(host) if Source(host=host).extract_queue in served else _mark_silent(host, now()))


def _is_look_due(moment: datetime) -> bool:
    """Return whether the last look is LOOK_INTERVAL ago. A look takes two seconds, so a sweep that runs every second does not always take one."""
    looked_at = heartbeats.last_seen().get(heartbeats.LOOK)
    return looked_at is None or looked_at <= moment - LOOK_INTERVAL


def no_worker_message(host: str) -> str:
    """Return the sentence in English, for alerts and dead letters."""
    return NO_WORKER % _names(host)


def no_worker_sentence(host: str) -> str:
    """Return the sentence in the reader's language."""
    return gettext(NO_WORKER) % _names(host)


def _names(host: str) -> dict[str, str]:
    return {"host": host, "queue": Source(host=host).extract_queue}


def _mark_served(host: str) -> None:
    sources = Source.objects.filter(WITH_HOST, host=host)
    was_alerted = sources.exclude(host_alerted_at=None).exists()
    if sources.exclude(**NOT_SILENT).update(**NOT_SILENT) and was_alerted:
        _send_alert(warning_alert, host, f"{host}: over: a worker takes its log sources again", "ended")


def _mark_silent(host: str, moment: datetime) -> None:
    sources = Source.objects.filter(WITH_HOST, host=host)
    sources.filter(host_silent_since=None).update(host_silent_since=moment)
    due = sources.filter(host_alerted_at=None, host_silent_since__lte=moment - timedelta(seconds=settings.ETL_GRACE_SECONDS))
    names = list(due.values_list("name", flat=True))
    if not names or not due.update(host_alerted_at=moment):
        return
    is_sent = False
    try:
        is_sent = _send_alert(critical_alert, host, f"{', '.join(names)}: {no_worker_message(host)}", "begun")
    finally:
        if not is_sent:  # the next sweep tries again
            Source.objects.filter(name__in=names).update(host_alerted_at=None)


def _send_alert(signal: object, host: str, message: str, episode: str) -> bool:
    return notify(signal, sender=Source, message=message, context={"stage": "extract", "error": "no worker", "host": host, "episode": episode})  # type: ignore[arg-type]
