"""The grid of nights and sources, as the page shows it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from django.conf import settings
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dashboard.templatetags.display import STATUSES
from etl_tasks import night_schedule
from etl_tasks.models import Source
from etl_tasks.selectors.nights import NIGHTS_SHOWN, NONE, Cell, Night, nights_until

NO_RUN = ("", "·", gettext_lazy("no run"))
LEGEND = ("success", "partial", "postponed", "running", "failed", "cancelled", "missing")


@dataclass(frozen=True)
class CellView:
    """A cell. `kind`: its class of badge. `url`: of the run, if there is one. `label`: the sentence for those who do not see the grid."""

    kind: str
    sign: str
    word: str
    url: str
    label: str


def due_nights(moment: datetime, *, count: int = NIGHTS_SHOWN) -> list[Night]:
    """Return the last nights, the latest first. If the schedule cannot be used, the days are nights without a due time."""
    oldest = moment - timedelta(days=count + 7)
    try:
        dues = list(takewhile(lambda due: due > oldest, night_schedule.nights_due_before(moment, night_schedule.nightly_entries())))
    except night_schedule.UnusableSchedule:  # the page names the problem under "Needs a person"
        dues = []
    return nights_until(moment, dues, settings.ETL_TIME_ZONE, count=count)


def grid_rows(grid: Iterable[tuple[Source, Sequence[Cell]]], nights: Sequence[Night]) -> list[tuple[Source, list[CellView]]]:
    """Return each source with its cells as the page shows them. What many cells share is translated and formatted once."""
    days = [date_format(night.day, _("j M")) for night in nights]
    looks = {state: (kind, sign, str(word)) for state, (kind, sign, word) in {**STATUSES, NONE: NO_RUN}.items()}
    label, runs_url = _("%(source)s, %(day)s: %(state)s"), reverse("dashboard:runs")

    def view(source: Source, day: str, cell: Cell) -> CellView:
        kind, sign, word = looks.get(cell.state, looks[NONE])
        text = label % {"source": source.name, "day": day, "state": word}
        if cell.run_count > 1:
            text += " " + ngettext("(the latest of %(count)d run)", "(the latest of %(count)d runs)", cell.run_count) % {"count": cell.run_count}
        return CellView(kind, sign, word, f"{runs_url}{cell.run_id}/" if cell.run_id else "", text)  # the address of the page of a run

    return [(source, [view(source, day, cell) for day, cell in zip(days, cells, strict=True)]) for source, cells in grid]


def legend() -> list[tuple[str, str, str]]:
    """Return the class, sign and word of each state."""
    return [(kind, sign, str(word)) for kind, sign, word in (STATUSES[state] for state in LEGEND)]
