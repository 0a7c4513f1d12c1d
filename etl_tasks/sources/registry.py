"""Which adapter reads which kind of source."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from etl_tasks.errors import FatalError
from etl_tasks.models import Source
from etl_tasks.sources.adapter import Adapter

# By name, and imported when first wanted: a worker that reads logs alone has no use for an HTTP client.
# A night begins in this order: who surveys nothing need not wait for who does.
ADAPTERS: dict[str, str] = {
    Source.Kind.LOGS: "etl_tasks.sources.logs.collect.LogFiles",
    Source.Kind.GITHUB: "etl_tasks.sources.github.collect.GitHubRepository",
}


def survey(kind: str, sources: Sequence[Source]) -> dict[int, dict[str, Any]]:
    """What is new in sources of one kind, by primary key; nothing for a kind that no adapter reads."""
    return _adapter(kind).survey(sources) if kind in ADAPTERS and sources else {}


def adapter_of(source: Source) -> Adapter:
    """Raises FatalError for a kind that no adapter reads."""
    if source.kind not in ADAPTERS:
        raise FatalError(f"{source} is of kind {source.kind!r}, which no adapter reads: {', '.join(ADAPTERS)} are read")
    return _adapter(source.kind)


@cache
def _adapter(kind: str) -> Adapter:
    module, _, name = ADAPTERS[kind].rpartition(".")
    adapter: Adapter = getattr(import_module(module), name)()
    return adapter
