"""The adapter of log sources. It reads each file from where the last run stopped, and turns the lines into events."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from django.core.exceptions import ValidationError
from django.utils.timezone import now
from django.utils.translation import get_language, gettext_noop, ngettext, override
from django.utils.translation import gettext as _

from etl_tasks.errors import FatalError
from etl_tasks.log_coverage import READ_STREAM, update_log_coverage
from etl_tasks.models import CleanBatch, ETLRun, Source, StreamProgress
from etl_tasks.outcomes import Bad, Good, Unreadable
from etl_tasks.sources.adapter import LOG_EVENT, Adapter, Check, Job, Page
from etl_tasks.sources.logs.allowed_folders import log_roots
from etl_tasks.sources.logs.following import follow
from etl_tasks.sources.logs.following.position import STREAM_PREFIX
from etl_tasks.sources.logs.format_options import format_options
from etl_tasks.sources.logs.formats.interface import BodyOrigin, Format
from etl_tasks.sources.logs.formats.known_formats import format_of
from etl_tasks.sources.logs.masking.masker import mask
from log_store.event import LogEvent, file_key

STREAM = "files"


class LogFiles(Adapter):
    """The adapter of a log source. Each file that it follows is a stream, with a stored position of its own."""

    label = gettext_noop("log files")
    needed = ("path", "log_format")
    fields = ("host", "log_pattern", "log_time_zone", "log_fields", "is_strict", "deploy_pattern")
    reads_files = keeps_log_events = True

    def validate(self, source: Source) -> None:
        if refusal := log_roots().refusal(source.path):
            raise ValidationError({"path": refusal})
        format_of(format_options(source))

    def validate_change(self, source: Source, *, former: Source) -> None:
        if former.name != source.name:
            sentence = _("%(source)s has been collected: its events are stored under this name, and a new name would not find them")
            raise ValueError(sentence % {"source": former.name})

    def pages(self, job: Job) -> Iterator[Page | Unreadable]:
        roots = log_roots()
        if refusal := roots.refusal(job.source.path):
            raise FatalError(refusal)
        positions = follow.from_the_beginning(_begun_by_failed_runs(job.source))
        # A run that reads everything again, or again from a certain day (`since`), starts at the beginning of each file, because the offset at
        # which a day begins is not known. Events get the same ids again, so they are stored only once.
        positions |= follow.from_the_beginning(job.cursors) if job.is_full or job.since else job.cursors
        positions |= {stream: progress.cursor for stream, progress in job.progress.items()}
        lines = _format(job.source)
        began_at = now()
        try:
            chunks = follow.chunks(job.source.path, positions, begins=lines.begins if lines.is_multiline else None, roots=roots)
            yield from _one_ahead(_page(chunk, lines) for chunk in chunks)
        except FileNotFoundError as exc:
            raise FatalError(str(exc)) from exc
        yield Page(
            stream=READ_STREAM,
            url=f"file://{job.source.path}",
            body=b"",
            record_count=0,
            fetched_at=began_at,
            cursor={} if job.until else {"until": began_at.isoformat()},
            is_done=True,
        )

    def is_quiet(self, source: Source, cursors: Mapping[str, dict[str, Any]], news: Mapping[str, Any] | None) -> bool:
        """Return whether this host has the files and each was read to its end. A compressed file never seems to be."""
        return source.is_here and follow.are_read(source.path, cursors, log_roots())

    def check(self, source: Source) -> Check:
        roots = log_roots()
        if refusal := roots.refusal(source.path):
            return Check(can_be_read=False, sentences=[refusal])
        try:
            paths = follow.paths_of(source.path, roots)
        except FileNotFoundError as exc:
            return Check(can_be_read=False, sentences=[str(exc)])
        unreadable = {path: fault for path in paths if (fault := follow.fault(path, roots))}
        readable = len(paths) - len(unreadable)
        named = ngettext(
            "%(path)s names %(count)s file; %(readable)s can be read.", "%(path)s names %(count)s files; %(readable)s can be read.", len(paths)
        )
        sentences = [named % {"path": source.path, "count": len(paths), "readable": readable}]
        sentences += [_("%(path)s cannot be read: %(fault)s") % {"path": follow.shown(path), "fault": fault} for path, fault in unreadable.items()]
        return Check(can_be_read=bool(readable), sentences=sentences)

    def fact(self, stream: str, context: Mapping[str, Any]) -> str:
        return LOG_EVENT

    def count(self, source: Source, content: bytes) -> int | None:
        return _format(source).count(content)

    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        written_at = context.get("written_at")
        place = BodyOrigin(
            source=source.name,
            key=file_key(source.pk, context["identity"]),
            start=context["start"],
            written_at=datetime.fromisoformat(written_at) if written_at else now(),
            previous=partial(_time_before, source, stream, context["start"]),
            cut_bytes=context.get("cut_bytes", 0),
        )
        return _format(source).read(content, place)

    def loaded(self, source: Source, cursors: Mapping[str, dict[str, Any]]) -> None:
        update_log_coverage(source.service)


def _begun_by_failed_runs(source: Source) -> dict[str, dict[str, Any]]:
    """Return the last position of each file that was read by a failed or cancelled run.

    Some events of such a run may be stored already. With these positions, an unchanged file keeps its identity, and its events keep their ids.
    A different file that now has the same inode gets a new identity. Otherwise its events could have the ids of stored events, and would not be
    stored.
    """
    failed = StreamProgress.objects.filter(run__source=source, run__status__in=(ETLRun.Status.FAILED, ETLRun.Status.CANCELLED))
    return dict(failed.filter(stream__startswith=STREAM_PREFIX).order_by("run_id").values_list("stream", "cursor"))


def _format(source: Source) -> Format:
    try:
        return format_of(format_options(source))
    except ValueError as exc:
        raise FatalError(f"{source.name} cannot be read as it is set: {exc}") from exc


def _one_ahead(pages: Iterator[Page | Unreadable]) -> Iterator[Page | Unreadable]:
    """Yield the pages, and read and mask the next page in a thread while the caller stores one. `pages`: must not use the database."""

    def read_next(language: str | None) -> Page | Unreadable | None:
        with override(language):  # a thread begins without the language of its caller
            return next(pages, None)

    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(read_next, get_language())
        while page := following.result():
            following = thread.submit(read_next, get_language())
            yield page


def _page(chunk: follow.Chunk | follow.Unreadable, lines: Format) -> Page | Unreadable:
    if isinstance(chunk, follow.Unreadable):
        return Unreadable(stream=STREAM, name=chunk.path, reason=chunk.reason)
    body = mask(chunk.body)
    record_count = lines.count(body)
    return Page(
        stream=chunk.stream,
        url=f"file://{chunk.path}#{chunk.start}",
        body=body if record_count else b"",
        record_count=record_count,
        fetched_at=now(),
        cursor=chunk.position,
        context={
            "identity": chunk.identity,
            "start": chunk.start,
            "written_at": chunk.written_at.isoformat(),
            **({"cut_bytes": chunk.cut_bytes} if chunk.cut_bytes else {}),
        },
    )


def _time_before(source: Source, stream: str, start: int) -> datetime | None:
    """Return the time of the last event before the offset `start` of a file, or None. It is taken from the clean batches of earlier chunks."""
    pages = CleanBatch.objects.filter(page__run__source=source, page__stream=stream, record_count__gt=0).order_by("-page_id")
    for batch_id, context in pages.values_list("pk", "page__context").iterator(chunk_size=20):
        if context["start"] < start:
            events = msgspec.json.decode(CleanBatch.objects.get(pk=batch_id).content, type=list[LogEvent])
            return events[-1].time
    return None
