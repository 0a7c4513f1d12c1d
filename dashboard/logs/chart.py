"""The geometry of the chart of events over time. The template chart.html draws it as SVG, which has links and needs no script."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.logs.counting import Counts
from dashboard.templatetags.display import instant_text, number

ERROR_LEVELS = ("error", "critical")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# The longest period for each length of a bar. A longer period has a bar for each day.
FINE_STEPS = ((20 * MINUTE, MINUTE), (3 * HOUR, 5 * MINUTE))
STEPS = ((2 * DAY, HOUR), (8 * DAY, 3 * HOUR))
MOST_TICKS = 6
TICK_STEPS = (MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the chart. From the bottom it shows the errors, the warnings and the other events. All lengths are percentages of the chart's.

    `x`, `width`: of the bar's place. `y`, `height`: of the whole bar, which stands for all events. `link`: the search for the bar's events.
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
class Tick:
    """A time on the axis. `x`: a percentage of the chart's width."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The chart. `events`: the number in all bars. `most`: in the highest bar. `top`: the number at the top of the axis, which is even.

    `step`: what a bar stands for, such as "1 hour", in the reader's language.
    """

    bars: list[Bar]
    ticks: list[Tick]
    events: int
    most: int
    top: int
    step: str

    @property
    def middle(self) -> int:
        return self.top // 2


def chart(counts: Counts, start: datetime, end: datetime, *, link: Callable[[datetime, datetime], str], zone: tzinfo) -> Chart:
    """Return the chart of the events from `start` to `end`. `link`: returns the link of a bar from its start and end.

    A bar of a day is a local day in `zone`.
    """
    step = _step(counts, start, end)
    edges = _edges(start, end, step, zone)
    sums = [dict.fromkeys(("all", "warning", "error"), 0) for _edge in edges[:-1]]
    index = 0
    for (time, level), events in sorted(counts.by_time.items()):
        while index < len(sums) - 1 and time >= edges[index + 1]:
            index += 1
        sums[index]["all"] += events
        if level in ERROR_LEVELS:
            sums[index]["error"] += events
        elif level == "warning":
            sums[index]["warning"] += events
    most = max(totals["all"] for totals in sums)
    top, width, bars = _top(most), 100 / len(sums), []
    for index, totals in enumerate(sums):
        heights = {name: 100 * value / top for name, value in totals.items()}
        first, last = edges[index], edges[index + 1]
        if not counts.has_whole_hours:
            first, last = max(first, start.astimezone(UTC)), min(last, end.astimezone(UTC))
        bars.append(
            Bar(
                x=index * width,
                width=width,
                y=100 - heights["all"],
                height=heights["all"],
                warning_y=100 - heights["error"] - heights["warning"],
                warning_height=heights["warning"],
                error_y=100 - heights["error"],
                error_height=heights["error"],
                title=_title(edges[index], totals),
                link=link(first, last) if totals["all"] else "",
            )
        )
    return Chart(bars, _ticks(edges, step, zone), sum(totals["all"] for totals in sums), most, top, _step_name(step))


def _title(time: datetime, totals: dict[str, int]) -> str:
    parts = (
        ngettext("%(number)s event", "%(number)s events", totals["all"]) % {"number": number(totals["all"])},
        ngettext("%(number)s warning", "%(number)s warnings", totals["warning"]) % {"number": number(totals["warning"])},
        ngettext("%(number)s error", "%(number)s errors", totals["error"]) % {"number": number(totals["error"])},
    )
    return f"{instant_text(time)}: {', '.join(parts)}"


def _top(most: int) -> int:
    """Return the smallest of 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200 and so on that is not below `most`."""
    unit = 1
    while True:
        for factor in (2, 4, 6, 8, 10):
            if factor * unit >= most:
                return factor * unit
        unit *= 10


def _step(counts: Counts, start: datetime, end: datetime) -> timedelta:
    steps = (*FINE_STEPS, *STEPS) if counts.by_minute else STEPS
    return next((step for longest, step in steps if end - start <= longest), DAY)


def _step_name(step: timedelta) -> str:
    names = {MINUTE: _("1 minute"), 5 * MINUTE: _("5 minutes"), HOUR: _("1 hour"), 3 * HOUR: _("3 hours"), DAY: _("1 day")}
    return names[step]


def _edges(start: datetime, end: datetime, step: timedelta, zone: tzinfo) -> list[datetime]:
    """Return the start of each bar and the end of the last one, in UTC. A local day may have 23 or 25 hours."""
    if step == DAY:
        day = start.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        edges: list[datetime] = []
        while not edges or edges[-1] < end:
            edges.append(day.replace(tzinfo=zone).astimezone(UTC))
            day += DAY
        return edges
    first = start.astimezone(UTC).replace(second=0, microsecond=0)
    # Begin where the local clock shows a multiple of the step, so that the bars fit the times on the axis.
    if step < HOUR:
        first -= timedelta(minutes=first.minute % (step // MINUTE))
    else:
        first = first.replace(minute=0)
        first -= timedelta(hours=first.astimezone(zone).hour % (step // HOUR))
    return [first + count * step for count in range(-((first - end) // step) + 1)]


def _ticks(edges: list[datetime], step: timedelta, zone: tzinfo) -> list[Tick]:
    """Return the times at which the axis is labelled: local times that are multiples of one length. At midnight the label is the date."""
    between = next((length for length in TICK_STEPS if (edges[-1] - edges[0]) / length <= MOST_TICKS), TICK_STEPS[-1])
    found, days, last_day = [], 0, None
    for index, edge in enumerate(edges[:-1]):
        local = edge.astimezone(zone)
        # In a zone that differs from UTC by half an hour, a bar of an hour begins at half past.
        minutes = local.hour * 60 + (local.minute if step < HOUR else 0)
        is_new_day = local.date() != last_day and (index > 0 or minutes == 0)
        x = 100 * index / (len(edges) - 1)
        if between < DAY and minutes % (between // MINUTE) == 0:
            found.append(Tick(x, date_format(local, "H:i") if minutes else _day(local)))
        elif between >= DAY and is_new_day and days % (between // DAY) == 0:
            found.append(Tick(x, _day(local)))
        days += is_new_day
        last_day = local.date()
    return found


def _day(local: datetime) -> str:
    return date_format(local, _("j M"), use_l10n=True)
