"""Select services, ordered by name."""

from django.db.models import Prefetch

from dora_metrics.models import Coverage, Service
from dora_metrics.selectors.keyset_pagination import Keyset

MOST_LISTED = 10


class UnknownService(LookupError):
    """There is no service of this name. The message lists the known services."""


def services(name: str | None = None) -> list[Service]:
    """Return a list of the service with this name, or of all services if `name` is None. Raises UnknownService."""
    found = list(Service.objects.all() if name is None else Service.objects.filter(name=name))
    if name is not None and not found:
        raise UnknownService(f"there is no service {name!r}; {_known()}")
    return found


def services_with_coverage(service: Service | None = None) -> Keyset[Service]:
    """Select the service, or all services if it is None, with repositories and coverage, ordered by name.

    Reading a page takes three queries.
    """
    found = Service.objects.filter(pk=service.pk) if service else Service.objects.all()
    return Keyset(found.prefetch_related("repositories", Prefetch("coverage", Coverage.objects.order_by("stream", "repository_id"))), by="name")


def services_by_name(service: Service | None = None) -> Keyset[Service]:
    return Keyset(Service.objects.filter(pk=service.pk) if service else Service.objects.all(), by="name")


def _known() -> str:
    names = list(Service.objects.values_list("name", flat=True))
    if not names:
        return "none has been added yet"
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return f"known: {', '.join(names[:MOST_LISTED])}{more}"
