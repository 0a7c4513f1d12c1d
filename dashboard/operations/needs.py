"""What needs a person, as the operations page shows it: one row for each source, with what to press."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.templatetags.display import UNKNOWN, instant_text
from etl_tasks.models import ETLRun, Source
from etl_tasks.night_report import Need, NeedKind, NightReport

MOST_ROWS = 20
LONGEST_ERROR = 300


@dataclass
class Row:
    """What needs a person at one source, or outside of sources.

    `run`: the run to look at. `active_run`: a run of the source that is in progress. `can_replay`, `can_run`: what helps. `letters_url`: the
    address of its dead letters.
    """

    title: str
    url: str = ""
    sentences: list[str] = field(default_factory=list)
    source: Source | None = None
    run: ETLRun | None = None
    active_run: ETLRun | None = None
    can_replay: bool = False
    can_run: bool = False
    letters_url: str = ""


def rows_of(report: NightReport, user: User | AnonymousUser) -> tuple[list[Row], int]:
    """Return at most MOST_ROWS rows, and how many more there are."""
    rows: dict[Any, Row] = {}
    for index, need in enumerate(report.needs):
        key = need.source.pk if need.source else f"other {index}"
        if key not in rows:
            rows[key] = _row(need, user)
        if sentence := _sentence(need, rows[key]):
            rows[key].sentences.append(sentence)
            if need.kind == NeedKind.LETTERS and need.source:
                rows[key].letters_url = letters_url(need.source)
    for outcome in report.outcomes:
        row = rows.get(outcome.source.pk)
        if row and outcome.run and outcome.run.status in ETLRun.ACTIVE:
            row.can_run, row.active_run = False, outcome.run if row.run != outcome.run else None
    found = list(rows.values())
    return found[:MOST_ROWS], max(len(found) - MOST_ROWS, 0)


def letters_url(source: Source) -> str:
    """Return the address of the source's dead letters."""
    return f"{reverse('dashboard:letters')}?{urlencode({'source': source.name})}"


def _row(need: Need, user: User | AnonymousUser) -> Row:
    if need.source is None:
        if need.kind == NeedKind.SCHEDULE:
            url = reverse("admin:django_celery_beat_periodictask_changelist") if getattr(user, "is_staff", False) else ""
            return Row(_("The schedule of the nights"), url)
        return Row(_("Outside of runs"))
    row = Row(need.source.name, reverse("dashboard:source", args=[need.source.pk]), source=need.source, run=need.run)
    row.can_replay = need.kind == NeedKind.FAILED and need.run is not None and need.run.status == ETLRun.Status.FAILED
    row.can_run = need.kind in (NeedKind.MISSING, NeedKind.OVERDUE, NeedKind.LATE) or (need.kind == NeedKind.FAILED and not row.can_replay)
    return row


def _sentence(need: Need, row: Row) -> str:
    """Return what is wrong and what to do. Empty if the row says it already: a failed stage is itself one open letter."""
    match need.kind:
        case NeedKind.FAULT:
            return _("%(error)s. It has been failing since %(time)s.") % {"error": _shortened(need.detail), "time": _since(need)}
        case NeedKind.SCHEDULE:
            return need.detail
        case NeedKind.FAILED if need.run and need.run.status == ETLRun.Status.CANCELLED:
            return _("The run was cancelled (%(reason)s).") % {"reason": need.run.error}
        case NeedKind.FAILED if need.run:
            return _("%(stage)s failed: %(error)s") % {"stage": need.run.get_stage_display(), "error": _shortened(need.run.error)}
        case NeedKind.MISSING:
            return _("It did not run last night. Check that beat and a worker run.")
        case NeedKind.LOST:
            return _("Its run has not moved since %(time)s. Check that beat and a worker run.") % {"time": _since(need)}
        case NeedKind.LATE:
            return _("Its run of %(time)s has not begun. Check that beat and a worker run.") % {"time": _since(need)}
        case NeedKind.OVERDUE:
            hours = int(need.hours)
            text = ngettext("No run has succeeded for %(hours)d hour.", "No run has succeeded for %(hours)d hours.", hours)
            return text % {"hours": hours}
        case NeedKind.SILENT:
            host, queue = (need.source.host, need.source.extract_queue) if need.source else ("", "")
            return _("No worker reads the files of %(host)s since %(time)s. Start one there, with -Q %(queue)s.") % {
                "host": host,
                "time": _since(need),
                "queue": queue,
            }
        case NeedKind.LETTERS if row.can_replay and need.count == 1:
            return ""
        case _:
            text = ngettext("%(count)d record or page could not be processed.", "%(count)d records or pages could not be processed.", need.count)
            return text % {"count": need.count}


def _since(need: Need) -> str:
    return instant_text(need.since) if need.since else UNKNOWN


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_ERROR else text[:LONGEST_ERROR] + "…"
