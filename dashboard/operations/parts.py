"""What the operations pages share: parts that refresh themselves, and what is shown of a run in progress."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.formats import number_format
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dashboard.templatetags.display import instant_text
from etl_tasks.models import GitHubBudget, Source
from etl_tasks.selectors.runs import Progress

READ = "etl_tasks.view_etlrun"
POLL_SECONDS, QUIET_POLL_SECONDS = 3, 30  # how often a page asks for news while something runs, and otherwise


def part(request: HttpRequest, template: str, context: Mapping[str, Any]) -> HttpResponse:
    """Return only the content of the page if HTMX requests it, and the whole page otherwise."""
    is_part = "HX-Request" in request.headers
    response = render(request, template, {**context, "parent": "dashboard/part.html" if is_part else "dashboard/page.html", "is_part": is_part})
    patch_vary_headers(response, ["HX-Request"])
    return response


def budget_of(source: Source, budgets: Mapping[str, Sequence[GitHubBudget]]) -> list[tuple[GitHubBudget, int]]:
    """Return GitHub's limits for the source's credential, each with what is left of it now."""
    if source.kind != Source.Kind.GITHUB:
        return []
    return [(budget, budget.remaining_at(now())) for budget in budgets.get(source.credential, ())]


def is_late(progress: Progress) -> bool:
    """Return whether the run takes longer than earlier ones did."""
    return progress.expected_end is not None and progress.expected_end < now()


def cursor_sentence(cursor: Mapping[str, Any]) -> str:
    """Return how far a stream or file has been read, in words; empty if the cursor has neither times nor a position."""
    if "path" in cursor:
        return _("read up to byte %(offset)s") % {"offset": number_format(cursor.get("offset", 0), use_l10n=True, force_grouping=True)}
    try:
        since, until = (instant_text(datetime.fromisoformat(cursor[key])) for key in ("collected_from", "collected_until"))
    except (KeyError, TypeError, ValueError):
        return ""
    return _("collected from %(since)s to %(until)s") % {"since": since, "until": until}
