"""How the pages about facts show rules, links and differences. The variable `fact_links` of their templates is a `FactLinks`."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django import template
from django.urls import reverse
from django.utils.dates import WEEKDAYS
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dashboard.facts import links, periods
from dashboard.templatetags.display import UNKNOWN, duration, flag_name, instant, metric_value, number
from dora_metrics.calculators import rule_descriptions
from dora_metrics.calculators.failures import Cause
from dora_metrics.calculators.inputs import Origin
from dora_metrics.calculators.metric_interface import Member
from dora_metrics.calculators.periods import Period, period_of_date
from dora_metrics.calculators.quality_flags import MEANING
from dora_metrics.explain import ExplainedValue
from dora_metrics.models import Change, MetricRevision
from dora_metrics.period_input import period_name
from dora_metrics.terminal_escaping import printable

register = template.Library()

REASONS = {
    "state": gettext_lazy("the attempt itself failed"),
    "incident": gettext_lazy("incident"),
    "revert": gettext_lazy("revert"),
    "hotfix": gettext_lazy("hotfix"),
    "rollback": gettext_lazy("rollback"),
    "fix": gettext_lazy("fix of an incident"),
}
STAGES = {
    "coding": gettext_lazy("Coding"),
    "draft": gettext_lazy("Draft"),
    "pickup": gettext_lazy("Pickup"),
    "review": gettext_lazy("Review"),
    "deploy": gettext_lazy("Deploy"),
}
RUN_STAGES = {"extract": gettext_lazy("extract"), "transform": gettext_lazy("transform"), "load": gettext_lazy("load")}
MILESTONES = {
    "first_commit": gettext_lazy("First commit"),
    "created": gettext_lazy("Pull request opened"),
    "ready": gettext_lazy("Ready for review"),
    "first_review": gettext_lazy("First review"),
    "merged": gettext_lazy("Merged"),
    "deployed": gettext_lazy("Deployed"),
}
LINK_RULES = {
    "explicit": gettext_lazy("Its text names the cause, which leads to this deployment."),
    "revert": gettext_lazy("A revert closes the incident, and this deployment first carried what was reverted."),
    "time": gettext_lazy("It names no cause, and this is the latest successful deployment before it began."),
}
MATCH_RULES = {
    "sha": gettext_lazy("it has the very commit that was deployed"),
    "range": gettext_lazy("it is in the history of the commit that was deployed"),
    "time_matched": gettext_lazy("it was merged before the deployment, which names no commit"),
}
STATED_CAUSES = {
    "deployments": gettext_lazy("Names a deployment"),
    "root_causes": gettext_lazy("Names a commit"),
    "caused_by": gettext_lazy("Names a pull request"),
}
# The states of a deployment that GitHub reports.
DEPLOYMENT_STATES = {
    "queued": gettext_lazy("queued"),
    "pending": gettext_lazy("pending"),
    "waiting": gettext_lazy("waiting"),
    "in_progress": gettext_lazy("in progress"),
    "success": gettext_lazy("success"),
    "failure": gettext_lazy("failure"),
    "error": gettext_lazy("error"),
    "inactive": gettext_lazy("inactive: a later deployment replaced it"),
}
SOURCES = {
    "github": gettext_lazy("GitHub deployments"),
    "logs": gettext_lazy("log lines"),
    "releases": gettext_lazy("releases"),
    "workflows": gettext_lazy("workflow runs"),
    "pulls": gettext_lazy("merged pull requests"),
}
HIGHER_IS_BETTER = {"deployment_frequency"}


@register.simple_tag(takes_context=True)
def sentence(context: template.Context, text: str) -> SafeString:
    """Return a rule in words. Each fact in it is a link to its page."""
    return links.linked_sentence(text, context["fact_links"])


@register.simple_tag(takes_context=True)
def fact(context: template.Context, key: str, kind: str = "") -> SafeString:
    """Return a link to a fact. `key`: its key; if `kind` is deployment, the key of a deployment."""
    return links.linked_fact(f"{kind} {key}" if kind == "deployment" else key, context["fact_links"])


@register.simple_tag
def origin_links(origin: Origin | Any) -> SafeString:
    """Return the links to where a fact comes from: its page on GitHub or its log lines, and the staged answer.

    `origin`: an Origin, or a row with `url` and `page_id`.
    """
    found = []
    if url := links.safe_url(origin.url):
        label = _("Log lines") if url.startswith("/") else "GitHub"
        found.append((url, label))
    if origin.page_id:
        found.append((reverse("dashboard:staged_page", args=[origin.page_id]), _("Staged answer")))
    return format_html_join(" · ", '<a href="{}">{}</a>', found)


@register.filter
def external_url(url: str) -> str:
    """Return the URL if a link may have it, otherwise an empty text."""
    return links.safe_url(url)


@register.filter
def period_label(period: Period) -> str:
    return periods.period_label(period)


@register.filter
def short_period_label(period: Period) -> str:
    return periods.short_period_label(period)


@register.filter
def period_code(period: Period) -> str:
    """Return the period as URLs have it."""
    return period_name(period)


@register.simple_tag
def arithmetic(found: ExplainedValue) -> str:
    """Return one line that says how the value is computed."""
    measures = found.measures
    if found.collected is None:
        return str(links.linked_sentence(found.arithmetic, links.FactLinks("", {})))
    if found.metric.unit == "seconds":
        return ngettext("the median of %(n)s duration", "the median of %(n)s durations", measures.n) % {"n": number(measures.n)}
    counts = {"n": number(measures.numerator), "all": number(measures.denominator)}
    if found.metric.name == "deployment_frequency":
        return _("%(n)s deployments in %(all)s days") % counts
    if found.metric.name == "change_fail_rate":
        return _("%(n)s of %(all)s attempts failed") % counts
    return _("%(n)s of %(all)s successful deployments were unplanned") % counts


@register.filter
def difference(amount: float | None, metric: str) -> str:
    """Return a difference with its sign. That of two shares is in percentage points."""
    if amount is None:
        return UNKNOWN
    sign = "+" if amount > 0 else "−" if amount < 0 else "±"
    if metric in ("change_lead_time", "failed_deployment_recovery_time"):
        return f"{sign}{duration(abs(amount))}"
    if metric == "deployment_frequency":
        return _("%(number)s a day") % {"number": f"{sign}{number(abs(float(amount)))}"}
    return _("%(number)s points") % {"number": f"{sign}{number(abs(float(amount)) * 100, 1)}"}


@register.simple_tag
def direction(amount: float, metric: str) -> SafeString | str:
    """Return the word "better" or "worse" for a difference; nothing if there is none."""
    if not amount:
        return ""
    is_better = (amount > 0) == (metric in HIGHER_IS_BETTER)
    return format_html('<span class="{}">{}</span>', "better" if is_better else "worse", _("better") if is_better else _("worse"))


@register.filter
def reason_names(rules: tuple[str, ...] | int) -> str:
    """Return the names of the rules by which a deployment counts, or of a weekday."""
    if isinstance(rules, int):
        return str(WEEKDAYS[rules])
    return _(" and ").join(str(REASONS.get(rule, rule)) for rule in rules)


@register.filter
def reason_name(rule: str) -> str:
    return str(REASONS.get(rule, rule))


@register.filter
def run_stage_name(stage: str) -> str:
    """Return the name of a stage of a run."""
    return str(RUN_STAGES.get(stage, stage))


@register.filter
def stage_name(stage: str) -> str:
    return str(STAGES.get(stage, stage))


@register.filter
def milestone_name(name: str) -> str:
    return str(MILESTONES.get(name, name))


@register.filter
def link_rule(how: str) -> str:
    return str(LINK_RULES.get(how, how))


@register.filter
def source_name(source: str) -> str:
    return str(SOURCES.get(source, source))


@register.filter
def flag_meaning(flag: str) -> str:
    """Return what a quality flag says, in the reader's language."""
    return _(MEANING[flag]) if flag in MEANING else flag


