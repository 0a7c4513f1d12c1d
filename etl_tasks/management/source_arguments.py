"""Arguments of commands that are names of sources."""

from collections.abc import Iterable

from dora_metrics.management.base_command import UsageError
from etl_tasks.models import Source


def source_named(name: str) -> Source:
    """Return the source, with its service. Raises UsageError."""
    check_source_names([name])
    return Source.objects.select_related("service").get(name=name)


def check_source_names(names: Iterable[str]) -> None:
    """Raise UsageError if any of the names belongs to no source."""
    if unknown := sorted(set(names) - set(Source.objects.values_list("name", flat=True))):
        raise UsageError(f"there is no source {', '.join(map(repr, unknown))}: `etl_status` lists them")
