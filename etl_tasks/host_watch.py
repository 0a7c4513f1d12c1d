"""Log files that lie on one host are read there: by a worker that takes the host's queue, or by a command on it."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils.timezone import now

from dora_metrics.alerts import critical_alert, notify, warning_alert
from etl_tasks import pipeline
from etl_tasks.fault_isolation import for_each
from etl_tasks.models import Source

NAMED = Q(is_enabled=True) & ~Q(host="")
# A worker that starts again, or answers late, is no reason for an alert.
SILENT = {"host_silent_since": None, "host_alerted_at": None}


def watch() -> None:
    """Tell, once an episode, of hosts whose queue no worker has taken for as long as a message may wait. Raises SomeFailed, BrokerAway."""
    Source.objects.exclude(NAMED).exclude(**SILENT).update(**SILENT)
    hosts = sorted(set(Source.objects.filter(NAMED).values_list("host", flat=True)))
    if hosts:
        served = pipeline.served_queues()
        for_each(hosts, lambda host: _is_back(host) if Source(host=host).extract_queue in served else _is_silent(host, now()))


def _is_back(host: str) -> None:
    ours = Source.objects.filter(NAMED, host=host)
    told = ours.exclude(host_alerted_at=None).exists()
    if ours.exclude(**SILENT).update(**SILENT) and told:
        _tell(warning_alert, host, f"{host}: over: a worker takes its log sources again", "ended")


def _is_silent(host: str, moment: datetime) -> None:
    ours = Source.objects.filter(NAMED, host=host)
    ours.filter(host_silent_since=None).update(host_silent_since=moment)
    new = ours.filter(host_alerted_at=None, host_silent_since__lte=moment - timedelta(seconds=settings.ETL_GRACE_SECONDS))
    names = list(new.values_list("name", flat=True))
    if not names or not new.update(host_alerted_at=moment):
        return
    is_told = False
    try:
        is_told = _tell(critical_alert, host, f"{', '.join(names)}: {no_worker_message(host)}", "begun")
    finally:
        if not is_told:  # the next sweep tries again
            Source.objects.filter(name__in=names).update(host_alerted_at=None)


def _tell(signal: object, host: str, message: str, episode: str) -> bool:
    return notify(signal, sender=Source, message=message, context={"stage": "extract", "error": "no worker", "host": host, "episode": episode})  # type: ignore[arg-type]


def no_worker_message(host: str) -> str:
    return f"no worker reads the files of {host}: start one there, with -Q {Source(host=host).extract_queue}"
