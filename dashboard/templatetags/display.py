"""How pages show values: numbers, shares, durations and times in the reader's language, and statuses as words."""

from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext_lazy, ngettext, pgettext_lazy
from django.utils.translation import gettext as _

from dora_metrics.display import duration_text, share_text

register = template.Library()

UNKNOWN = "–"
METRIC_NAMES = {
    "deployment_frequency": gettext_lazy("Deployment frequency"),
    "change_lead_time": gettext_lazy("Change lead time"),
    "change_fail_rate": gettext_lazy("Change fail rate"),
    "failed_deployment_recovery_time": gettext_lazy("Recovery time"),
    "deployment_rework_rate": gettext_lazy("Deployment rework rate"),
}
FLAG_NAMES = {
    "low_n": gettext_lazy("few values"),
    "not_collected": gettext_lazy("not collected"),
    "not_begun": gettext_lazy("not begun"),
    "clock_skew": gettext_lazy("clock skew"),
    "time_matched": gettext_lazy("matched by time"),
    "unknown_sha": gettext_lazy("unknown commit"),
    "unlinked_incidents": gettext_lazy("unlinked incidents"),
    "deployed_before_merge": gettext_lazy("deployed before merge"),
    "proxy_pr_merge": gettext_lazy("merges count as deployments"),
    "impossible_cause": gettext_lazy("impossible cause"),
    "recovered_before_finish": gettext_lazy("recovered before finish"),
}
# A status of a run, night or dead letter: its class of badge, its sign and its word.
STATUSES = {
    "success": ("ok", "✓", gettext_lazy("success")),
    "succeeded": ("ok", "✓", gettext_lazy("success")),
    "partial": ("warn", "◐", gettext_lazy("partial")),
    "failed": ("bad", "✕", pgettext_lazy("run", "failed")),
    "missing": ("bad", "?", gettext_lazy("missing")),
    "cancelled": ("idle", "⊘", gettext_lazy("cancelled")),
    "postponed": ("warn", "‖", gettext_lazy("postponed")),
    "queued": ("info", "…", gettext_lazy("queued")),
    "running": ("info", "▶", gettext_lazy("running")),
    "under way": ("info", "▶", gettext_lazy("running")),
    "waiting": ("info", "…", gettext_lazy("waiting")),
    "open": ("bad", "✕", gettext_lazy("open")),
    "replayed": ("ok", "✓", gettext_lazy("replayed")),
    "discarded": ("idle", "⊘", gettext_lazy("discarded")),
}
# Who starts runs, by the values of ETLRun.Trigger.
TRIGGERS = {
    "beat": gettext_lazy("beat, for the night"),
    "interval": gettext_lazy("beat, between nights"),
    "shell": gettext_lazy("a shell"),
    "command": gettext_lazy("a command"),
    "admin": gettext_lazy("a person"),
    "replay": gettext_lazy("a replay"),
}
TIERS = {
    "elite": ("elite", gettext_lazy("elite")),
    "high": ("high", gettext_lazy("high")),
    "medium": ("medium", gettext_lazy("medium")),
    "low": ("low", gettext_lazy("low")),
}


@register.filter
def number(value: float | None, decimals: int | None = None) -> str:
    """Return the number in the reader's form, with `decimals` places; by default two at most, and none for a whole number."""
    if value is None:
        return UNKNOWN
    if decimals is None:
        rounded = round(value, 2)
        decimals = 0 if rounded == int(rounded) else 2
    return number_format(round(value, decimals), decimals, use_l10n=True, force_grouping=True)  # number_format itself would cut off and not round


@register.filter
def share(value: float | None) -> str:
    """Return a share from 0 to 1 as a percentage with one decimal place."""
    return UNKNOWN if value is None else share_text(value)


@register.filter
def duration(seconds: float | None) -> str:
    """Return seconds in the largest unit, such as 45 s, 12 min, 3.4 h or 2.8 d."""
    return UNKNOWN if seconds is None else duration_text(seconds)


@register.filter
def instant(moment: datetime | None, precision: str = "minute") -> SafeString | str:
    """Return the time in ETL_TIME_ZONE with the zone's abbreviation, as a `time` element that has the exact time in UTC.

    `precision`: minute, second or millisecond.
    """
    if moment is None:
        return UNKNOWN
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), instant_text(moment, precision))


