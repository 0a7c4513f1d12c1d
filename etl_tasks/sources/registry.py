"""Which adapter reads which kind of source."""

from collections.abc import Sequence
from typing import Any

from etl_tasks.models import Source
from etl_tasks.sources.adapter import Adapter
from etl_tasks.sources.github.collect import GitHubRepository
from etl_tasks.sources.logs.collect import LogFiles

ADAPTERS: dict[str, Adapter] = {
    Source.Kind.GITHUB: GitHubRepository(),
    Source.Kind.LOGS: LogFiles(),
}


def survey(sources: Sequence[Source]) -> dict[int, dict[str, Any]]:
    """What is new in sources of all kinds, asked kind by kind."""
    news: dict[int, dict[str, Any]] = {}
    for kind, adapter in ADAPTERS.items():
        if ours := [source for source in sources if source.kind == kind]:
            news |= adapter.survey(ours)
    return news


def adapter_of(source: Source) -> Adapter:
    return ADAPTERS[source.kind]
