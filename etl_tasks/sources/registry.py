"""Which adapter reads which kind of source."""

from etl_tasks.models import Source
from etl_tasks.sources.adapter import Adapter
from etl_tasks.sources.github.collect import GitHubRepository
from etl_tasks.sources.logs.collect import LogFiles

ADAPTERS: dict[str, Adapter] = {
    Source.Kind.GITHUB: GitHubRepository(),
    Source.Kind.LOGS: LogFiles(),
}


def adapter_of(source: Source) -> Adapter:
    return ADAPTERS[source.kind]
