"""The period for which a service's logs are known. It is needed to distinguish "nothing happened" from "nothing was read" in metrics."""

from collections.abc import Sequence
from datetime import UTC, datetime

from django.db.models import Exists, Min, OuterRef, Q

from dora_metrics.models import Coverage, LogDeployment, LogTraffic, Service
from etl_tasks.models import Cursor, DeadLetter, ETLRun

READ_STREAM = "read"  # the position of this stream's cursor says until when a log source's files have been read: {"until": ISO 8601}
# Events before this year do not count: their times come from a clock that was never set, or from a wrong format.
FIRST_YEAR = datetime(2005, 1, 1, tzinfo=UTC)


def update_log_coverage(service: Service) -> None:
    """Store for which period the service's log events are known, and for which period the deployments in its logs are known.

    Each period ends at the time until which all of the sources have been read. Disabled sources and sources that were never read do not
    count, nor, for deployments, do sources without a deploy pattern. Events are known from the first event on, deployments from the first
    line that reports one: before that line it is unknown whether deployments were logged at all. While events of the service wait for the
    log store, their period is not extended; their deployments are loaded without it. Call this function in the transaction that moved the
    READ_STREAM cursor of one of the service's sources.
    """
    cursors = Cursor.objects.filter(source__service=service, source__is_enabled=True, stream=READ_STREAM)
    read_until = [
        (datetime.fromisoformat(position["until"]), bool(pattern)) for position, pattern in cursors.values_list("position", "source__deploy_pattern")
    ]
    first_event = LogTraffic.objects.filter(service=service, hour__gte=FIRST_YEAR).aggregate(first=Min("hour"))["first"]
    first_deployment = LogDeployment.objects.filter(service=service, time__gte=FIRST_YEAR).aggregate(first=Min("time"))["first"]
    open_letters = DeadLetter.objects.filter(run=OuterRef("pk"), state=DeadLetter.State.OPEN)
    waiting = ETLRun.objects.filter(source__service=service, waiting__gt=0)
    # The events of a failed run wait until a person replays or discards its letter.
    if not waiting.filter(~Q(status=ETLRun.Status.FAILED) | Exists(open_letters)).exists():
        _save(service, "log_events", first_event, [until for until, _ in read_until])
    _save(service, "log_deployments", first_deployment, [until for until, reports_deployments in read_until if reports_deployments])


def _save(service: Service, stream: str, since: datetime | None, until: Sequence[datetime]) -> None:
    if since and until and since <= min(until):
        Coverage.objects.update_or_create(service=service, stream=stream, is_of_logs=True, defaults={"since": since, "until": min(until)})
