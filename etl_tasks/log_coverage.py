"""For which period a service's logs are known. The metrics need it to tell "nothing happened" from "nothing was read"."""

from collections.abc import Sequence
from datetime import UTC, datetime

from django.db.models import Min

from dora_metrics.models import Coverage, LogDeployment, LogTraffic, Service
from etl_tasks.models import Cursor

READ_STREAM = "read"  # a log source's cursor of this stream says until when its files have been read: {"until": ISO 8601}
# An earlier time comes from a clock that was never set, or from a wrong format.
FIRST_YEAR = datetime(2005, 1, 1, tzinfo=UTC)


def update_log_coverage(service: Service) -> None:
    """Store for which period the service's log events and deployments are known.

    Call it in the transaction that moved the READ_STREAM cursor of one of its sources. The period ends where the source read longest
    ago was read; disabled sources and those never read do not count. Deployments are known from the first line that reports one: before
    it, nobody can know whether a line would have.
    """
    cursors = Cursor.objects.filter(source__service=service, source__is_enabled=True, stream=READ_STREAM)
    read_until = [
        (datetime.fromisoformat(position["until"]), bool(pattern)) for position, pattern in cursors.values_list("position", "source__deploy_pattern")
    ]
    first_event = LogTraffic.objects.filter(service=service, hour__gte=FIRST_YEAR).aggregate(first=Min("hour"))["first"]
    first_deployment = LogDeployment.objects.filter(service=service, time__gte=FIRST_YEAR).aggregate(first=Min("time"))["first"]
    _save(service, "log_events", first_event, [until for until, _ in read_until])
    _save(service, "log_deployments", first_deployment, [until for until, reports_deployments in read_until if reports_deployments])


def _save(service: Service, stream: str, since: datetime | None, until: Sequence[datetime]) -> None:
    if since and until and since <= min(until):
        Coverage.objects.update_or_create(service=service, stream=stream, is_of_logs=True, defaults={"since": since, "until": min(until)})
