"""What the operations pages share: parts that refresh themselves, and what is shown of a run in progress."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.cache import patch_vary_headers
from django.utils.timezone import now

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


def optional_url(name: str, *args: Any) -> str:
    """Return the address of a page; empty if this installation has no such page."""
    try:
        return reverse(f"dashboard:{name}", args=args)
    except NoReverseMatch:
        return ""
