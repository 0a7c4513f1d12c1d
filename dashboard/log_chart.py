"""Events an hour, or a day, as bars: geometry only, the template draws it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

HEIGHT, WIDTH = 80, 1000
MOST_HOURS = 24 * 8
ERRORS = ("error", "critical")


@dataclass(frozen=True, slots=True)
class Bar:
    """`y` and `height` of all its events; of them the errors, and the warnings above these, from the bottom."""

    x: float
    width: float
    y: float
    height: float
    warning_y: float
    warning_height: float
    error_y: float
    error_height: float
    title: str
    link: str


@dataclass(frozen=True, slots=True)
class Chart:
    bars: list[Bar]
    most: int
    events: int
    step: str


def chart(
    counts: Mapping[tuple[datetime, str], int], start: datetime, end: datetime, *, link: Callable[[datetime, datetime], str], zone: tzinfo
) -> Chart:
    """`counts`: events by hour (UTC) and level. Bars are hours, or local days where hours would be too many."""
    edges = _edges(start, end, zone)
    sums = [dict.fromkeys(("all", "warning", "error"), 0) for _ in edges[:-1]]
    place = 0
    for (hour, level), events in sorted(counts.items()):
        while place < len(sums) - 1 and hour >= edges[place + 1]:
            place += 1
        sums[place]["all"] += events
        if level in ERRORS:
            sums[place]["error"] += events
        elif level == "warning":
            sums[place]["warning"] += events
    most = max((one["all"] for one in sums), default=0)
    width = WIDTH / max(1, len(sums))
    bars = []
    for place, one in enumerate(sums):
        heights = {name: HEIGHT * value / most if most else 0.0 for name, value in one.items()}
        at = edges[place].astimezone(zone)
        bars.append(
            Bar(
                x=place * width,
                width=max(1.0, width - 1),
                y=HEIGHT - heights["all"],
                height=heights["all"],
                warning_y=HEIGHT - heights["error"] - heights["warning"],
                warning_height=heights["warning"],
                error_y=HEIGHT - heights["error"],
                error_height=heights["error"],
                title=f"{at:%Y-%m-%d %H:%M}: {one['all']} events, {one['warning']} warnings, {one['error']} errors",
                link=link(edges[place], edges[place + 1]),
            )
        )
    return Chart(bars=bars, most=most, events=sum(one["all"] for one in sums), step="day" if _is_by_day(start, end) else "hour")


def span(start: datetime, end: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """From the beginning of the first bar to the end of the last: each is drawn whole, wherever the period begins and ends."""
    edges = _edges(start, end, zone)
    return edges[0], edges[-1]


def _is_by_day(start: datetime, end: datetime) -> bool:
    return end - start > timedelta(hours=MOST_HOURS)


def _edges(start: datetime, end: datetime, zone: tzinfo) -> list[datetime]:
    """Beginnings of the bars, and the end of the last, in UTC; a local day may have 23 or 25 hours."""
    if not _is_by_day(start, end):
        first = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        steps = -((first - end) // timedelta(hours=1))
        return [first + timedelta(hours=step) for step in range(steps + 1)]
    day = start.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    edges: list[datetime] = []
    while not edges or edges[-1] < end:
        edges.append(day.replace(tzinfo=zone).astimezone(UTC))
        day += timedelta(days=1)
    return edges
