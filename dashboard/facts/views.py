"""The pages about one value and one fact: why a number is what it is, and where each fact behind it comes from."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from dashboard.access import page
from dashboard.facts.links import FactLinks
from dashboard.facts.periods import next_period, previous_period
from dashboard.facts.timeline import timeline
from dora_metrics import explain, selectors
from dora_metrics.calculators.movement import COUNTED_IN_NUMERATOR, QuotientMovement
from dora_metrics.calculators.periods import Period, local_date
from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.derivation.stored_facts import counted_repositories
from dora_metrics.models import Service
from dora_metrics.period_input import parse_period
from etl_tasks import staged_answers

MEMBERS_PER_PAGE = 50
LONGEST_COMPARED_DAYS = 100  # a longer period is compared only on request, because that takes twice the time
MOST_MOVERS = 20  # facts that made a difference
MOST_CHANGES = 200  # of one deployment
RAW_HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


@page("dora_metrics.view_service")
def value(request: HttpRequest, name: str, metric: str, period: str) -> HttpResponse:
    """Return one value with its arithmetic, the facts behind it, and what made the difference to another period.

    Parameters: `environment`; `against`, the period with which it is compared, by default the one before; `only`, "counted" for the
    members in the numerator of a share, or one of its reasons; `page`.
    """
    service = _service(name)
    chosen = _period(period)
    environment = _environment(request)
    given = request.GET.get("against", "")
    try:
        against = parse_period(given) if given else previous_period(chosen)
        is_compared = bool(given) or chosen.days <= LONGEST_COMPARED_DAYS
    except ValueError as exc:
        return render(request, "400.html", {"problem": str(exc)}, status=400)
    moment, repositories = now(), counted_repositories(service)
    periods = [chosen, against] if against and is_compared else [chosen]
    with_changes = periods if metric == "change_lead_time" else [chosen]
    linked = explain.links_of(service, periods, environment=environment, moment=moment, repositories=repositories, with_changes=with_changes)
    _check_environment(service, environment, has_deployments=bool(linked.attempts))
    found = explain.explained_values(linked, chosen, moment=moment, with_members=[metric])
    comparison = None
    if against and is_compared:
        before = explain.explained_values(linked, against, moment=moment, only=[metric])[metric]
        comparison = explain.compared(service, linked, before=before, after=found[metric])
    following = next_period(chosen)
    context = {
        "service": service,
        "metric": metric,
        "period": chosen,
        "environment": environment,
        "found": found[metric],
        "others": list(found.values()),
        "linked": linked,
        "fact_links": FactLinks(service.name, _ids(repositories), environment),
        "previous": previous_period(chosen),
        "following": following if following and following.start <= local_date(moment, linked.settings.time_zone) else None,
        "against": against,
        "is_compared": is_compared,
        "given_against": given,
        "comparison": comparison,
        "is_quotient": comparison is not None and isinstance(comparison.movement, QuotientMovement),
        "most_movers": MOST_MOVERS,
        **_members(request, found[metric], metric),
    }
    return render(request, "dashboard/facts/value.html", context)


def _members(request: HttpRequest, found: explain.ExplainedValue, metric: str) -> dict[str, Any]:
    """Return the page of the members that the user wants to see, newest first, and the numbers of members to choose from."""
    only, counted = request.GET.get("only", ""), COUNTED_IN_NUMERATOR.get(metric, "")
    members = sorted(found.members, key=lambda member: member.at, reverse=True)
    choices = [("", _("All"), len(members))]
    if metric in ("change_fail_rate", "deployment_rework_rate"):
        count = sum(bool(member.counts.get(counted)) for member in members)
        choices.append((counted, pgettext("deployments", "Failed") if counted == "failed" else _("Unplanned"), count))
        choices += [(rule, rule, sum(rule in member.reasons for member in members)) for rule in sorted({r for m in members for r in m.reasons})]
    if only and only in [choice for choice, _label, _count in choices]:
        members = [member for member in members if (member.counts.get(counted) if only == counted else only in member.reasons)]
    rows = Paginator(members, MEMBERS_PER_PAGE).get_page(request.GET.get("page"))
    return {"rows": rows, "only": only, "choices": choices, "has_repositories": len({member.repository for member in found.members}) > 1}


@page("dora_metrics.view_service")
def deployment(request: HttpRequest, name: str, key: str) -> HttpResponse:
    """Return one deployment: whether it failed and by which rule, what it carried and fixed, and what recovered it."""
    service = _service(name)
    environment = _environment(request)
    found = selectors.deployment_facts(service, key, environment=environment)
    if found is None:
        raise Http404(
            _("%(service)s has no deployment %(key)s. It may have been merged into a retry, or it no longer counts.") % _named(service, key)
        )
    context = {
        "service": service,
        "environment": environment,
        "found": found,
        "attempt": found.outcome.attempt,
        "fact_links": FactLinks(service.name, found.repositories, environment),
        "changes": found.changes[:MOST_CHANGES],
        "most_changes": MOST_CHANGES,
        "has_status_logs": any(status.get("log_url") for row in found.facts for status in getattr(row, "statuses", ())),
    }
    return render(request, "dashboard/facts/deployment.html", context)


@page("dora_metrics.view_service")
def change(request: HttpRequest, name: str, repository: int, number: int) -> HttpResponse:
    """Return one change: its timeline from the first commit to production, its deployment, and what reverts or mends it."""
    service = _service(name)
    environment = _environment(request)
    found = selectors.change_facts(service, repository, number, environment=environment)
    if found is None:
        raise Http404(_("%(service)s has no pull request %(key)s in this repository.") % _named(service, str(number)))
    context = {
        "service": service,
        "environment": environment,
        "found": found,
        "change": found.change,
        "fact_links": FactLinks(service.name, found.repositories, environment),
        "timeline": timeline(found.milestones, found.lead_time),
    }
    return render(request, "dashboard/facts/change.html", context)


@page("dora_metrics.view_service")
def incident(request: HttpRequest, name: str, key: str) -> HttpResponse:
    """Return one incident: its start and end, its deployment and the rule that linked them, and its log lines."""
    service = _service(name)
    environment = _environment(request)
    found = selectors.incident_facts(service, key, environment=environment)
    if found is None:
        raise Http404(_("%(service)s has no incident %(key)s. Its label or the settings may have changed.") % _named(service, key))
    context = {
        "service": service,
        "environment": environment,
        "found": found,
        "incident": found.linked.incident,
        "link": found.linked.link,
        "fact_links": FactLinks(service.name, found.repositories, environment),
    }
    return render(request, "dashboard/facts/incident.html", context)


@page("dora_metrics.view_service")
def staged_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the answer of a source as it was stored. `form=indented` shows JSON with indentation; `form=raw` shows it as it came."""
    found = _staged_page(request, pk)
    wants_indented = request.GET.get("form", "indented") == "indented"
    answer = staged_answers.shown_answer(found, wants_indented=wants_indented)
    context = {"staged": found, "run": found.run, "answer": answer, "has_log_lines": staged_answers.has_log_lines(found)}
    return render(request, "dashboard/facts/staged_page.html", context)


