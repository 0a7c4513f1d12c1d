"""Select the facts behind the metrics, ordered by time.

Reading a page takes three queries: one for the rows, one for their services and one for their repositories.
"""

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
# Long columns of a pull request that are not read here, because only the calculators use them.
UNREAD = ("labels", "commits", "reviews", "draft_events", "closes", "revert_signs", "links")


@dataclass(frozen=True, slots=True)
class FactFilter:
    """The facts to select. A field that is None does not restrict them.

    `service`: the service that they belong to. `start` and `end`: local dates; `end` is exclusive.
    """

    service: Service | None = None
    start: date | None = None
    end: date | None = None


def deployments(which: FactFilter, *, failed: bool | None = None) -> Keyset[Attempt]:
    """Select the deployments that count, ordered by finish.

    `failed`: True for those that count as failed, False for those that do not, None for all. If it is unknown whether a deployment
    failed, it is selected with None only.
    """
    rows = _selected(Attempt.objects.all(), which, by="finished_at")
    return Keyset(rows if failed is None else rows.filter(is_failed=failed), by="finished_at")


def changes(which: FactFilter) -> Keyset[Change]:
    """Select the merged pull requests, deployed or not, ordered by merge.

    Pull requests that the path filter of their service excludes are left out.
    """
    rows = _selected(Change.present.filter(merged_at__isnull=False), which, by="merged_at")
    return Keyset(rows.select_related("delivery").defer(*UNREAD), by="merged_at", keeps=_is_on_path)


def incidents(which: FactFilter, *, is_open: bool | None = None) -> Keyset[Incident]:
    """Select the incidents, ordered by start. `is_open`: True for open ones only, False for ended ones only, None for both."""
    rows = _selected(Incident.objects.all(), which, by="started_at")
    return Keyset(rows if is_open is None else rows.filter(ended_at__isnull=is_open), by="started_at")


def _selected(rows: QuerySet[M], which: FactFilter, *, by: str) -> QuerySet[M]:
    conditions: dict[str, Any] = {"service": which.service, f"{by}__gte": _start_of(which.start), f"{by}__lt": _start_of(which.end)}
    # select_related is not used: with it, MySQL reads the services first and sorts all their facts for every page.
    return rows.filter(**{name: value for name, value in conditions.items() if value is not None}).prefetch_related("service", "repository")


def _start_of(day: date | None) -> datetime | None:
    return start_of(day, settings.ETL_TIME_ZONE) if day else None


def _is_on_path(change: Change) -> bool:
    return path_filter(change.service.path)(change.paths)
