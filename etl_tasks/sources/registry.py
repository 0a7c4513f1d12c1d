"""Which adapter reads which kind of source: those that come with the product, and those of the setting ETL_ADAPTERS."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

from django.conf import settings

from etl_tasks.errors import FatalError
from etl_tasks.models import Source
from etl_tasks.sources.adapter import Adapter, Check

# By name, and imported when first wanted: a worker that reads logs alone has no use for an HTTP client.
# A night begins in this order: who surveys nothing need not wait for who does.
OWN: Mapping[str, str] = {
    Source.Kind.LOGS: "etl_tasks.sources.logs.collect.LogFiles",
    Source.Kind.GITHUB: "etl_tasks.sources.github.collect.GitHubRepository",
}


def adapters() -> dict[str, str]:
    """Of each kind the adapter's module and name."""
    return {**OWN, **settings.ETL_ADAPTERS}


def survey(kind: str, sources: Sequence[Source]) -> dict[int, dict[str, Any]]:
    """What is new in sources of one kind, by primary key; nothing for a kind that no adapter reads."""
    return adapter_of_kind(kind).survey(sources) if kind in adapters() and sources else {}


def check(source: Source) -> Check:
    """Try the source without storing anything. Raises nothing: what fails is said."""
    try:
        return adapter_of(source).check(source)
    except FatalError as exc:
        return Check(can_be_read=False, sentences=[str(exc)])


def adapter_of(source: Source) -> Adapter:
    """Raises FatalError for a kind that no adapter reads."""
    try:
        return adapter_of_kind(source.kind)
    except FatalError as exc:
        raise FatalError(f"{source}: {exc}") from exc


def adapter_of_kind(kind: str) -> Adapter:
    """Raises FatalError for a kind that no adapter reads, and for an adapter that cannot be made."""
    paths = adapters()
    if kind not in paths:
        raise FatalError(f"no adapter reads sources of kind {kind!r}; known: {', '.join(paths)}")
    try:
        return _made(paths[kind])
    except (ImportError, AttributeError, TypeError) as exc:
        raise FatalError(f"the adapter of kind {kind}, {paths[kind]}, cannot be made: {exc}") from exc


def reads_files(source: Source) -> bool:
    """Of a kind whose adapter cannot be made nobody knows."""
    with suppress(FatalError):
        return adapter_of(source).reads_files
    return False


def labels() -> dict[str, str]:
    """Of each kind what people choose it by. It imports every adapter."""
    return {kind: adapter.label or kind for kind, adapter in _all().items()}


def kinds_with_log_events() -> list[str]:
    """It imports every adapter."""
    return [kind for kind, adapter in _all().items() if adapter.keeps_log_events]


def log_sources() -> list[str]:
    """Return the names of the sources whose records are log events."""
    return list(Source.objects.filter(kind__in=kinds_with_log_events()).order_by("name").values_list("name", flat=True))


def _all() -> dict[str, Adapter]:
    """But for those that cannot be made: their sources' runs and `check_source` say why."""
    found = {}
    for kind in adapters():
        with suppress(FatalError):
            found[kind] = adapter_of_kind(kind)
    return found


@cache
def _made(path: str) -> Adapter:
    module, _, name = path.rpartition(".")
    adapter: Adapter = getattr(import_module(module), name)()
    return adapter
