"""The geometry of the chart of events per hour or day. The template logs.html draws it as SVG."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

HEIGHT, WIDTH = 80, 1000
MOST_HOURS = 24 * 8  # the longest period with a bar for each hour; a longer period has a bar for each day
ERROR_LEVELS = ("error", "critical")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the chart. From the bottom it shows the errors, the warnings and the other events.

    `y`, `height`: those of the whole bar, which stands for all events. `link`: the search for the events of the bar's period.
    """

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
    """The chart. `most`: the number of events in the highest bar. `events`: the number in all bars. `step`: a bar's period, "hour" or "day"."""

    bars: list[Bar]
    most: int
    events: int
    step: str


def chart(
    counts: Mapping[tuple[datetime, str], int], start: datetime, end: datetime, *, link: Callable[[datetime, datetime], str], zone: tzinfo
) -> Chart:
    """Return the chart of the events from `start` to `end`. A bar stands for an hour or, in a chart of more than MOST_HOURS, for a day in `zone`.

    `counts`: number of events by hour (UTC) and level. `link`: returns the link of a bar from its start and end.
    """
    edges = _edges(start, end, zone)
    sums = [dict.fromkeys(("all", "warning", "error"), 0) for _ in edges[:-1]]
    index = 0
    for (hour, level), events in sorted(counts.items()):
        while index < len(sums) - 1 and hour >= edges[index + 1]:
            index += 1
        sums[index]["all"] += events
        if level in ERROR_LEVELS:
            sums[index]["error"] += events
        elif level == "warning":
            sums[index]["warning"] += events
    most = max((totals["all"] for totals in sums), default=0)
    width = WIDTH / max(1, len(sums))
    bars = []
    for index, totals in enumerate(sums):
        heights = {name: HEIGHT * value / most if most else 0.0 for name, value in totals.items()}
        local_start = edges[index].astimezone(zone)
        bars.append(
            Bar(
                x=index * width,
                width=max(1.0, width - 1),
                y=HEIGHT - heights["all"],
                height=heights["all"],
                warning_y=HEIGHT - heights["error"] - heights["warning"],
                warning_height=heights["warning"],
                error_y=HEIGHT - heights["error"],
                error_height=heights["error"],
                title=f"{local_start:%Y-%m-%d %H:%M}: {totals['all']} events, {totals['warning']} warnings, {totals['error']} errors",
                link=link(edges[index], edges[index + 1]),
            )
        )
    return Chart(bars=bars, most=most, events=sum(totals["all"] for totals in sums), step="day" if _is_by_day(start, end) else "hour")


def chart_span(start: datetime, end: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the start of the first bar and the end of the last one. Both bars are whole even if the period begins or ends inside them."""
    edges = _edges(start, end, zone)
    return edges[0], edges[-1]


def _is_by_day(start: datetime, end: datetime) -> bool:
    return end - start > timedelta(hours=MOST_HOURS)


def _edges(start: datetime, end: datetime, zone: tzinfo) -> list[datetime]:
    """Return the start of each bar and the end of the last one, in UTC. A local day may have 23 or 25 hours."""
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
