"""Which format lines are in, and how sure that is."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from etl_tasks.outcomes import Good
from etl_tasks.sources.logs.formats.interface import BodyOrigin, Reading
from etl_tasks.sources.logs.formats.known_formats import DECLARED, FORMATS, format_of
from etl_tasks.sources.logs.formats.layouts import Layouts
from etl_tasks.sources.logs.formats.logfmt import Logfmt
from log_store.event import LogEvent

SURE = 0.8
MUCH_DETAIL = 100  # of formats that are not made of a layout's values
# Where lines lack a year, any will do to tell formats apart.
SOME_PLACE = BodyOrigin(source="", key="", start=0, written_at=datetime(2500, 1, 1, tzinfo=UTC), previous=lambda: None)


class Guess(msgspec.Struct, frozen=True):
    """`read` of `total` lines are of the format; `runner_up` reads `runner_up_read` of them, and otherwise. `is_tie`: as well as the guess."""

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
    reading: Reading
    read: int
    detail: int
    events: list[LogEvent]


def detect(lines: Sequence[bytes]) -> Guess:
    """The format that reads the most of the lines; among equals the one that tells more values apart.

    Of one format's layouts that read as many, it is the first, as it would be without a pattern.
    """
    body = b"\n".join(lines)
    best_of_format: dict[str, _Candidate] = {}
    for one in (_tried(reading, body) for reading in _readings()):
        name = one.reading.log_format
        if name not in best_of_format or one.read > best_of_format[name].read:
            best_of_format[name] = one
    found = sorted(best_of_format.values(), key=lambda one: (-one.read, -one.detail))
    best = found[0]
    other = next((one for one in found[1:] if one.events != best.events), None)
    return Guess(
        log_format=best.reading.log_format,
        pattern=best.reading.pattern,
        read=best.read,
        total=sum(1 for line in lines if line.strip(b"\0 \t\r\n")),
        runner_up=other.reading.log_format if other and other.read else "",
        runner_up_read=other.read if other else 0,
        is_tie=other is not None and (other.read, other.detail) == (best.read, best.detail),
    )


def _readings() -> Iterator[Reading]:
    for name in FORMATS:
        if name in DECLARED:
            yield from (Reading(log_format=name, pattern=layout) for layout in DECLARED[name])
        elif name != "regex":
            yield Reading(log_format=name)


def _tried(reading: Reading, body: bytes) -> _Candidate:
    form = format_of(reading)
    found = [one for one in form.read(body, SOME_PLACE) if isinstance(one, Good)]
    events = [one.fact for one in found if not one.is_unparsed]
    # An event goes up to where the next thing begins, of which its id is made. Its message need not have all its lines.
    begins = [int(one.fact.event_id, 16) for one in found]
    ends = dict(zip(begins, [*begins[1:], len(body)], strict=False))
    detail = MUCH_DETAIL
    if isinstance(form, Layouts):
        detail = form.detail
        # Almost any sentence is of some layout, with a word for its level, or a bar between fields for its logger.
        events = [event for event in events if "level" not in event.extra and _is_like_a_logger(event.logger)]
    elif isinstance(form, Logfmt):
        # And one with = in it looks like logfmt.
        events = [event for event in events if event.extra.get("time_is") != "inferred"]
    return _Candidate(
        reading=reading,
        read=sum(1 + _lines_of_a_trace(body[(begin := int(event.event_id, 16)) : ends[begin]]) for event in events),
        detail=detail,
        events=events,
    )


def _is_like_a_logger(text: str) -> bool:
    return not text or (" " not in text and any(letter.isalnum() for letter in text))


def _lines_of_a_trace(event: bytes) -> int:
    """How many lines go on as those of a stack trace do, some of them indented; foreign lines also go on, but speak for no format."""
    written = [line for line in event.split(b"\n")[1:] if line.strip(b"\0 \t\r")]
    return len(written) if any(line.startswith((b" ", b"\t")) for line in written) else 0
