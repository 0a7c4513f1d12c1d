"""The data of the charts of durations, which operations.js draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from dashboard.operations.timeline import STAGE_NAMES
from etl_tasks.models import ETLRun
from etl_tasks.selectors.nights import Night
from etl_tasks.selectors.runs import stage_seconds_of


@dataclass(frozen=True)
class Row:
    """A bar, as a row of the table below the chart. `seconds`: in each stage."""

    label: str
    link: str
    seconds: list[float]

    @property
    def total(self) -> float:
        return sum(self.seconds)


@dataclass(frozen=True)
class Chart:
    """`data`: what operations.js draws, the earliest bar first. `rows`: the same as a table, the latest first, below the heading `first`."""

    data: dict[str, Any]
    rows: list[Row]
    first: str


def of_nights(nights: Sequence[Night], seconds: Sequence[Mapping[str, float]]) -> Chart:
    """Return a bar for each night. `seconds`: as stage_seconds returns them."""
    links = [f"{reverse('dashboard:runs')}?night={night.day.isoformat()}" for night in nights]
    return _chart([date_format(night.day, _("j M")) for night in nights], links, seconds, first=_("Night"))


def of_runs(runs: Sequence[ETLRun]) -> Chart:
    """Return a bar for each run that has ended. `runs`: the latest first."""
    ended = [run for run in runs if run.completed_at]
    links = [reverse("dashboard:run", args=[run.pk]) for run in ended]
    return _chart([_("Run %(run)d") % {"run": run.pk} for run in ended], links, stage_seconds_of(ended), first=_("Run"))


def _chart(labels: list[str], links: list[str], seconds: Sequence[Mapping[str, float]], *, first: str) -> Chart:
    """Return the chart. The arguments have the latest bar first."""
    stages = ETLRun.Stage.values
    rows = [Row(label, link, [spent[stage] for stage in stages]) for label, link, spent in zip(labels, links, seconds, strict=True)]
    series = [{"name": str(STAGE_NAMES[stage]), "values": [round(row.seconds[i], 1) for row in reversed(rows)]} for i, stage in enumerate(stages)]
    data = {"labels": labels[::-1], "links": links[::-1], "series": series, "units": [_("s"), _("min"), _("h")], "total": _("Total")}
    return Chart(data, rows, first)
