"""Store the first deployment of each change, with its lead time. Only what may have changed is computed.

The lead time is computed from lists of commits and reviews, which are most of what is stored of a change. They are read only if the stored
row may be outdated, and a part of the changes at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import F, Func, Q, TextField, Value
from django.db.models.functions import MD5, Cast, Coalesce

from dora_metrics.bulk_upsert import upsert
from dora_metrics.calculators.change_matching import Match
from dora_metrics.calculators.lead_time_stages import lead_time
from dora_metrics.calculators.service_settings import Settings
from dora_metrics.derivation.changed_rows import delete_rows
from dora_metrics.derivation.derived_rows import delivery_row
from dora_metrics.derivation.program import program_digest
from dora_metrics.derivation.stored_pull_requests import TIMED_COLUMNS, timed_pull_request_of
from dora_metrics.key_lists import listed
from dora_metrics.models import Change, Delivery, Service

CHANGES_AT_ONCE = 1000


class Joined(Func):
    """The texts, one behind the other. Django's Concat is nested so deeply for so many texts that SQLite refuses it."""

    function, output_field = "CONCAT", TextField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return super().as_sql(compiler, connection, template="(%(expressions)s)", arg_joiner=" || ", **context)


class Stored(NamedTuple):
    """A change, and the row of its delivery. `digest`: what the row's `computed_from` must be. `delivery_id`: None if there is no row."""

    pk: int
    repository_id: int
    number: int
    digest: str
    delivery_id: int | None
    deployment: str | None
    how: str | None
    deployed_at: datetime | None
    computed_from: str | None


def _is_outdated(change: Stored, match: Match) -> bool:
    """Return whether the row differs from what would be computed now. `match`: the first deployment."""
    attempt = match.deployment
    return (
        change.computed_from != change.digest
        or change.deployment != attempt.key
        or change.deployed_at != attempt.finished_at
        or change.how != match.how
    )


def update_deliveries(service: Service, matches: Mapping[int, Mapping[int, Match]], settings: Settings) -> list[datetime]:
    """Make the service's rows equal to what follows from the facts. Return when the deployments of changed rows finished, before or now.

    `matches`: for each repository, by its id, the first deployment of each deployed change, by the number of its pull request.
    """
    touched: list[datetime] = []
    for changes in _changes(service, settings):
        due: dict[int, tuple[Stored, Match]] = {}
        gone: list[int] = []
        for change in changes:
            match = matches.get(change.repository_id, {}).get(change.number)
            if match and _is_outdated(change, match):
                due[change.pk] = change, match
                touched.append(match.deployment.finished_at)
            elif match is None and change.delivery_id:
                gone.append(change.delivery_id)
            else:
                continue
            touched += [change.deployed_at] if change.deployed_at else []
        delete_rows(Delivery, gone)
        if due:
            upsert(Delivery, _rows(service, due, settings), unique=("change",), kept=("change_id",))
    return touched + _delete_undue(service)


def _changes(service: Service, settings: Settings) -> Iterator[Sequence[Stored]]:
    """Yield the merged changes of the service in groups."""
    program = Value("\x1f".join([program_digest(), *sorted(settings.bots)]))
    decisive = (Coalesce(Cast(column, TextField()), Value("")) for column in TIMED_COLUMNS)
    digest = MD5(Joined(program, *(part for text in decisive for part in (Value("\x1f"), text))))
    of_delivery = ("pk", "deployment", "how", "deployed_at", "computed_from")
    columns = ("pk", "repository_id", "number", "digest", *(f"delivery__{name}" for name in of_delivery))
    rows = Change.present.filter(service=service, merged_at__isnull=False).annotate(digest=digest).order_by("pk").values_list(*columns)
    after = 0
    while found := [Stored._make(row) for row in rows.filter(pk__gt=after)[:CHANGES_AT_ONCE]]:
        yield found
        after = found[-1].pk


def _rows(service: Service, due: Mapping[int, tuple[Stored, Match]], settings: Settings) -> Iterator[dict[str, Any]]:
    for pk, *values in Change.objects.filter(pk__in=listed(list(due))).order_by("pk").values_list("pk", *TIMED_COLUMNS):
        change, match = due[pk]
        row = delivery_row(lead_time(timed_pull_request_of(values), match, bots=settings.bots), pk)
        yield {"service_id": service.pk, **row, "computed_from": change.digest}


def _delete_undue(service: Service) -> list[datetime]:
    """Delete the rows whose change is gone, is not merged, or belongs to another service now. Return when their deployments finished."""
    is_due = Q(change__service=F("service"), change__gone_at=None, change__merged_at__isnull=False)
    undue = Delivery.objects.filter(service=service).exclude(is_due).values_list("pk", "deployed_at")
    found = dict(undue)
    delete_rows(Delivery, list(found))
    return list(found.values())
