"""Last night in one line: how many sources were collected, and for those that were not, why, and what to press."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.templatetags.display import instant, number
from etl_tasks.night_report import LastNight, Outcome

MOST_NAMED = 3
LONGEST_REASON = 160


@dataclass(frozen=True)
class Problem:
    """Sources that were not collected. `replay_url`, `run_url`: where a button posts to that repairs it; empty if there is none."""

    sentence: str
    url: str = ""
    replay_url: str = ""
    run_url: str = ""


@dataclass(frozen=True)
class Line:
    """`kind`: the class of the banner. `headline`: how many sources were collected. `problems`: what a person may do something about."""

    kind: str
    headline: SafeString
    problems: Sequence[Problem]


def line_of(night: LastNight, user: User | AnonymousUser) -> Line | None:
    """Return the line that the user may see; None if there are no sources yet. Errors are for those who may see runs."""
    if not night.outcomes:
        return None
    by_state: dict[str, list[Outcome]] = {}
    for outcome in night.outcomes:
        by_state.setdefault(outcome.state, []).append(outcome)
    may_see = user.has_perm("etl_tasks.view_etlrun")
    problems = [_problem(state, by_state[state], user, may_see=may_see) for state in _SENTENCES if state in by_state]
    bad = {"failed", "missing"} & by_state.keys()
    kind = "bad" if bad else "warn" if "postponed" in by_state else "info" if problems else "ok"
    return Line(kind, _headline(night, by_state), problems)


def _headline(night: LastNight, by_state: dict[str, list[Outcome]]) -> SafeString:
    done, every = by_state.get("succeeded", []), len(night.outcomes)
    counts = {"done": number(len(done)), "all": number(every)}
    if night.is_night:
        sentence = ngettext("Last night: %(done)s of %(all)s source collected", "Last night: %(done)s of %(all)s sources collected", every) % counts
    else:
        hours = number(settings.ETL_OVERDUE_HOURS)
        text = ngettext(
            "The last %(hours)s hours: %(done)s of %(all)s source collected", "The last %(hours)s hours: %(done)s of %(all)s sources collected", every
        )
        sentence = text % {**counts, "hours": hours}
    ended = max((outcome.completed_at for outcome in done if outcome.completed_at), default=None)
    return format_html("{}, {}.", sentence, instant(ended)) if ended else format_html("{}.", sentence)


# In the order in which they are shown.
_SENTENCES = ("failed", "missing", "postponed", "under way", "waiting")


def _problem(state: str, outcomes: Sequence[Outcome], user: User | AnonymousUser, *, may_see: bool) -> Problem:
    sentence = _sentence(state, outcomes, may_see=may_see)
    run, source = outcomes[0].run, outcomes[0].source
    if len(outcomes) > 1 or not may_see:
        return Problem(sentence, reverse("dashboard:operations") if may_see else "")
    url = reverse("dashboard:run", args=[run.pk]) if run else reverse("dashboard:source", args=[source.pk])
    can_replay = state == "failed" and run is not None and run.status == run.Status.FAILED and user.has_perm("etl_tasks.replay_deadletter")
    can_run = state in ("failed", "missing") and not can_replay and user.has_perm("etl_tasks.start_etlrun")
    return Problem(
        sentence,
        url,
        replay_url=reverse("dashboard:replay_run", args=[run.pk]) if can_replay and run else "",
        run_url=reverse("dashboard:run_source", args=[source.pk]) if can_run else "",
    )


def _sentence(state: str, outcomes: Sequence[Outcome], *, may_see: bool) -> str:
    count, names = len(outcomes), _names(outcomes)
    values = {"count": number(count), "names": names}
    match state:
        case "failed":
            run = outcomes[0].run
            if count == 1 and may_see and run and run.error:
                return _("1 source failed: %(name)s, %(reason)s") % {"name": names, "reason": _shortened(run.error)}
            return ngettext("%(count)s source failed: %(names)s", "%(count)s sources failed: %(names)s", count) % values
        case "missing":
            return ngettext("%(count)s source did not run: %(names)s", "%(count)s sources did not run: %(names)s", count) % values
        case "postponed":
            return ngettext("%(count)s source is postponed: %(names)s", "%(count)s sources are postponed: %(names)s", count) % values
        case "under way":
            return ngettext("%(count)s source is running: %(names)s", "%(count)s sources are running: %(names)s", count) % values
    return ngettext("%(count)s source has not begun yet: %(names)s", "%(count)s sources have not begun yet: %(names)s", count) % values


def _names(outcomes: Sequence[Outcome]) -> str:
    names = ", ".join(outcome.source.name for outcome in outcomes[:MOST_NAMED])
    more = len(outcomes) - MOST_NAMED
    return (
        names if more <= 0 else ngettext("%(names)s and %(more)s more", "%(names)s and %(more)s more", more) % {"names": names, "more": number(more)}
    )


def _shortened(reason: str) -> str:
    """Return the error in one line, cut between two words if it is long. It is stored in English."""
    text = " ".join(reason.split())
    if len(text) <= LONGEST_REASON:
        return text
    return text[:LONGEST_REASON].rpartition(" ")[0] + "…"
