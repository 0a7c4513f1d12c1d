"""The services by name."""

from django.db.models import Prefetch

from dora_metrics.models import Coverage, Service
from dora_metrics.selectors.keyset import Keyset

MOST_NAMED = 10


class UnknownService(LookupError):
    """The message names those that are known."""


def services(name: str | None = None) -> list[Service]:
    """The named one, or all. Raises UnknownService."""
    found = list(Service.objects.all() if name is None else Service.objects.filter(name=name))
    if name is not None and not found:
        raise UnknownService(f"there is no service {name!r}; known: {_known()}")
    return found


def services_with_coverage(service: Service | None = None) -> Keyset[Service]:
    """By name; three queries a page."""
    found = Service.objects.filter(pk=service.pk) if service else Service.objects.all()
    return Keyset(found.prefetch_related("repositories", Prefetch("coverage", Coverage.objects.order_by("stream", "repository_id"))), by="name")


def services_by_name(service: Service | None = None) -> Keyset[Service]:
    return Keyset(Service.objects.filter(pk=service.pk) if service else Service.objects.all(), by="name")


def _known() -> str:
    names = list(Service.objects.values_list("name", flat=True))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more or "none yet: add_service makes one"
