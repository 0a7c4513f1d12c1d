"""The table of `dora_report`: one line a period, or one line a metric where the terminal is too narrow for that."""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dora_metrics.calculators.direction import Direction, direction
from dora_metrics.calculators.periods import RANGE, Period
from dora_metrics.calculators.quality_flags import MEANING, NOT_COLLECTED
from dora_metrics.display import UNKNOWN, duration_text, share_text
from dora_metrics.period_input import period_name

MOST_PERIODS_NAMED = 6  # in the note on a flag
BETWEEN = "  "
INDENT = "  "
BETTER, WORSE = "+", "!"
Signs = Mapping[bool | None, str]
ARROWS: Signs = {True: "↑", False: "↓", None: "="}
PLAIN_SIGNS: Signs = {True: "^", False: "v", None: "="}  # where the output cannot show arrows


@dataclass(frozen=True, slots=True)
class Column:
    """How one metric is shown. `head`: its column's head. `key`: which of its numbers is the value. `text`: writes its numbers."""

    metric: str
    head: Any
    key: str
    text: Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One value. `value`: the number as text, after "~" if the value has a flag. `moved`: against the period before."""

    value: str
    tier: str
    moved: Direction | None


def _frequency(found: Mapping[str, Any]) -> str:
    return _("%(number)s/day (%(count)s)") % {"number": number_format(round(found["value"], 2), 2), "count": found["deployments"]}


def _median(found: Mapping[str, Any]) -> str:
    return f"{duration_text(found['p50'])} ({found['n']})"


def _recovery(found: Mapping[str, Any]) -> str:
    if not found["n_open"]:
        return _median(found)
    return _("%(duration)s (%(count)s, %(open)s open)") % {"duration": duration_text(found["p50"]), "count": found["n"], "open": found["n_open"]}


def _part(found: Mapping[str, Any], name: str) -> str:
    part = _("%(part)s of %(all)s") % {"part": found[name], "all": found["deployments"]}
    return f"{share_text(found['value'])} ({part})"


COLUMNS = (
    Column("deployment_frequency", gettext_lazy("deploys"), "value", _frequency),
    Column("change_lead_time", gettext_lazy("lead time (changes)"), "p50", _median),
    Column("change_fail_rate", gettext_lazy("fail rate (attempts)"), "value", lambda found: _part(found, "failed")),
    Column("failed_deployment_recovery_time", gettext_lazy("recovery (failures)"), "p50", _recovery),
    Column("deployment_rework_rate", gettext_lazy("rework (deploys)"), "value", lambda found: _part(found, "unplanned")),
)


def from_first_collected(periods: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the periods from the first one on of which anything was collected; none if nothing was."""
    for number, period in enumerate(periods):
        if any(NOT_COLLECTED not in flags for flags in period["metric_flags"].values()):
            return periods[number:]
    return []


def table_lines(
    periods: Sequence[dict[str, Any]], *, by: str, before: dict[str, Any] | None, width: int, has_arrows: bool = True
) -> tuple[list[str], list[str]]:
    """Return the lines of the table, and those of its notes, at most `width` characters wide where words allow it.

    `periods`: of a report, in order. `before`: the period before the first of them, if there is one. `has_arrows`: False if the output
    can show ASCII only.
    """
    signs = ARROWS if has_arrows else PLAIN_SIGNS
    labels = [_label(period, by) for period in periods]
    rows = [[_cell(column, period, earlier) for column in COLUMNS] for period, earlier in zip(periods, [before, *periods], strict=False)]
    lines = _wide(labels, rows, by=by, signs=signs, has_words=True)
    has_words = max(map(len, lines)) <= width
    if not has_words:
        lines = _wide(labels, rows, by=by, signs=signs, has_words=False)
    if is_narrow := max(map(len, lines)) > width:
        lines = _narrow(labels, rows, signs=signs)
    return lines, _notes(periods, labels, rows, signs=signs, has_words=has_words or is_narrow, width=width)


def _label(period: dict[str, Any], by: str) -> str:
    start, end = date.fromisoformat(period["start"]), date.fromisoformat(period["end"])
    name = period_name(Period(start, end, RANGE)) if by == RANGE else period["start"]
    return name + ("*" if period["partial"] else "")


def _cell(column: Column, period: dict[str, Any], before: dict[str, Any] | None) -> Cell:
    found = period[column.metric]
    value = found[column.key]
    moved = direction(column.metric, before=before[column.metric][column.key], after=value) if before else None
    if value is None:
        return Cell(UNKNOWN, "", None)
    return Cell(("~" if period["metric_flags"][column.metric] else "") + column.text(found), found.get("tier") or "", moved)


