"""Arguments of commands that are names of sources."""

from collections.abc import Iterable

from dora_metrics.management.base_command import UsageError
from dora_metrics.name_suggestions import suggestion
from etl_tasks.models import Source
from etl_tasks.sources.registry import log_sources

LISTED_BY_STATUS = "`etl_status` lists them"


def source_named(name: str) -> Source:
    """Return the source, with its service. Raises UsageError."""
    check_source_names([name])
    return Source.objects.select_related("service").get(name=name)


def check_source_names(names: Iterable[str]) -> None:
    """Raise UsageError if any of the names belongs to no source."""
    known = list(Source.objects.values_list("name", flat=True))
    if unknown := sorted(set(names) - set(known)):
        meant = suggestion(unknown[0], known, otherwise=LISTED_BY_STATUS) if len(unknown) == 1 else LISTED_BY_STATUS
        raise UsageError(f"there is no source {', '.join(map(repr, unknown))}; {meant}")


def log_source_named(name: str) -> Source:
    """Return the source if it keeps log events. Raises UsageError."""
    if name not in (known := log_sources()):
        raise UsageError(f"there is no log source {name!r}; {suggestion(name, known)}")
    return Source.objects.get(name=name)
