"""Convert the times in lines to moments in UTC, also if a time has no year or no date.

An EventClock reads the times of one body (the bytes of a log chunk), in the order of the lines, because the time of a line may depend on the event
before it.
"""

from calendar import isleap
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo

from etl_tasks.sources.logs.formats.interface import BodyOrigin
from etl_tasks.sources.logs.formats.time_notations import LEAP_YEAR, MONTHS, ImpossibleTime, NotATime, Notation, PartialTime, from_number, parse_time
from etl_tasks.sources.logs.formats.time_zones import LocalTimes
from log_store.event import to_millisecond

DAY = timedelta(days=1)
HALF_A_YEAR = timedelta(days=183)
YEARS_BACK = 40  # how many years are tried; a year with February 29 is at most eight years back
UNKNOWN = datetime.max.replace(tzinfo=UTC)  # placeholder until a later line of the body has a time
LENGTH_OF_ACCESS_TIME = len("17/May/2015:10:05:03 +0000")
_DIGITS_OF_MONTH = {name.title(): f"{number:02}" for name, number in MONTHS.items()}


class EventClock:
    """Reads the times of one body.

    `mark`: the value that "time_is" gets in the event's `extra`, for the time that was returned last; "" for none. The caller clears it before each
    event. `last`: the time that was returned last; None if no time is known yet.
    """

    def __init__(self, zone: tzinfo, origin: BodyOrigin, notations: Sequence[Notation] = (), ahead: Callable[[], Iterable[str]] = tuple) -> None:
        """`zone`: for times without an offset. `notations`: are tried before the known notations.

        `ahead`: a function that returns the texts of all times of the body, in the order of the lines. It is called only if a time has no year.
        """
        self.mark = ""
        self.last: datetime | None = None
        self._local_times = LocalTimes(zone)
        self._origin = origin
        self._latest = origin.written_at + DAY
        self._notations = notations
        self._ahead = ahead
        self._has_asked_previous = False
        self._known: dict[str, datetime] = {}
        self._parsed: dict[str, datetime | PartialTime] = {}
        self._year: int | None = None
        self._position = datetime.min  # noqa: DTZ901 (a local time)

    def at(self, value: object) -> datetime:
        """Return the moment that is meant by `value`, the time in a line. Raises NotATime, ImpossibleTime."""
        self.mark = ""
        try:
            if type(value) is str:
                found = self._known.get(value)
                if found is None:
                    found = self._read(value)
            elif type(value) is int or type(value) is float:
                found = self._checked(from_number(value))
            else:
                raise NotATime("it is neither a text nor a number")
        except OverflowError as exc:
            raise ImpossibleTime("it is beyond the calendar") from exc
        self.last = found
        return found

    def inferred(self, mark: str = "inferred") -> datetime:
        """Return the time of the event before, or UNKNOWN if there is none. `mark`: the value of "time_is" for this event."""
        self.mark = mark
        previous = self._previous()
        self.last = previous
        return UNKNOWN if previous is None else previous

    def _previous(self) -> datetime | None:
        if self.last is None and not self._has_asked_previous:
            self._has_asked_previous = True
            return self._origin.previous()
        return self.last

    def _read(self, text: str) -> datetime:
        written = self._written(text)
        if isinstance(written, PartialTime):
            written = self._complete(written)
        is_certain = True
        if written.tzinfo is None:
            written, mark, is_certain = self._local_times.to_utc(written, self._previous)
            if mark:
                self.mark = mark
        found = self._checked(written)
        if is_certain and not self.mark:
            self._known[text] = found
        return found

    def _written(self, text: str) -> datetime | PartialTime:
        # Try the two most frequent notations first, without regexes.
        if not self._notations and len(text) >= 19:
            try:
                if text[4] == "-" and text[7] == "-" and text[10] in "T ":
                    return datetime.fromisoformat(text)
                if text[2] == "/" and text[6] == "/" and len(text) == LENGTH_OF_ACCESS_TIME:
                    return datetime.fromisoformat(f"{text[7:11]}-{_DIGITS_OF_MONTH[text[3:6]]}-{text[:2]}T{text[12:20]}{text[21:]}")
            except (ValueError, KeyError):
                pass
        written = self._parsed.get(text)
        if written is None:
            written = self._parsed[text] = parse_time(text, self._notations)
        return written

    def _checked(self, moment: datetime) -> datetime:
        """Return a time in UTC, cut to the millisecond. Raises ImpossibleTime if it is outside the years 1970 to 2999.

        A time that is more than a day after the file was last written to gets the mark "future".
        """
        moment = moment.astimezone(UTC) if moment.tzinfo is not UTC else moment
        if not 1970 <= moment.year <= 2999:
            raise ImpossibleTime("it is outside the years 1970 to 2999")
        if moment > self._latest:
            self.mark = "future"
        return to_millisecond(moment) if moment.microsecond % 1000 else moment

    # --- missing years and dates -------------------------------------------------------------------------------------

    def _complete(self, partial: PartialTime) -> datetime:
        """Return a time with the year or the date that its line does not contain."""
        position = _position(partial)
        if position is None:
            return self._on_its_day(partial)
        if self._year is None:
            self._year = self._first_year()
        elif change := _year_change(self._position, position):
            self._year += change
            self._known.clear()  # the same texts now mean another year
        self._position = position
        try:
            return datetime.combine(date(self._year, position.month, position.day), partial.time)
        except ValueError as exc:
            raise ImpossibleTime("there is no such day in its year") from exc

    def _first_year(self) -> int:
        """Return the year of the body's first line.

        It is the latest year with which all dates of the body exist, and the body's last line is at most a day after the file was last written to.
        """
        changes, last = 0, None
        days: set[tuple[int, int, int]] = set()
        for text in self._ahead():
            try:
                written = self._written(text)
            except NotATime:
                continue
            if isinstance(written, PartialTime) and (position := _position(written)):
                changes += _year_change(last, position) if last else 0
                last = position
                days.add((position.month, position.day, changes))
        latest = self._latest.astimezone(self._local_times.zone).replace(tzinfo=None)
        if last is not None:
            for year in range(latest.year - changes, latest.year - changes - YEARS_BACK, -1):
                if all(_is_a_day(year + change, month, day) for month, day, change in days) and last.replace(year=year + changes) <= latest:
                    return year
        return latest.year

    def _on_its_day(self, partial: PartialTime) -> datetime:
        """Return a time of day with the date of the event before it. If this would be over twelve hours before that event, the next day is taken.

        If there is no event before, it gets the latest date with which it is at most an hour after the file was last written to.
        """
        self.mark = "inferred"
        previous = self._previous()
        if previous is None:
            written_at = self._origin.written_at.astimezone(self._local_times.zone).replace(tzinfo=None)
            found = datetime.combine(written_at, partial.time)
            return found if found <= written_at + timedelta(hours=1) else found - DAY
        local = previous.astimezone(self._local_times.zone).replace(tzinfo=None)
        found = datetime.combine(local, partial.time)
        return found + DAY if local - found > DAY / 2 else found


def _position(partial: PartialTime) -> datetime | None:
    """Return the date and time in the year LEAP_YEAR, so that they can be compared with others. Returns None if there is no date."""
    if partial.month is None or partial.day is None:
        return None
    return datetime.combine(date(LEAP_YEAR, partial.month, partial.day), partial.time)


def _is_a_day(year: int, month: int, day: int) -> bool:
    return (month, day) != (2, 29) or isleap(year)


def _year_change(before: datetime, after: datetime) -> int:
    """Return by how many years the dates of two successive lines differ.

    It is 1 from December to January, -1 from January to December (the second line was written late), otherwise 0.
    """
    if before - after > HALF_A_YEAR:
        return 1
    if after - before > 2 * HALF_A_YEAR - 2 * DAY:
        return -1
    return 0
