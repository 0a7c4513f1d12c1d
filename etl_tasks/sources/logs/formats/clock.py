"""From what lines write to moments in UTC: time zones, years that nobody wrote, and times that cannot be.

One clock reads one body, in the order of its lines, for a time may only be understood by the one before it.
"""

from calendar import isleap
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from etl_tasks.sources.logs.formats.interface import Place
from etl_tasks.sources.logs.formats.times import LEAP_YEAR, MONTHS, NoSuchTime, Notation, NoTime, Partial, from_number, stamp
from log_store.event import to_millisecond

DAY = timedelta(days=1)
HALF_A_YEAR = timedelta(days=183)
# No zone changes its offset within one: those that do so at an odd minute did it before 1973.
QUARTER = timedelta(minutes=15)
YEARS_BACK = 40  # February 29 comes back after eight years at the latest
UNKNOWN = datetime.max.replace(tzinfo=UTC)  # stands for a time that only a later line tells
LENGTH_OF_ACCESS_TIME = len("17/May/2015:10:05:03 +0000")
LOCAL_ZONE = "/etc/localtime"
_DIGITS_OF_MONTH = {name.title(): f"{number:02}" for name, number in MONTHS.items()}


class Clock:
    """`mark`: what "time_is" has to say of the time given last; who asks clears it. `last`: the event before, if its time is known."""

    def __init__(self, zone: tzinfo, place: Place, notations: Sequence[Notation] = (), ahead: Callable[[], Iterable[str]] = tuple) -> None:
        """`ahead`: the times of the body in the order of its lines, asked for if one lacks its year."""
        self.mark = ""
        self.last: datetime | None = None
        self._zone = zone
        self._is_utc = zone is UTC
        self._place = place
        self._latest = place.written_at + DAY
        self._notations = notations
        self._ahead = ahead
        self._has_asked = False
        self._known: dict[str, datetime] = {}
        self._stamps: dict[str, datetime | Partial] = {}
        self._quarter: tuple[datetime, timedelta] = (datetime.min, timedelta())  # noqa: DTZ901 (as lines write it)
        self._year: int | None = None
        self._position = datetime.min  # noqa: DTZ901 (the same)

    def at(self, value: object) -> datetime:
        """The moment that a value of a line means. Raises NoTime, NoSuchTime."""
        self.mark = ""
        try:
            if type(value) is str:
                found = self._known.get(value)
                if found is None:
                    found = self._read(value)
            elif type(value) is int or type(value) is float:
                found = self._checked(from_number(value))
            else:
                raise NoTime("it is neither a text nor a number")
        except OverflowError as exc:
            raise NoSuchTime("it is beyond the calendar") from exc
        self.last = found
        return found

    def inferred(self, mark: str = "inferred") -> datetime:
        """The time of the event before; UNKNOWN if there is none."""
        self.mark = mark
        previous = self._previous()
        self.last = previous
        return UNKNOWN if previous is None else previous

    def _previous(self) -> datetime | None:
        if self.last is None and not self._has_asked:
            self._has_asked = True
            return self._place.previous()
        return self.last

    def _read(self, text: str) -> datetime:
        written = self._written(text)
        if isinstance(written, Partial):
            written = self._whole(written)
        is_certain = True
        if written.tzinfo is None:
            written, is_certain = self._universal(written)
        found = self._checked(written)
        if is_certain and not self.mark:
            self._known[text] = found
        return found

    def _written(self, text: str) -> datetime | Partial:
        # The two most frequent notations by far, past the search for which one it is.
        if not self._notations and len(text) >= 19:
            try:
                if text[4] == "-" and text[7] == "-" and text[10] in "T ":
                    return datetime.fromisoformat(text)
                if text[2] == "/" and text[6] == "/" and len(text) == LENGTH_OF_ACCESS_TIME:
                    return datetime.fromisoformat(f"{text[7:11]}-{_DIGITS_OF_MONTH[text[3:6]]}-{text[:2]}T{text[12:20]}{text[21:]}")
            except (ValueError, KeyError):
                pass
        written = self._stamps.get(text)
        if written is None:
            written = self._stamps[text] = stamp(text, self._notations)
        return written

    def _checked(self, moment: datetime) -> datetime:
        """Cut to the millisecond; marked if it is later than the file was written."""
        moment = moment.astimezone(UTC) if moment.tzinfo is not UTC else moment
        if not 1970 <= moment.year <= 2999:
            raise NoSuchTime("it is outside the years 1970 to 2999")
        if moment > self._latest:
            self.mark = "future"
        return to_millisecond(moment) if moment.microsecond % 1000 else moment

    # --- time zones ---------------------------------------------------------------------------------------------------

    def _universal(self, local: datetime) -> tuple[datetime, bool]:
        """A local time in UTC, and whether it is that whatever came before.

        An hour that comes twice is the first one until time would run backwards. One that never was is what the clock
        would have shown without the change.
        """
        if self._is_utc:
            return local.replace(tzinfo=UTC), True
        begin, offset = self._quarter
        if not begin <= local < begin + QUARTER:
            begin = local.replace(minute=local.minute // 15 * 15, second=0, microsecond=0)
            first, second = (begin.replace(tzinfo=self._zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
            if first != second:
                return self._at_a_change(local, first, second)
            self._quarter = begin, offset = begin, first
        return (local - offset).replace(tzinfo=UTC), True

    def _at_a_change(self, local: datetime, first: timedelta, second: timedelta) -> tuple[datetime, bool]:
        earlier = (local - first).replace(tzinfo=UTC)
        if first < second:
            self.mark = "impossible"
            return earlier, False
        later = (local - second).replace(tzinfo=UTC)
        previous = self._previous()
        if previous is None or previous > later:
            self.mark = "ambiguous"
            return earlier, False
        # What is read is kept to the millisecond, so that is what the one before can be compared with.
        return (earlier if to_millisecond(earlier) >= previous else later), False

    # --- years and dates that are not written ------------------------------------------------------------------------

    def _whole(self, partial: Partial) -> datetime:
        position = _position(partial)
        if position is None:
            return self._on_its_day(partial)
        if self._year is None:
            self._year = self._first_year()
        elif turn := _turn_of_the_year(self._position, position):
            self._year += turn
            self._known.clear()  # the same texts mean another year now
        self._position = position
        try:
            return datetime.combine(date(self._year, position.month, position.day), partial.time)
        except ValueError as exc:
            raise NoSuchTime("there is no such day in its year") from exc

    def _first_year(self) -> int:
        """The year of the body's first line: the one that brings its last line nearest before the file was written."""
        turns, last = 0, None
        days: set[tuple[int, int, int]] = set()
        for text in self._ahead():
            try:
                written = self._written(text)
            except NoTime:
                continue
            if isinstance(written, Partial) and (position := _position(written)):
                turns += _turn_of_the_year(last, position) if last else 0
                last = position
                days.add((position.month, position.day, turns))
        latest = self._latest.astimezone(self._zone).replace(tzinfo=None)
        if last is not None:
            for year in range(latest.year - turns, latest.year - turns - YEARS_BACK, -1):
                if all(_is_a_day(year + turn, month, day) for month, day, turn in days) and last.replace(year=year + turns) <= latest:
                    return year
        return latest.year

    def _on_its_day(self, partial: Partial) -> datetime:
        """A time of day: of the day of the event before or the next one, else of the last day that the file can be of."""
        self.mark = "inferred"
        previous = self._previous()
        if previous is None:
            written_at = self._place.written_at.astimezone(self._zone).replace(tzinfo=None)
            found = datetime.combine(written_at, partial.time)
            return found if found <= written_at + timedelta(hours=1) else found - DAY
        local = previous.astimezone(self._zone).replace(tzinfo=None)
        found = datetime.combine(local, partial.time)
        return found + DAY if local - found > DAY / 2 else found


def _position(partial: Partial) -> datetime | None:
    """Where in its year it is; None of a time of day."""
    if partial.month is None or partial.day is None:
        return None
    return datetime.combine(date(LEAP_YEAR, partial.month, partial.day), partial.time)


def _is_a_day(year: int, month: int, day: int) -> bool:
    return (month, day) != (2, 29) or isleap(year)


def _turn_of_the_year(before: datetime, after: datetime) -> int:
    """Between two lines without a year: 1 from December to January, -1 where a line comes late over the new year, else 0."""
    if before - after > HALF_A_YEAR:
        return 1
    if after - before > 2 * HALF_A_YEAR - 2 * DAY:
        return -1
    return 0


def zone_named(name: str) -> tzinfo:
    """An IANA name, or "local" for the zone that this machine is set to. Raises ValueError with a sentence."""
    if name in ("UTC", "Etc/UTC"):
        return UTC
    if name == "local":
        # Not by TZ, which Django sets to its own TIME_ZONE.
        try:
            with open(LOCAL_ZONE, "rb") as file:
                return ZoneInfo.from_file(file)
        except FileNotFoundError:
            return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'{name!r} is no IANA time zone: write it as Europe/Madrid, or "local" for this machine\'s') from None
