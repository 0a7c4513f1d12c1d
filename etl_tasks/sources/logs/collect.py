"""Read a log source's files from where the last run left them, and its lines as events."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from django.utils.timezone import now

from etl_tasks.errors import FatalError
from etl_tasks.models import Source
from etl_tasks.sources.adapter import Check, Job, Page, Unreadable
from etl_tasks.sources.logs import follow
from etl_tasks.sources.logs.event import file_key
from etl_tasks.sources.logs.format import Place
from etl_tasks.sources.logs.formats import format_of
from etl_tasks.transform import Bad, Good

STREAM = "files"


class LogFiles:
    """The adapter of a log source. Each file followed is a stream of its own."""

    def pages(self, job: Job) -> Iterator[Page | Unreadable]:
        positions = follow.from_the_beginning(job.cursors) if job.is_full else dict(job.cursors)
        positions |= {stream: progress.cursor for stream, progress in job.progress.items()}
        try:
            for chunk in follow.chunks(job.source.path, positions):
                if isinstance(chunk, follow.Unreadable):
                    yield Unreadable(stream=STREAM, name=chunk.path, reason=chunk.reason)
                    continue
                yield Page(
                    stream=chunk.stream,
                    url=f"file://{chunk.path}#{chunk.start}",
                    body=chunk.body,
                    record_count=chunk.record_count,
                    fetched_at=now(),
                    cursor=chunk.position,
                    context={"identity": chunk.identity, "start": chunk.start},
                )
        except FileNotFoundError as exc:
            raise FatalError(str(exc)) from exc

    def check(self, source: Source) -> Check:
        try:
            paths = follow.paths_of(source.path)
        except FileNotFoundError as exc:
            return Check(can_be_read=False, sentences=[str(exc)])
        unreadable = [path for path in paths if not os.path.isfile(path) or not os.access(path, os.R_OK)]
        readable = len(paths) - len(unreadable)
        sentences = [f"{source.path} names {len(paths)} files; {readable} can be read.", *(f"{path} cannot be read." for path in unreadable)]
        return Check(can_be_read=bool(readable), sentences=sentences)

    def survey(self, sources: Sequence[Source]) -> dict[int, dict[str, Any]]:
        return {}  # a file is its own news

    def fact(self, stream: str, context: Mapping[str, Any]) -> str:
        return "log_event"

    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        place = Place(
            source=source.name, key=file_key(source.pk, context["identity"]), start=context["start"], written_at=now(), previous=lambda: None
        )
        for found in format_of(source.reading()).read(content, place):
            yield msgspec.structs.replace(found, fact=msgspec.to_builtins(found.fact)) if isinstance(found, Good) else found

    def loaded(self, source: Source, cursors: Mapping[str, dict[str, Any]]) -> None:
        """Nothing of a service follows from how far its files are read."""
