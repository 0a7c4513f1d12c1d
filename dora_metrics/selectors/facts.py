"""The facts behind the metrics, by time. Each page takes three queries: for the rows, their services and their repositories."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Model, QuerySet

from dora_metrics.calculators.path_filter import path_filter
from dora_metrics.calculators.periods import start_of
from dora_metrics.models import Attempt, Change, Incident, Service
from dora_metrics.selectors.keyset_pagination import Keyset

M = TypeVar("M", bound=Model)
# Long columns of a pull request that only the calculators need.
UNREAD = ("labels", "commits", "reviews", "draft_events", "closes", "revert_signs", "links")


@dataclass(frozen=True, slots=True)
class FactFilter:
    """Which facts to select: of one service or all, by local date, `end` exclusive. None does not restrict."""

    service: Service | None = None
    start: date | None = None
    end: date | None = None


def deployments(which: FactFilter, *, failed: bool | None = None) -> Keyset[Attempt]:
    """Select the deployments that count, by finish."""
    rows = _selected(Attempt.objects.all(), which, by="finished_at")
    return Keyset(rows if failed is None else rows.filter(is_failed=failed), by="finished_at")


def changes(which: FactFilter) -> Keyset[Change]:
    """Select the merged pull requests, deployed or not, by merge. Those that a service's path filter excludes are left out."""
    rows = _selected(Change.present.filter(merged_at__isnull=False), which, by="merged_at")
    return Keyset(rows.select_related("delivery").defer(*UNREAD), by="merged_at", keeps=_is_on_path)


def incidents(which: FactFilter, *, is_open: bool | None = None) -> Keyset[Incident]:
    """Select the incidents, by start."""
    rows = _selected(Incident.objects.all(), which, by="started_at")
    return Keyset(rows if is_open is None else rows.filter(ended_at__isnull=is_open), by="started_at")


def _selected(rows: QuerySet[M], which: FactFilter, *, by: str) -> QuerySet[M]:
    conditions: dict[str, Any] = {"service": which.service, f"{by}__gte": _start_of(which.start), f"{by}__lt": _start_of(which.end)}
    # Not select_related: MySQL would then read the services first and sort all their facts for every page.
    return rows.filter(**{name: value for name, value in conditions.items() if value is not None}).prefetch_related("service", "repository")


def _start_of(day: date | None) -> datetime | None:
    return start_of(day, settings.ETL_TIME_ZONE) if day else None


def _is_on_path(change: Change) -> bool:
    return path_filter(change.service.path)(change.paths)
