"""Convert the local times of log lines to UTC, also in the hours when clocks change."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dora_metrics.calculators.sentences import Sentence, gettext_noop
from log_store.event import to_millisecond

# Since 1973, all zones have changed their offsets only at the beginning of a quarter of an hour. So the offset stays the same within a quarter.
QUARTER = timedelta(minutes=15)
LOCAL_ZONE = "/etc/localtime"


class LocalTimes:
    """Converts times without an offset to UTC. It keeps the offset for one quarter of an hour, because the next time is usually in it too."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self._is_utc = zone is UTC
        self._quarter: tuple[datetime, timedelta] = (datetime.min, timedelta())  # noqa: DTZ901 (a local time)

    def to_utc(self, local: datetime, previous: Callable[[], datetime | None]) -> tuple[datetime, str, bool]:
        """Return the time in UTC, what is unusual about it ("ambiguous", "impossible" or ""), and True if neither depends on the event before.

        `previous`: a function that returns the time of the event before, or None. When clocks are put back, an hour occurs twice. A time in it is
        read as the first occurrence, unless this is earlier than the event before. When clocks are put forward, an hour is skipped. A time in it
        is marked as impossible, and is read as if the clocks had not changed.
        """
        if self._is_utc:
            return local.replace(tzinfo=UTC), "", True
        begin, offset = self._quarter
        if not begin <= local < begin + QUARTER:
            begin = local.replace(minute=local.minute // 15 * 15, second=0, microsecond=0)
            first, second = (begin.replace(tzinfo=self.zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
            if first != second:
                return *_at_a_change(local, first, second, previous), False
            self._quarter = begin, offset = begin, first
        return (local - offset).replace(tzinfo=UTC), "", True


def _at_a_change(local: datetime, first: timedelta, second: timedelta, previous: Callable[[], datetime | None]) -> tuple[datetime, str]:
    earlier = (local - first).replace(tzinfo=UTC)
    if first < second:
        return earlier, "impossible"
    later = (local - second).replace(tzinfo=UTC)
    time_before = previous()
    if time_before is None or time_before > later:
        return earlier, "ambiguous"
    # The time before was cut to the millisecond, so compare at that precision.
    return (earlier if to_millisecond(earlier) >= time_before else later), ""


def zone_named(name: str) -> tzinfo:
    """Return the zone of an IANA name, or for "local" the zone that this machine is set to. Raises ValueError with an explanation."""
    if name in ("UTC", "Etc/UTC"):
        return UTC
    if name == "local":
        # The variable TZ is not used, because Django sets it to its own TIME_ZONE.
        try:
            with open(LOCAL_ZONE, "rb") as file:
                return ZoneInfo.from_file(file)
        except FileNotFoundError:
            return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            Sentence(gettext_noop('{!r} is not an IANA time zone: write it as Europe/Madrid, or "local" for this machine\'s'), name)
        ) from None
