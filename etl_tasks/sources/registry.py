"""Which adapter reads which kind of source."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from etl_tasks.models import Source
from etl_tasks.sources.adapter import Adapter

# By name, and imported when first wanted: a worker that reads logs alone has no use for an HTTP client.
ADAPTERS: dict[str, str] = {
    Source.Kind.GITHUB: "etl_tasks.sources.github.collect.GitHubRepository",
    Source.Kind.LOGS: "etl_tasks.sources.logs.collect.LogFiles",
}


def survey(sources: Sequence[Source]) -> dict[int, dict[str, Any]]:
    """What is new in sources of all kinds, asked kind by kind."""
    news: dict[int, dict[str, Any]] = {}
    for kind in ADAPTERS:
        if ours := [source for source in sources if source.kind == kind]:
            news |= _adapter(kind).survey(ours)
    return news


def adapter_of(source: Source) -> Adapter:
    return _adapter(source.kind)


@cache
def _adapter(kind: str) -> Adapter:
    module, _, name = ADAPTERS[kind].rpartition(".")
    adapter: Adapter = getattr(import_module(module), name)()
    return adapter