@register.simple_tag
def flag_badge(flag: str) -> SafeString:
    """Return a quality flag with its meaning as the title."""
    return format_html('<span class="flag" title="{}">{}</span>', flag_meaning(flag), flag_name(flag))


@register.simple_tag
def value_in_words(found: ExplainedValue) -> str:
    return metric_value(found.measures.value, found.metric.name)


@register.filter
def unsigned(amount: float, metric: str) -> str:
    """Return the size of a difference, without its sign."""
    return difference(amount, metric).lstrip("+−±")


@register.filter
def item(mapping: Mapping[str, Any], key: str) -> Any:
    """Return the value of the key; None if there is none."""
    return mapping.get(key)


@register.filter
def revised_period(revision: MetricRevision) -> Period:
    """Return the period whose value changed."""
    return period_of_date(revision.period_start, revision.period)


@register.simple_tag(takes_context=True)
def facts_query(context: template.RequestContext, **changed: Any) -> str:
    """Return the query of the present address with some parameters changed. An empty value removes a parameter."""
    query = context["request"].GET.copy()
    for name, value in changed.items():
        query[name] = value
        if not value:
            del query[name]
    return query.urlencode()


@register.simple_tag
def member_counts(member: Member, metric: str) -> SafeString | str:
    """Return in words how a fact counts in the value: its duration, or whether it failed or was unplanned."""
    counts = member.counts
    if "seconds" in counts:
        return duration(counts["seconds"])
    if "n_bots" in counts:
        return _("left out")
    if "n_open" in counts:
        return _badge("warn", _("open"))
    if "mean_time_to_restore.seconds" in counts:
        return _("%(duration)s to restore") % {"duration": duration(counts["mean_time_to_restore.seconds"])}
    if "unlinked_incidents" in counts:
        return _badge("warn", _("not linked"))
    if metric == "change_fail_rate":
        return _badge("bad", _("failed")) if counts.get("failed") else _badge("ok", _("did not fail"))
    if metric == "deployment_rework_rate":
        return _badge("warn", _("unplanned")) if counts.get("unplanned") else _badge("ok", _("planned"))
    return _("1 deployment")


