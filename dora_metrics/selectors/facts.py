"""The facts behind the metrics, by time. Each page costs three queries: the rows, and the services and repositories that they belong to."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet

from dora_metrics.calculators.path_filter import path_filter
from dora_metrics.calculators.periods import start_of
from dora_metrics.models import Attempt, Change, Incident, Service
from dora_metrics.selectors.keyset import Keyset

M = TypeVar("M", bound=Model)
# A pull request's long lists are read by the calculators alone.
UNREAD = ("labels", "commits", "reviews", "draft_events", "closes", "revert_signs", "links")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which facts: of one service or all, by local date, `end` exclusive. None: whatever it is."""

    service: Service | None = None
    start: date | None = None
    end: date | None = None


def deployments(asked: Asked, *, failed: bool | None = None) -> Keyset[Attempt]:
    """The attempts that count, by finish."""
    rows = _asked(Attempt.objects.all(), asked, by="finished_at")
    return Keyset(rows if failed is None else rows.filter(is_failed=failed), by="finished_at")


def changes(asked: Asked) -> Keyset[Change]:
    """Merged pull requests, by merge, deployed or not; those that a service's path filter leaves out are no changes."""
    rows = _asked(Change.present.filter(merged_at__isnull=False), asked, by="merged_at")
    return Keyset(rows.select_related("delivery").defer(*UNREAD), by="merged_at", keeps=_is_on_path)


def incidents(asked: Asked, *, is_open: bool | None = None) -> Keyset[Incident]:
    """By start."""
    rows = _asked(Incident.objects.all(), asked, by="started_at")
    return Keyset(rows if is_open is None else rows.filter(ended_at__isnull=is_open), by="started_at")


def _asked(rows: QuerySet[M], asked: Asked, *, by: str) -> QuerySet[M]:
    chosen: dict[str, Any] = {"service": asked.service, f"{by}__gte": _begin(asked.start), f"{by}__lt": _begin(asked.end)}
    # Not select_related: MySQL would begin with the few services and sort all their facts for every page.
    return rows.filter(**{name: value for name, value in chosen.items() if value is not None}).prefetch_related("service", "repository")


def _begin(day: date | None) -> datetime | None:
    return start_of(day, settings.ETL_TIME_ZONE) if day else None


def _is_on_path(change: Change) -> bool:
    return path_filter(change.service.path)(change.paths)
