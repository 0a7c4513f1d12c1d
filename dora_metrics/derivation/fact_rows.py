"""Read the rows of facts a part at a time, and what several kinds of facts have in common."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Q

from dora_metrics.calculators import inputs
from dora_metrics.models import Service

ROWS_PER_READ = 500  # one part of them is in memory as rows; a large service has tens of thousands
BranchNames = Mapping[tuple[int, str], str]  # the present name of a repository's branch, by the repository's id and a name that it has had


def rows_of(model: Any, services: Sequence[Service], *columns: str, excluded: Q | None = None, **filters: Any) -> Iterator[Sequence[Any]]:
    """Yield the columns of the services' facts that meet the filters. `excluded`: a condition; facts that meet it are left out."""
    rows = getattr(model, "present", model.objects)  # facts that were deleted or transferred on GitHub do not count
    chosen = rows.filter(service__in=[service.pk for service in services], **filters)
    if excluded is not None:
        chosen = chosen.exclude(excluded)
    if len(services) > 1:
        yield from chosen.order_by("pk").values_list(*columns).iterator(chunk_size=ROWS_PER_READ)
        return
    # A query for a part of the rows at a time, because the client of MySQL keeps the whole answer to a query in memory.
    after = 0
    while found := list(chosen.filter(pk__gt=after).order_by("pk").values_list("pk", *columns)[:ROWS_PER_READ]):
        yield from (values for _, *values in found)
        if len(found) < ROWS_PER_READ:
            return
        after = found[-1][0]


def links_of(links: Mapping[str, Any]) -> inputs.Links:
    return inputs.Links(*(tuple(links.get(name, ())) for name in ("deployments", "root_causes", "caused_by"))) if links else inputs.NO_LINKS