def _badge(kind: str, word: str) -> SafeString:
    return format_html('<span class="badge {}">{}</span>', kind, word)


@register.filter
def sorted_flags(flags: Iterable[str]) -> list[str]:
    return sorted(flags)


@register.simple_tag(takes_context=True)
def why_failed(context: template.Context, cause: Cause) -> SafeString:
    """Return in words why an attempt counts as failed."""
    return links.linked_sentence(rule_descriptions.why_failed(cause), context["fact_links"])


@register.simple_tag(takes_context=True)
def why_unplanned(context: template.Context, cause: Cause) -> SafeString:
    """Return in words why a successful deployment counts as unplanned."""
    return links.linked_sentence(rule_descriptions.why_unplanned(cause), context["fact_links"])


@register.filter
def match_rule(how: str) -> str:
    """Return in words how a change was matched to its deployment."""
    return str(MATCH_RULES.get(how, how))


@register.filter
def deployment_state(state: str) -> str:
    """Return in words a state that GitHub reports of a deployment."""
    return str(DEPLOYMENT_STATES.get(state, state))


@register.filter
def stated_cause(name: str) -> str:
    """Return what kind of cause the text of an issue names. `name`: a key of the column `links`."""
    return str(STATED_CAUSES.get(name, name))


@register.simple_tag
def fact_name(key: str) -> str:
    """Return a fact's name in the reader's language."""
    return links.fact_label(key)


@register.simple_tag(takes_context=True)
def pull_link(context: template.Context, change: Change) -> SafeString:
    """Return a link to the page of a pull request, with its number and title."""
    chosen = context["fact_links"]
    url = reverse("dashboard:change", args=[chosen.service, change.repository_id, change.number])
    return format_html('<a href="{}{}">#{}</a> {}', url, chosen.query, change.number, change.title[:120])


@register.filter
def instant_of_text(text: str | None, precision: str = "minute") -> SafeString | str:
    """Return a time that JSON has as a text. `precision`: as for `instant`."""
    return instant(datetime.fromisoformat(text), precision) if text else UNKNOWN


@register.filter
def visible(text: str) -> str:
    """Return the text with escapes in place of control characters, which would be invisible or change the direction of the text."""
    return printable(text)


@register.filter
def unlocal(value: float) -> str:
    """Return a number for an attribute of a drawing, whatever the reader's language is."""
    return f"{value:.2f}"
