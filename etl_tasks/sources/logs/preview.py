"""Read the beginning of log files as a source would, without storing anything: for the command etl_preview_log and the setup page."""

import glob
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from etl_tasks.errors import reason_text
from etl_tasks.models import Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.logs.allowed_folders import log_roots
from etl_tasks.sources.logs.following import follow
from etl_tasks.sources.logs.format_options import format_options
from etl_tasks.sources.logs.formats.detection import Guess, detect
from etl_tasks.sources.logs.formats.interface import BodyOrigin, Format
from etl_tasks.sources.logs.formats.known_formats import format_of
from etl_tasks.sources.logs.masking.masker import mask
from log_store.event import file_key

FILES_SAMPLED = 5
LINES_SAMPLED = 200  # of each file
MOST_BYTES_READ = 16 << 20
MOST_BYTES_PREVIEWED = 1 << 20
EVENTS_PREVIEWED = 20
LONGEST_TEXT = 500


class Reading:
    """The results of reading the first `most_bytes` of the files, each with its file and position. `lines` counts the lines read so far.

    `say` is called with a sentence about a file that cannot be opened, and about a limit that is reached.
    """

    def __init__(self, path: str, source: Source, log_format: Format, *, say: Callable[[str], Any], most_bytes: int = MOST_BYTES_READ) -> None:
        self._path, self._source, self._format, self._say, self._most_bytes = path, source, log_format, say, most_bytes
        self.lines = 0

    def __iter__(self) -> Iterator[tuple[str, Good | Bad]]:
        left = self._most_bytes
        last_times: dict[str, datetime] = {}
        begins = self._format.begins if self._format.is_multiline else None
        for chunk in follow.chunks(self._path, {}, begins=begins, roots=log_roots()):
            if isinstance(chunk, follow.Unreadable):
                self._say(_("cannot be opened: %(path)s: %(reason)s") % {"path": chunk.path, "reason": chunk.reason})
                continue
            key = file_key(self._source.pk or 0, chunk.identity)
            place = BodyOrigin(
                source=self._source.name,
                key=key,
                start=chunk.start,
                written_at=chunk.written_at,
                previous=lambda identity=chunk.identity: last_times.get(identity),  # type: ignore[misc]
                cut_bytes=chunk.cut_bytes,
            )
            self.lines += count_lines(chunk.body)
            for result in self._format.read(mask(chunk.body), place):
                if isinstance(result, Good):
                    last_times[chunk.identity] = result.fact.time
                event_id = result.fact.event_id if isinstance(result, Good) else result.key
                yield f"{chunk.path}, byte {int(event_id.removeprefix(key), 16)}", result
            left -= len(chunk.body)
            if left <= 0:
                self._say(_("(only the first %(size)s MiB were read)") % {"size": self._most_bytes >> 20})
                return


def count_lines(body: bytes) -> int:
    """Return the number of lines that are not blank."""
    return sum(map(bool, (line.strip(b"\0 \t\r") for line in body.split(b"\n"))))


def guess_of_files(pattern: str) -> Guess:
    """Guess the format of the files that `pattern` matches from their first lines. Raises ValueError with a sentence, FileNotFoundError."""
    if refusal := log_roots().refusal(pattern):
        raise ValueError(refusal)
    unreadable: list[follow.Unreadable] = []
    paths = follow.paths_of(pattern, log_roots())[:FILES_SAMPLED]
    guess = detect([line for path in paths for line in islice(_lines(path, unreadable), LINES_SAMPLED)])
    if not guess.total and unreadable:
        raise ValueError(_("%(path)s cannot be looked at: %(reason)s") % {"path": unreadable[0].path, "reason": unreadable[0].reason})
    return guess


def _lines(path: str, unreadable: list[follow.Unreadable]) -> Iterator[bytes]:
    """Yield the lines of a file. A part that cannot be read is appended to `unreadable`."""
    for chunk in follow.chunks(glob.escape(path), {}, roots=log_roots()):
        if isinstance(chunk, follow.Unreadable):
            unreadable.append(chunk)
        else:
            yield from chunk.body.splitlines()


def preview(source: Source) -> dict[str, Any]:
    """Return what the source would read from the first mebibyte of its files, as a value that can be sent in a message. Nothing is stored.

    Keys: "problem" (why nothing could be read, or ""), "format" and "pattern" (the source's, or the guessed ones if it has none), "files",
    "lines", "events" (the first ones, masked: time, level, message, fields), "event_count", "unread" (where, reason, text), "unread_count",
    "notes".
    """
    result: dict[str, Any] = {"problem": "", "format": source.log_format, "pattern": source.log_pattern, "files": [], "lines": 0}
    result |= {"events": [], "event_count": 0, "unread": [], "unread_count": 0, "notes": []}
    try:
        if refusal := log_roots().refusal(source.path):
            raise ValueError(refusal)
        result["files"] = follow.paths_of(source.path, log_roots())[:EVENTS_PREVIEWED]
        if not source.log_format:
            guess = guess_of_files(source.path)
            if not guess.read:
                raise ValueError(_("none of the first lines is in a known format: choose a format, or write a pattern"))
            source.log_format, source.log_pattern = guess.log_format, guess.pattern or ""
            result |= {"format": source.log_format, "pattern": source.log_pattern}
        reading = Reading(source.path, source, format_of(format_options(source)), say=result["notes"].append, most_bytes=MOST_BYTES_PREVIEWED)
        for where, outcome in reading:
            _add(result, where, outcome)
        result["lines"] = reading.lines
    except (ValueError, FileNotFoundError) as exc:
        result["problem"] = reason_text(exc)
    return result


def _add(result: dict[str, Any], where: str, outcome: Good | Bad) -> None:
    if isinstance(outcome, Good) and not outcome.is_unparsed:
        result["event_count"] += 1
        if len(result["events"]) < EVENTS_PREVIEWED:
            event = outcome.fact
            names = ("host", "logger", "method", "path", "status", "duration_ms", "trace_id")
            fields = {name: str(getattr(event, name)) for name in names if getattr(event, name) not in ("", None)} | event.extra
            shown = {"time": event.time.isoformat(), "level": event.level, "message": event.message[:LONGEST_TEXT]}
            result["events"].append({**shown, "fields": {name: value[:LONGEST_TEXT] for name, value in fields.items()}})
        return
    text, reason = (outcome.data, outcome.error) if isinstance(outcome, Bad) else (outcome.fact.message, outcome.fact.extra["unparsed"])
    result["unread_count"] += 1
    if len(result["unread"]) < EVENTS_PREVIEWED:
        result["unread"].append({"where": where, "reason": reason, "text": text[:LONGEST_TEXT]})
