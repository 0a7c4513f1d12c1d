"""What log events say that metrics are made of: deployments, how many errors there were in each minute, and how far all that is known."""

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db.models import Min

from dora_metrics.bulk_upsert import upsert as bulk_upsert
from dora_metrics.models import Coverage, LogDeployment, LogTraffic, Service
from etl_tasks.models import Cursor
from log_store.event import LogEvent
from log_store.store import Tally, position

READ = "read"  # the stream of a log source whose cursor says until when its files have been read: {"until": ISO 8601}
SHA = re.compile(r"[0-9a-f]{7,64}")
LONGEST_ENVIRONMENT, LONGEST_STATE = 255, 30  # as their columns
# A clock that was never set, and a format read wrongly, make years that no log is from.
FIRST_YEAR = datetime(2005, 1, 1, tzinfo=UTC)


def upsert(service: Service, *, source: str, run_id: int, page_id: int, events: Sequence[LogEvent], tallies: Sequence[Tally]) -> None:
    """Keep a page's deployments, and what the log store now holds of each hour that it touched; call it inside a transaction.

    Once or twice makes no difference. Rows go in the order of their keys: two writers wait for each other and do not deadlock.
    """
    common = {"service_id": service.pk, "source": source, "run_id": run_id, "page_id": page_id}
    deployments = {event.event_id: event for event in events if "deploy.state" in event.extra}
    _forget(service, events, told=deployments.keys())
    bulk_upsert(
        LogDeployment,
        [common | _deployment(deployments[event_id]) for event_id in sorted(deployments)],
        unique=("service", "event_id"),
        kept=("service_id", "event_id"),
    )
    bulk_upsert(
        LogTraffic,
        [common | _traffic(tally) for tally in sorted(tallies, key=lambda tally: (tally.segment, tally.hour))],
        unique=("service", "source", "segment", "hour"),
        kept=("service_id", "source", "segment", "hour"),
    )


def _forget(service: Service, events: Sequence[LogEvent], *, told: Collection[str]) -> None:
    """What these lines told by a former pattern and tell no more: a page is a piece of one file, so its ids are all that lie between its ends."""
    if not events:
        return
    ids = [event.event_id for event in events]
    before = LogDeployment.objects.filter(service=service, event_id__range=(min(ids), max(ids))).values_list("event_id", flat=True)
    # Looked for first: a DELETE that finds nothing would still hold back MySQL's other writers.
    if gone := set(before) - set(told):
        LogDeployment.objects.filter(service=service, event_id__in=sorted(gone)).delete()


def cover(service: Service) -> None:
    """Say how far the service's logs are known; call it in the transaction that has moved the READ cursor of one of them.

    As far as the one that was read least lately; a source that is disabled, or was never read, holds nothing up. Deployments are known
    from the first line on that tells of one: before it nobody can say that a line would have.
    """
    read = Cursor.objects.filter(source__service=service, source__is_enabled=True, stream=READ)
    until = [(_time(place["until"]), bool(pattern)) for place, pattern in read.values_list("position", "source__deploy_pattern")]
    first = LogTraffic.objects.filter(service=service, hour__gte=FIRST_YEAR).aggregate(first=Min("hour"))["first"]
    told = LogDeployment.objects.filter(service=service, time__gte=FIRST_YEAR).aggregate(first=Min("time"))["first"]
    _cover(service, "log_events", first, [moment for moment, _ in until])
    _cover(service, "log_deployments", told, [moment for moment, can_tell in until if can_tell])


def _cover(service: Service, stream: str, since: datetime | None, until: Sequence[datetime]) -> None:
    if since and until and since <= min(until):
        Coverage.objects.update_or_create(service=service, stream=stream, is_of_logs=True, defaults={"since": since, "until": min(until)})


def _deployment(event: LogEvent) -> dict[str, Any]:
    sha = event.extra.get("deploy.sha", "").strip().lower()
    return {
        "url": f"{settings.LOG_PAGE_URL}event/{quote(event.source)}/{position(event)}/",
        "event_id": event.event_id,
        "time": event.time,
        "sha": sha if SHA.fullmatch(sha) else "",
        "environment": event.extra.get("deploy.environment", "")[:LONGEST_ENVIRONMENT],
        "state": event.extra["deploy.state"][:LONGEST_STATE],
    }


def _traffic(tally: Tally) -> dict[str, Any]:
    counts = tally.minutes.values()
    return {
        "segment": tally.segment,
        "hour": tally.hour,
        "minutes": {str(minute): list(tally.minutes[minute]) for minute in sorted(tally.minutes)},
        "events": sum(events for events, _ in counts),
        "errors": sum(errors for _, errors in counts),
        "worst_share": max((100 * errors / events for events, errors in counts if events), default=0.0),
    }


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
