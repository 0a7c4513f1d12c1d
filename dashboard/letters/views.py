"""Dead letters as a work list: the causes, the letters of a cause, and one letter. operations/actions.py replays and discards them."""

from typing import Any
from urllib.parse import unquote, urlsplit

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from dashboard.access import page
from dashboard.letters.record_text import record_lines
from etl_tasks.dead_letters import alike
from etl_tasks.models import DeadLetter, Source
from etl_tasks.replay import reason_against
from etl_tasks.selectors.letters import MOST_GROUPS, letter_groups

LETTERS_PER_PAGE = 100
ALL = "all"


@page("etl_tasks.view_deadletter")
def letters(request: HttpRequest) -> HttpResponse:
    """Return one line for each cause, with the number and age of its letters; by default those of open letters."""
    state, source = _state(request), request.GET.get("source", "")
    groups = letter_groups("" if state == ALL else state, source=source)
    context = {
        "groups": groups,
        "total": sum(group.count for group in groups),
        "has_more": len(groups) == MOST_GROUPS,
        "state": state,
        "source": source,
        "sources": Source.objects.order_by("name").values_list("name", flat=True),
        "states": _states(),
    }
    return render(request, "dashboard/letters/letters.html", context)


@page("etl_tasks.view_deadletter")
def group(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the letters that have the cause of the letter `pk`, the oldest first."""
    like = _letter(pk)
    state = _state(request)
    after = request.GET.get("after", "")
    found = alike(like, state="" if state == ALL else state).order_by("pk").defer("data").select_related("run")
    rows = list(found.filter(pk__gt=int(after) if after.isdecimal() else 0)[: LETTERS_PER_PAGE + 1])
    context = {
        "like": like,
        "letters": rows[:LETTERS_PER_PAGE],
        "count": found.count(),
        "next": rows[LETTERS_PER_PAGE - 1].pk if len(rows) > LETTERS_PER_PAGE else None,
        "state": state,
        "states": _states(),
    }
    return render(request, "dashboard/letters/group.html", context)


@page("etl_tasks.view_deadletter")
def letter(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the letter: the record with the failed field marked, where it came from, and what a replay would do."""
    found = _letter(pk)
    is_open = found.state == DeadLetter.State.OPEN
    may_see_data = found.source.kind != Source.Kind.LOGS or request.user.has_perm("log_store.view_logeventrow")
    context: dict[str, Any] = {
        "letter": found,
        "is_open": is_open,
        "lines": record_lines(found.data, found.error) if may_see_data else [],
        "may_see_data": may_see_data,
        "origin": _origin(found),
        "like_count": alike(found).count() if is_open else 0,
        "reason_against": reason_against(found) if is_open else "",
    }
    return render(request, "dashboard/letters/letter.html", context)


def _letter(pk: int) -> DeadLetter:
    found = DeadLetter.objects.select_related("source__service", "run", "page").filter(pk=pk).first()
    if found is None:
        raise Http404(_("There is no dead letter %(number)s.") % {"number": pk})
    return found


def _state(request: HttpRequest) -> str:
    state = request.GET.get("state", "")
    return state if state in (*DeadLetter.State.values, ALL) else DeadLetter.State.OPEN


def _states() -> list[tuple[str, str]]:
    return [
        (DeadLetter.State.OPEN, _("open")),
        (DeadLetter.State.REPLAYED, _("replayed")),
        (DeadLetter.State.DISCARDED, _("discarded")),
        (ALL, _("all")),
    ]


def _origin(found: DeadLetter) -> dict[str, Any]:
    """Return where the record came from: a web address, or a file with the byte at which the record begins."""
    if found.page is None:
        return {"path": found.data} if found.kind == DeadLetter.Kind.PAGE else {}
    address = urlsplit(found.page.url)
    if address.scheme != "file":
        return {"url": found.page.url}
    start, within = int(address.fragment or 0), -1
    if found.kind == DeadLetter.Kind.RECORD:
        within = found.page.content.find(found.data.encode())
    return {"path": unquote(address.path), "byte": start + max(within, 0), "is_exact": within >= 0}
