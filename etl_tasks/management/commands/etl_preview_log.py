"""etl_preview_log PATH: the first events of log files as they would be read, and what would not be read, and why."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from dora_metrics.management.base_command import BaseCommand, UsageError
from etl_tasks.management import log_format_options
from etl_tasks.models import Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.logs.allowed_folders import log_roots
from etl_tasks.sources.logs.following import follow
from etl_tasks.sources.logs.formats import format_of
from etl_tasks.sources.logs.formats.interface import Format, Place
from etl_tasks.sources.logs.masking import mask
from log_store.event import LogEvent, file_key

EVENTS_SHOWN = 20
UNREAD_SHOWN = 20
BYTES_READ = 16 << 20
TEXT_SHOWN = 200


class Command(BaseCommand):
    help = "Show the first events of log files as they would be read, and what would not. Stores nothing. Exit status: 0, or 1 if none could be read."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", metavar="PATH", help="a file, or a pattern of files")
        parser.add_argument("--source", metavar="NAME", help="read as this source does, but for what the other options say")
        log_format_options.add_format_options(parser, is_required=False)

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["path"].strip():
            raise UsageError("PATH is empty: name a file, for example /var/log/billing/app.log")
        path = os.path.abspath(options["path"])
        log_format_options.refuse_outside(path)
        source = Source(name="preview", kind=Source.Kind.LOGS)
        if options["source"] is not None:
            found = Source.objects.filter(name=options["source"], kind=Source.Kind.LOGS).first()
            if found is None:
                raise UsageError(f"there is no log source {options['source']!r}: `etl_status` lists the sources")
            source = found
        options["format"] = options["format"] or source.log_format or log_format_options.AUTO
        try:
            if options["format"] == log_format_options.AUTO:
                guess = log_format_options.guess_format(options, path)
                self.stdout.write(log_format_options.how_sure(guess))
                self.stdout.write()
                if not guess.read:
                    raise CommandError(f"nothing in {path} could be read: name its format with --format", returncode=1)
            follow.paths_of(path, log_roots())
        except FileNotFoundError as exc:
            raise CommandError(str(exc), returncode=1) from exc
        log_format_options.apply(options, source)
        try:
            lines = format_of(source.reading())
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        self._show(path, source, lines)

    def _show(self, path: str, source: Source, lines: Format) -> None:
        counts, marks = Counter[str](), Counter[str]()
        unread: list[str] = []
        for where, found in self._results(path, source, lines):
            if isinstance(found, Good) and not found.is_unparsed:
                counts["read"] += 1
                marks[found.fact.extra.get("time_is", "")] += 1
                if counts["read"] <= EVENTS_SHOWN:
                    self.stdout.write(_shown(found.fact))
                continue
            text, error = (found.data, found.error) if isinstance(found, Bad) else (found.fact.message, found.fact.extra["unparsed"])
            counts["unread"] += 1
            counts["lines unread"] += _lines_in(text.encode())
            if counts["unread"] <= UNREAD_SHOWN:
                unread.append(f"{where}: {error} {_short(text)}")
        lines_read = self._lines - counts["lines unread"]
        self.stdout.write()
        self.stdout.write(f"{lines_read} of {self._lines} lines read as {source.log_format}: {counts['read']} events, their times in UTC")
        for mark in sorted(mark for mark in marks if mark):
            self.stdout.write(f"{marks[mark]} of them with a time that is {mark}")
        for one in unread:
            self.stdout.write(f"not read: {one}")
        if counts["unread"] > UNREAD_SHOWN:
            self.stdout.write(f"and {counts['unread'] - UNREAD_SHOWN} more places")
        if not counts["read"]:
            raise CommandError(f"nothing in {path} could be read as {source.log_format}", returncode=1)

    def _results(self, path: str, source: Source, lines: Format) -> Iterator[tuple[str, Good | Bad]]:
        """Each with the place it begins at, up to a limit of bytes; `_lines` says then how many lines that were."""
        left, self._lines = BYTES_READ, 0
        last: dict[str, datetime] = {}
        for chunk in follow.chunks(path, {}, begins=lines.begins if lines.is_multiline else None, roots=log_roots()):
            if isinstance(chunk, follow.Unreadable):
                self.stdout.write(f"cannot be opened: {chunk.path}: {chunk.reason}")
                continue
            key = file_key(source.pk or 0, chunk.identity)
            place = Place(
                source=source.name,
                key=key,
                start=chunk.start,
                written_at=chunk.written_at,
                previous=lambda identity=chunk.identity: last.get(identity),  # type: ignore[misc]
                cut_bytes=chunk.cut_bytes,
            )
            self._lines += _lines_in(chunk.body)
            for found in lines.read(mask(chunk.body), place):
                if isinstance(found, Good):
                    last[chunk.identity] = found.fact.time
                event_id = found.fact.event_id if isinstance(found, Good) else found.key
                yield f"{chunk.path}, byte {int(event_id.removeprefix(key), 16)}", found
            left -= len(chunk.body)
            if left <= 0:
                self.stdout.write(f"(only the first {BYTES_READ >> 20} MiB were looked at)")
                return


def _shown(event: LogEvent) -> str:
    time = f"{event.time:%Y-%m-%d %H:%M:%S}.{event.time.microsecond // 1000:03}"
    names = ("service", "host", "logger", "method", "path", "status", "duration_ms", "trace_id")
    values = {name: getattr(event, name) for name in names if getattr(event, name) not in ("", None)} | event.extra
    rest = " ".join(f"{name}={_short(str(value))}" for name, value in values.items())
    return f"{time} {event.level:8} {_short(event.message)}" + (f"  [{rest}]" if rest else "")


def _lines_in(body: bytes) -> int:
    """How many lines are not blank."""
    return sum(map(bool, (line.strip(b"\0 \t\r") for line in body.split(b"\n"))))


def _short(text: str) -> str:
    """One short line."""
    first, *more = text[: TEXT_SHOWN * 10].split("\n")
    shown = first if len(first) <= TEXT_SHOWN else first[:TEXT_SHOWN] + "…"
    return shown + (f" (+{text.count(chr(10))} lines)" if more else "")
