"""Arguments of commands that are names of sources."""

from collections.abc import Iterable

from django.utils.translation import gettext as _

from dora_metrics.management.base_command import UsageError
from dora_metrics.name_suggestions import suggestion
from etl_tasks.models import Source
from etl_tasks.sources.registry import log_sources


def source_named(name: str) -> Source:
    """Return the source, with its service. Raises UsageError."""
    check_source_names([name])
    return Source.objects.select_related("service").get(name=name)


def check_source_names(names: Iterable[str]) -> None:
    """Raise UsageError if any of the names belongs to no source."""
    known = list(Source.objects.values_list("name", flat=True))
    if unknown := sorted(set(names) - set(known)):
        listed = _("`etl_status` lists them")
        meant = suggestion(unknown[0], known, otherwise=listed) if len(unknown) == 1 else listed
        raise UsageError(_("there is no source %(names)s; %(meant)s") % {"names": ", ".join(map(repr, unknown)), "meant": meant})


def log_source_named(name: str) -> Source:
    """Return the source if it keeps log events. Raises UsageError."""
    if name not in (known := log_sources()):
        raise UsageError(_("there is no log source %(name)r; %(meant)s") % {"name": name, "meant": suggestion(name, known)})
    return Source.objects.get(name=name)
