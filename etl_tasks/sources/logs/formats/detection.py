"""Detect the format of lines, and say how certain the result is (--format auto)."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from etl_tasks.outcomes import Good
from etl_tasks.sources.logs.formats.interface import BodyOrigin, FormatOptions
from etl_tasks.sources.logs.formats.known_formats import DECLARED, FORMATS, format_of
from etl_tasks.sources.logs.formats.layouts import Layouts
from etl_tasks.sources.logs.formats.logfmt import Logfmt
from log_store.event import LogEvent

SURE = 0.8
# If two formats read equally many lines, the one with more detail is taken. The detail of a layout is the number of its values. This is the detail
# of every format without layouts.
MUCH_DETAIL = 100
# Lines without a year get one from `written_at`. Which year that is makes no difference here.
ANY_ORIGIN = BodyOrigin(source="", key="", start=0, written_at=datetime(2500, 1, 1, tzinfo=UTC), previous=lambda: None)


class Guess(msgspec.Struct, frozen=True):
    """The detected format, which reads `read` of `total` lines.

    `runner_up`: the best of the other formats whose events differ from those of the detected format; it reads `runner_up_read` of the lines.
    `is_tie`: whether the two formats read equally many lines and find equally many values.
    """

    log_format: str
    pattern: str
    read: int
    total: int
    runner_up: str = ""
    runner_up_read: int = 0
    is_tie: bool = False

    @property
    def share(self) -> float:
        return self.read / self.total if self.total else 0.0

    @property
    def is_sure(self) -> bool:
        return self.share >= SURE and not self.is_tie


class _Candidate(msgspec.Struct):
    options: FormatOptions
    read: int
    detail: int
    events: list[LogEvent]


def detect(lines: Sequence[bytes]) -> Guess:
    """Return the format that reads the most lines. If several formats read equally many, return the format that finds more values.

    If several layouts of one format read equally many lines, the first layout is returned: a source without a pattern uses it too.
    """
    body = b"\n".join(lines)
    best_of_format: dict[str, _Candidate] = {}
    for candidate in (_tried(options, body) for options in _all_options()):
        name = candidate.options.log_format
        if name not in best_of_format or candidate.read > best_of_format[name].read:
            best_of_format[name] = candidate
    best, *others = sorted(best_of_format.values(), key=lambda candidate: (-candidate.read, -candidate.detail))
    other = next((candidate for candidate in others if candidate.events != best.events), None)
    return Guess(
        log_format=best.options.log_format,
        pattern=best.options.pattern,
        read=best.read,
        total=sum(1 for line in lines if line.strip(b"\0 \t\r\n")),
        runner_up=other.options.log_format if other and other.read else "",
        runner_up_read=other.read if other else 0,
        is_tie=other is not None and (other.read, other.detail) == (best.read, best.detail),
    )


def _all_options() -> Iterator[FormatOptions]:
    for name in FORMATS:
        if name in DECLARED:
            yield from (FormatOptions(log_format=name, pattern=layout) for layout in DECLARED[name])
        elif name != "regex":
            yield FormatOptions(log_format=name)


def _tried(options: FormatOptions, body: bytes) -> _Candidate:
    form = format_of(options)
    outcomes = [outcome for outcome in form.read(body, ANY_ORIGIN) if isinstance(outcome, Good)]
    events = [outcome.fact for outcome in outcomes if not outcome.is_unparsed]
    # Here the id of an event is its offset. The event ends where the next event begins. Its lines are taken from the body, because its message may
    # not have all of them.
    begins = [int(outcome.fact.event_id, 16) for outcome in outcomes]
    ends = dict(zip(begins, [*begins[1:], len(body)], strict=False))
    detail = MUCH_DETAIL
    if isinstance(form, Layouts):
        detail = form.detail
        # Almost any sentence matches some layout, with a word as its level or punctuation as its logger. Do not count such events.
        events = [event for event in events if "level" not in event.extra and _is_like_a_logger(event.logger)]
    elif isinstance(form, Logfmt):
        # Almost any sentence with = looks like logfmt. Count only events with a time.
        events = [event for event in events if event.extra.get("time_is") != "inferred"]
    return _Candidate(
        options=options,
        read=sum(1 + _lines_of_a_trace(body[(begin := int(event.event_id, 16)) : ends[begin]]) for event in events),
        detail=detail,
        events=events,
    )


def _is_like_a_logger(text: str) -> bool:
    return not text or (" " not in text and any(letter.isalnum() for letter in text))


def _lines_of_a_trace(event: bytes) -> int:
    """Return the number of an event's continuation lines if any of them is indented, as in a stack trace.

    If none is indented, return 0, because they may be lines of another format.
    """
    written = [line for line in event.split(b"\n")[1:] if line.strip(b"\0 \t\r")]
    return len(written) if any(line.startswith((b" ", b"\t")) for line in written) else 0