def instant_text(moment: datetime, precision: str = "minute") -> str:
    """Return the time as `instant` shows it, as plain text."""
    local = moment.astimezone(ZoneInfo(settings.ETL_TIME_ZONE))
    clock = date_format(local, "H:i" if precision == "minute" else "H:i:s")
    if precision == "millisecond":
        clock += f".{local.microsecond // 1000:03}"
    return f"{date_format(local, _('j M Y'), use_l10n=True)}, {clock} {local:%Z}"


@register.filter
def day(date: Any) -> str:
    """Return a date in the reader's form."""
    return UNKNOWN if date is None else date_format(date, _("j M Y"), use_l10n=True)


@register.filter
def metric_value(value: float | str | None, metric: str) -> str:
    """Return the value of a metric in its unit. A template gives "" for a key that is missing, which means that there is no value."""
    return _metric_value(None if isinstance(value, str) else value, metric, get_language())


@lru_cache(maxsize=20_000)  # formatting the thousand values of the overview again would take a fifth of its time
def _metric_value(value: float | None, metric: str, language: str) -> str:  # the texts depend on the language
    if metric in ("change_lead_time", "failed_deployment_recovery_time"):
        return duration(value)
    if metric == "deployment_frequency":
        return UNKNOWN if value is None else _("%(number)s a day") % {"number": number(value)}
    return share(value)


def counts_text(metric: str, count: int | None, *, part: float | None = None) -> str:
    """Return how many facts are behind the value of a metric, in words; "" if `count` is unknown. `part`: how many of them a share counts."""
    if count is None:
        return ""
    counts = {"count": number(count), "part": number(part)}
    if metric == "deployment_frequency":
        return ngettext("%(count)s deployment", "%(count)s deployments", count) % counts
    if metric == "change_lead_time":
        return ngettext("%(count)s change", "%(count)s changes", count) % counts
    if metric == "change_fail_rate":
        return ngettext("%(part)s of %(count)s attempt", "%(part)s of %(count)s attempts", count) % counts
    if metric == "deployment_rework_rate":
        return ngettext("%(part)s of %(count)s success", "%(part)s of %(count)s successes", count) % counts
    return ngettext("%(count)s recovery", "%(count)s recoveries", count) % counts


@register.filter
def metric_name(metric: str) -> str:
    return str(METRIC_NAMES.get(metric, metric))


@register.filter
def flag_name(flag: str) -> str:
    return str(FLAG_NAMES.get(flag, flag.replace("_", " ")))


@register.simple_tag
def status_badge(status: Any) -> SafeString:
    """Return the badge of a status. `status`: its name, or an object with the attribute `status` or `state`, such as a run or a letter."""
    name = str(getattr(status, "status", None) or getattr(status, "state", None) or status)
    kind, sign, word = STATUSES.get(name, ("idle", "•", name))
    return format_html('<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>', kind, sign, word)


@register.filter
def status_word(status: str) -> str:
    """Return the name of a status in the reader's language."""
    return str(STATUSES[status][2]) if status in STATUSES else status


@register.filter
def started_by(run: Any) -> str:
    """Return who started the run."""
    return str(TRIGGERS.get(run.trigger, run.trigger))


@register.simple_tag
def tier_badge(tier: str | None) -> SafeString | str:
    """Return the badge of a DORA tier; nothing if there is none."""
    if not tier:
        return ""
    kind, word = TIERS.get(tier, ("idle", tier))
    return format_html('<span class="tier {}">{}</span>', kind, word)


@register.simple_tag(takes_context=True)
def navigation(context: template.RequestContext) -> list[dict[str, Any]]:
    """Return the links of the navigation that the user may open, as {"label", "url", "is_current"}."""
    request = context["request"]
    links: list[tuple[Any, str]] = []
    for label, name, permission in NAVIGATION:
        if request.user.has_perm(permission):
            links.append((label, reverse(name)))
    current = max((url for _label, url in links if request.path.startswith(url)), key=len, default="")
    return [{"label": label, "url": url, "is_current": url == current} for label, url in links]


NAVIGATION = (
    (gettext_lazy("Overview"), "dashboard:overview", "dora_metrics.view_service"),
    (gettext_lazy("Operations"), "dashboard:operations", "etl_tasks.view_etlrun"),
    (gettext_lazy("Dead letters"), "dashboard:letters", "etl_tasks.view_deadletter"),
    (gettext_lazy("Logs"), "dashboard:logs", "log_store.view_logeventrow"),
    (gettext_lazy("Setup"), "dashboard:setup", "etl_tasks.add_source"),
)
