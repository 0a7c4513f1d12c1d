"""Load what the metrics use of log events: deployments, and the number of events and errors in each minute."""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any
from urllib.parse import quote

from django.conf import settings

from dora_metrics.bulk_upsert import upsert as bulk_upsert
from dora_metrics.models import LogDeployment, LogTraffic, Service
from log_store.event import LogEvent
from log_store.store import Tally, position

SHA = re.compile(r"[0-9a-f]{7,64}")
LONGEST_ENVIRONMENT, LONGEST_STATE = 255, 30  # the lengths of the columns


def upsert(service: Service, *, source: str, run_id: int, page_id: int, events: Sequence[LogEvent], tallies: Sequence[Tally]) -> None:
    """Store the deployments among a page's events, and `tallies`: the log store's totals of the hours in which the page has events.

    Call this function inside a transaction. Calling it twice changes nothing. Rows are written in the order of their keys, so that two
    writers wait for each other and cannot be in a deadlock.
    """
    common = {"service_id": service.pk, "source": source, "run_id": run_id, "page_id": page_id}
    deployments = {event.event_id: event for event in events if "deploy.state" in event.extra}
    _delete_outdated(service, events, current=deployments.keys())
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


def has_deployments(events: Iterable[LogEvent]) -> bool:
    return any("deploy.state" in event.extra for event in events)


def _delete_outdated(service: Service, events: Sequence[LogEvent], *, current: Collection[str]) -> None:
    """Delete the deployments that an earlier deploy pattern found in these lines and the current pattern does not.

    `current`: the ids of the events that report a deployment now. A page is one piece of one file, so every id between the first and the
    last id of the page belongs to the page.
    """
    if not events:
        return
    ids = [event.event_id for event in events]
    stored = LogDeployment.objects.filter(service=service, event_id__range=(min(ids), max(ids))).values_list("event_id", flat=True)
    # Read first: on MySQL, a DELETE that matches nothing still blocks other writers.
    if outdated := set(stored) - set(current):
        LogDeployment.objects.filter(service=service, event_id__in=sorted(outdated)).delete()


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
    """Return the row of one hour of a segment, which is one mebibyte of a log file.

    `minutes`: for each minute, [events, errors]. `worst_share`: the percentage of errors in the minute where it is highest.
    """
    counts = tally.minutes.values()
    return {
        "segment": tally.segment,
        "hour": tally.hour,
        "minutes": {str(minute): list(tally.minutes[minute]) for minute in sorted(tally.minutes)},
        "events": sum(events for events, _ in counts),
        "errors": sum(errors for _, errors in counts),
        "worst_share": max((100 * errors / events for events, errors in counts if events), default=0.0),
    }
