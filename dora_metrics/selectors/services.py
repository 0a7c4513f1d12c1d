"""Select services, ordered by name."""

from django.db.models import Prefetch
from django.utils.translation import gettext as _

from dora_metrics.models import Coverage, Service
from dora_metrics.name_suggestions import suggestion
from dora_metrics.selectors.keyset_pagination import Keyset


class UnknownService(LookupError):
    """There is no service of this name. The message suggests one, or lists those that there are."""


def services(name: str | None = None) -> list[Service]:
    """Return a list of the service with this name, or of all services if `name` is None. Raises UnknownService."""
    found = list(Service.objects.all() if name is None else Service.objects.filter(name=name))
    if name is not None and not found:
        meant = suggestion(name, Service.objects.values_list("name", flat=True))
        raise UnknownService(_("there is no service %(name)r; %(meant)s") % {"name": name, "meant": meant})
    return found


def services_with_coverage(service: Service | None = None) -> Keyset[Service]:
    """Select the service, or all services if it is None, with repositories and coverage, ordered by name.

    Reading a page takes three queries.
    """
    found = Service.objects.filter(pk=service.pk) if service else Service.objects.all()
    return Keyset(found.prefetch_related("repositories", Prefetch("coverage", Coverage.objects.order_by("stream", "repository_id"))), by="name")


def services_by_name(service: Service | None = None) -> Keyset[Service]:
    return Keyset(Service.objects.filter(pk=service.pk) if service else Service.objects.all(), by="name")
