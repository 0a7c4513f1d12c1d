"""The adapters by kind of source: the two that come with the product, and those that the setting ETL_ADAPTERS adds."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from dora_metrics.name_suggestions import suggestion
from etl_tasks.errors import FatalError, describe_error
from etl_tasks.models import Cursor, Source
from etl_tasks.sources.adapter import SETTLED, Adapter, Check

# The adapters are imported when a source first needs them: a worker that only reads logs does not load the HTTP client.


def _log_files() -> Adapter:
    from etl_tasks.sources.logs.collect import LogFiles

    return LogFiles()


def _github_repository() -> Adapter:
    from etl_tasks.sources.github.adapter import GitHubRepository

    return GitHubRepository()


# The nightly runs are sent kind by kind, in this order. Log files have no survey (`Adapter.survey`): first, they need not wait for GitHub's.
BUILT_IN: Mapping[str, Callable[[], Adapter]] = {Source.Kind.LOGS: _log_files, Source.Kind.GITHUB: _github_repository}


def kinds() -> list[str]:
    """Return every kind that has an adapter, the built-in ones first."""
    return list(dict.fromkeys([*BUILT_IN, *settings.ETL_ADAPTERS]))


def adapter_of_kind(kind: str) -> Adapter:
    """Return the adapter of a kind. Raises FatalError if there is none, or if it cannot be imported or created."""
    if kind not in kinds():
        raise FatalError(f"no adapter reads sources of kind {kind!r}; {suggestion(kind, kinds())}")
    path = settings.ETL_ADAPTERS.get(kind, "")
    try:
        return _configured(path) if path else _built_in(kind)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # importing a module can raise anything
        raise FatalError(f"the adapter of kind {kind}, {path or 'which is built in'}, cannot be made: {describe_error(exc)}") from exc


def adapter_of(source: Source) -> Adapter:
    """Return the adapter of a source. Raises FatalError, whose message names the source."""
    try:
        return adapter_of_kind(source.kind)
    except FatalError as exc:
        raise FatalError(f"{source}: {exc}") from exc


def survey(kind: str, sources: Sequence[Source]) -> dict[int, dict[str, Any]]:
    """Return what is new in sources of one kind, by their primary keys; empty for a kind without an adapter."""
    return adapter_of_kind(kind).survey(sources) if kind in kinds() and sources else {}


def survey_in_parts(kind: str, sources: Sequence[Source]) -> Iterator[dict[int, dict[str, Any]]]:
    """Yield what `survey` returns, a part of the sources at a time."""
    if kind in kinds() and sources:
        yield from adapter_of_kind(kind).survey_in_parts(sources)


def quiet_sources(kind: str, sources: Sequence[Source], news: Mapping[int, Mapping[str, Any]]) -> dict[int, bool]:
    """Return those sources of one kind that seem to have nothing new: by the primary key, whether the source may be settled.

    `news`: what `survey` has returned.
    """
    if kind not in kinds() or not sources:
        return {}
    adapter, cursors = adapter_of_kind(kind), defaultdict[int, dict[str, dict[str, Any]]](dict)
    for source_id, stream, position in Cursor.objects.filter(source__in=sources).values_list("source_id", "stream", "position").iterator():
        cursors[source_id][stream] = position
    return {
        source.pk: any(SETTLED in position for position in cursors[source.pk].values())
        for source in sources
        if adapter.is_quiet(source, cursors[source.pk], news.get(source.pk))
    }


def check(source: Source) -> Check:
    """Try the source without storing anything. A failure is part of the returned Check; nothing is raised."""
    try:
        return adapter_of(source).check(source)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001  an unforeseen error, too, means that the source cannot be read
        return Check(can_be_read=False, sentences=[describe_error(exc)])


def reads_files(source: Source) -> bool:
    """Return whether the source reads files; False if its adapter cannot be created."""
    with suppress(FatalError):
        return adapter_of(source).reads_files
    return False


def labels() -> dict[str, str]:
    """Return the label of each kind in the reader's language. It imports every adapter."""
    return {kind: _(adapter.label or kind) for kind, adapter in _all().items()}


def fields_of_kind(kind: str) -> frozenset[str] | None:
    """Return the columns of a source that the kind reads; None for all, also if its adapter cannot be created."""
    with suppress(FatalError):
        adapter = adapter_of_kind(kind)
        return frozenset({*adapter.fields, *adapter.needed}) if adapter.fields else None
    return None


def kinds_with_log_events() -> list[str]:
    """Return the kinds whose records are log events. It imports every adapter."""
    return [kind for kind, adapter in _all().items() if adapter.keeps_log_events]


def log_sources() -> list[str]:
    """Return the names of the sources whose records are log events."""
    return list(Source.objects.filter(kind__in=kinds_with_log_events()).order_by("name").values_list("name", flat=True))


def _all() -> dict[str, Adapter]:
    """Return the adapters that can be created, by kind.

    If one cannot be created, the runs of its sources fail with the error, and `check_source` prints it.
    """
    found = {}
    for kind in kinds():
        with suppress(FatalError):
            found[kind] = adapter_of_kind(kind)
    return found


@cache
def _built_in(kind: str) -> Adapter:
    return BUILT_IN[kind]()


@cache
def _configured(path: str) -> Adapter:
    module, _, name = path.rpartition(".")
    adapter: Adapter = getattr(import_module(module), name)()
    return adapter