def _wide(labels: Sequence[str], rows: Sequence[Sequence[Cell]], *, by: str, signs: Signs, has_words: bool) -> list[str]:
    columns = [[by, *labels]]
    for number, column in enumerate(COLUMNS):
        cells = [row[number] for row in rows]
        parts = [[cell.value for cell in cells], [cell.tier for cell in cells], [_moved(cell.moved, signs, has_words=has_words) for cell in cells]]
        columns.append([str(column.head), *_joined(parts, between=" ")])
    return [INDENT + line for line in _joined(columns, between=BETWEEN)]


def _joined(columns: Iterable[Sequence[str]], *, between: str) -> list[str]:
    """Return the lines of the columns, aligned. A column without any text is left out."""
    widths = [(column, max(map(len, column))) for column in columns]
    padded = [[text.ljust(width) for text in column] for column, width in widths if width]
    return [between.join(line).rstrip() for line in zip(*padded, strict=True)]


def _narrow(labels: Sequence[str], rows: Sequence[Sequence[Cell]], *, signs: Signs) -> list[str]:
    heads = [str(column.head) for column in COLUMNS]
    values = [[cell.value for row in rows for cell in row], [cell.tier for row in rows for cell in row]]
    words = [_moved(cell.moved, signs, has_words=True) for row in rows for cell in row]
    lines = iter(_joined([heads * len(rows), *values, words], between=BETWEEN))
    return [line for label in labels for line in (f"{INDENT}{label}", *(f"{INDENT * 2}{next(lines)}" for _head in heads))]


def _moved(moved: Direction | None, signs: Signs, *, has_words: bool) -> str:
    if moved is None:
        return ""
    if has_words:
        return f"{signs[moved.is_higher]} { ({True: _('better'), False: _('worse'), None: _('same')}[moved.is_better]) }"
    return signs[moved.is_higher] + {True: BETTER, False: WORSE, None: ""}[moved.is_better]


# --- notes ------------------------------------------------------------------------------------------------------------


def _notes(
    periods: Sequence[dict[str, Any]], labels: Sequence[str], rows: Sequence[Sequence[Cell]], *, signs: Signs, has_words: bool, width: int
) -> list[str]:
    legend = [_("- unknown")]
    if any(period["partial"] for period in periods):
        legend.insert(0, _("* partial period"))
    if any(cell.value.startswith("~") for row in rows for cell in row):
        legend.append(_("~ see the notes"))
    if any(cell.moved for row in rows for cell in row):
        signs_of = {"up": signs[True], "down": signs[False], "same": signs[None]}
        legend.append(_("%(up)s %(down)s higher or lower than the period before (%(same)s within 5%%)") % signs_of)
        if not has_words:
            legend.append(_("%(better)s better  %(worse)s worse") % {"better": BETTER, "worse": WORSE})
    legend.append(_("times are medians (docs/metrics.md)"))
    whole = BETWEEN.join(item.replace(" ", "\N{NO-BREAK SPACE}") for item in legend)  # lines end between items only
    lines = [line.replace("\N{NO-BREAK SPACE}", " ") for line in _wrapped(whole, width, indent=INDENT)]
    for flag in sorted({flag for period in periods for flag in period["quality_flags"]}):
        lines += _wrapped(f"{flag}: {_(MEANING[flag])}", width, indent=INDENT)
        for column in COLUMNS:
            flagged = [label for label, period in zip(labels, periods, strict=True) if flag in period["metric_flags"][column.metric]]
            if flagged:
                lines += _wrapped(f"{column.head}: {_named(flagged, of=len(labels))}", width, indent=INDENT * 2)
    return lines


def _named(labels: Sequence[str], *, of: int) -> str:
    names = [label.rstrip("*") for label in labels]
    if len(names) == of > 1:
        return _("in every period")
    more = len(names) - MOST_PERIODS_NAMED
    if more <= 0:
        return ", ".join(names)
    latest = {"names": ", ".join(names[-MOST_PERIODS_NAMED:]), "more": more}
    return ngettext("%(names)s and %(more)s earlier period", "%(names)s and %(more)s earlier periods", more) % latest


def _wrapped(text: str, width: int, *, indent: str) -> list[str]:
    return textwrap.wrap(text, max(width, 40), initial_indent=indent, subsequent_indent=indent + INDENT, break_long_words=False)