@page("dora_metrics.view_service")
def staged_page_raw(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Return the answer exactly as it was stored, as a file. Browsers must not interpret it."""
    found = _staged_page(request, pk)
    name = f'attachment; filename="staged-page-{found.pk}.txt"'
    headers = {**RAW_HEADERS, "Content-Disposition": name}
    return StreamingHttpResponse(staged_answers.pieces(found), content_type="text/plain; charset=utf-8", headers=headers)


def _staged_page(request: HttpRequest, pk: int) -> Any:
    """Return the staged page. Log lines contain personal data, so pages with log lines require the permission to view log events."""
    found = staged_answers.staged_page(pk)
    if found is None:
        raise Http404(_("Staged page %(number)s is not stored. Staged pages are deleted some time after their run; the facts stay.") % {"number": pk})
    if staged_answers.has_log_lines(found) and not request.user.has_perm("log_store.view_logeventrow"):
        raise PermissionDenied
    return found


def _service(name: str) -> Service:
    try:
        return selectors.services(name)[0]
    except selectors.UnknownService as exc:
        raise Http404(str(exc)) from exc


def _period(text: str) -> Period:
    try:
        return parse_period(text)
    except ValueError as exc:
        raise Http404(str(exc)) from exc


def _environment(request: HttpRequest) -> str:
    return request.GET.get("environment") or PRODUCTION


def _check_environment(service: Service, environment: str, *, has_deployments: bool) -> None:
    """Answer 404 if the service was never deployed to the environment, whose values would be zeros that look like an answer."""
    if has_deployments:
        return
    try:
        selectors.check_environment(service, environment)
    except selectors.UnknownEnvironment as exc:
        raise Http404(str(exc)) from exc


def _ids(repositories: Mapping[str, Any]) -> dict[str, int]:
    return {name: repository.pk for name, repository in repositories.items()}


def _named(service: Service, key: str) -> dict[str, str]:
    return {"service": service.name, "key": key}
