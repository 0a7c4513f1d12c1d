"""A small line chart as SVG, which needs no script."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from dashboard.templatetags.display import day, metric_name, metric_value
from dora_metrics.calculators.periods import Period

WIDTH, HEIGHT, MARGIN = 84, 24, 3
Title = Callable[[Sequence[float | None]], str]  # describes values of which at least one is known


@dataclass(frozen=True, slots=True)
class Sparkline:
    """`lines`: the points of each line; a line ends where a value is unknown. `dots`: single values between unknown ones, and the last value."""

    lines: Sequence[str]
    dots: Sequence[tuple[str, str]]
    title: str


def sparkline(values: Sequence[float | None], title: Title) -> Sparkline | None:
    """Draw the values from left to right, with 0 at the bottom and the largest value at the top. None if all values are unknown."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    top = max(known)
    step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)
    points: list[tuple[str, str] | None] = [
        None if value is None else (f"{MARGIN + position * step:.1f}", f"{HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value / top if top else 0):.1f}")
        for position, value in enumerate(values)
    ]
    lines, dots = [], []
    for run in _runs(points):
        if len(run) > 1:
            lines.append(" ".join(f"{x},{y}" for x, y in run))
        else:
            dots.append(run[0])
    last = next(point for point in reversed(points) if point)
    return Sparkline(lines, dots if last in dots else [*dots, last], title(values))


def _runs(points: Sequence[tuple[str, str] | None]) -> list[list[tuple[str, str]]]:
    """Return the points that are next to each other."""
    runs: list[list[tuple[str, str]]] = []
    is_new = True
    for point in points:
        if point is None:
            is_new = True
        elif is_new:
            runs.append([point])
            is_new = False
        else:
            runs[-1].append(point)
    return runs


def titles_of(metric: str, periods: Sequence[Period]) -> Title:
    """Return the function that describes the metric's values in these periods. A page has many charts of the same metric and periods."""
    if periods[0].kind == "week":
        text = _("%(metric)s, %(count)s weeks from %(day)s: lowest %(lowest)s, highest %(highest)s, last %(last)s")
    else:
        text = _("%(metric)s, %(count)s months from %(day)s: lowest %(lowest)s, highest %(highest)s, last %(last)s")
    same = {"metric": metric_name(metric), "count": len(periods), "day": day(periods[0].start)}

    def title(values: Sequence[float | None]) -> str:
        known = [value for value in values if value is not None]
        lowest, highest = metric_value(min(known), metric), metric_value(max(known), metric)
        last = _("unknown") if values[-1] is None else metric_value(values[-1], metric)
        return text % {**same, "lowest": lowest, "highest": highest, "last": last}

    return title
