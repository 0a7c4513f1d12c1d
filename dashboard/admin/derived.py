"""The admin's pages of what was computed from the facts: attempts, deliveries, incidents, metrics, their revisions, and alert episodes."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.admin.facts import LONGEST_TITLE, SERVICE
from dashboard.admin.paging import ChoiceFilter
from dashboard.admin.rows import DataAdmin, page_address
from dashboard.admin.values import Show, admin_link, badge, badges, clipped, duration, run_link, scalar, structured, table, web_link
from dashboard.templatetags import display
from dashboard.templatetags.display import UNKNOWN
from dora_metrics.calculators.failures import Cause
from dora_metrics.calculators.periods import period_of_date
from dora_metrics.calculators.rule_descriptions import why_failed, why_unplanned
from dora_metrics.models import AlertEpisode, Attempt, Delivery, DORAMetric, Incident, MetricRevision
from dora_metrics.period_input import period_name

HOW = {
    "sha": gettext_lazy("by its commit"),
    "range": gettext_lazy("by the history of the deployed commit"),
    "time_matched": gettext_lazy("by time"),
    "explicit": gettext_lazy("named by the issue"),
    "revert": gettext_lazy("by a revert"),
    "time": gettext_lazy("by time"),
}
PERIODS = {"day": gettext_lazy("%(start)s"), "week": gettext_lazy("week from %(start)s"), "month": gettext_lazy("month from %(start)s")}


def flag_words(flags: Iterable[str]) -> str:
    return ", ".join(display.flag_name(flag) for flag in flags) or UNKNOWN


def attempt_link(service: Any, key: str) -> SafeString | str:
    """Return a link to the page of a deployment or, where its key cannot be part of an address, to the admin's list with only this one."""
    if not key:
        return UNKNOWN
    address = page_address("dashboard:deployment", service.name, key)
    return web_link(address, key) if address else admin_link("dora_metrics_attempt_changelist", key, service__id__exact=service.pk, key=key)


def period_words(row: DORAMetric | MetricRevision) -> str:
    return str(PERIODS.get(row.period, "%(start)s")) % {"start": display.day(row.period_start)}


def number_in(unit_is_seconds: bool) -> Show:
    """Return the function that shows a single number of a metric's details: counts are whole numbers, measured values are not."""
    return lambda value: duration(value) if unit_is_seconds and isinstance(value, float) else scalar(value)


@admin.register(Attempt)
class AttemptAdmin(DataAdmin):
    list_display = ("key", "service", "repository", "environment", "finished_at", "outcome", "recovery", "flag_names")
    list_filter = (SERVICE, "is_failed", "is_unplanned", "finished_at")
    ordering = ("-finished_at",)
    fetched = ("service", "repository")
    search_fields = ("=key", "sha__startswith")
    search_help_text = gettext_lazy("Its id, or the beginning of its commit")
    fields = (
        *("outcome", "service", "repository", "environment", "sha", "started_at", "finished_at", "failures", "reasons_unplanned", "recovery"),
        *("recovered_by", "flag_names", "source", "key", "other_ids", "url", "page_id"),
    )

    @admin.display(description=gettext_lazy("outcome"))
    def outcome(self, attempt: Attempt) -> SafeString | str:
        if attempt.is_failed is None:
            shown = badge("idle", _("not known yet"), _("Issues or pull requests were not collected, and no other fact shows a failure."))
        elif attempt.is_failed:
            shown = badge("bad", _("failed"), "; ".join(why_failed(cause) for cause in _causes(attempt.causes)))
        else:
            shown = badge("ok", _("succeeded"))
        return badges(shown, badge("warn", _("unplanned")) if attempt.is_unplanned else "")

    @admin.display(description=gettext_lazy("recovered after"))
    def recovery(self, attempt: Attempt) -> SafeString | str:
        return duration((attempt.recovered_at - attempt.finished_at).total_seconds()) if attempt.recovered_at else UNKNOWN

    @admin.display(description=gettext_lazy("flags"))
    def flag_names(self, attempt: Attempt) -> str:
        return flag_words(attempt.flags)

    @admin.display(description=gettext_lazy("why it failed"))
    def failures(self, attempt: Attempt) -> SafeString | str:
        if not attempt.causes:
            return UNKNOWN
        head = format_html_join("", '<th scope="col">{}</th>', ((_("reason"),), (_("it ended"),)))
        times = (cause["ended_at"] for cause in attempt.causes)
        return table(head, ((why_failed(cause), scalar(ended)) for cause, ended in zip(_causes(attempt.causes), times, strict=True)))

    @admin.display(description=gettext_lazy("why it was unplanned"))
    def reasons_unplanned(self, attempt: Attempt) -> SafeString | str:
        return structured([why_unplanned(cause) for cause in _causes(attempt.unplanned)])

    @admin.display(description=gettext_lazy("ids of its attempts"))
    def other_ids(self, attempt: Attempt) -> str:
        return ", ".join(attempt.ids)

    def view_on_site(self, attempt: Attempt) -> str | None:
        return page_address("dashboard:deployment", attempt.service.name, attempt.key)


def _causes(stored: Iterable[Mapping[str, Any]]) -> list[Cause]:
    return [Cause(cause["rule"], cause["fact"]) for cause in stored]


@admin.register(Delivery)
class DeliveryAdmin(DataAdmin):
    list_display = ("pull_request", "service", "deployed_by", "matched", "deployed_at", "lead_time", "flag_names")
    list_filter = (SERVICE, "is_bots", "deployed_at")
    ordering = ("-deployed_at",)
    fetched = ("service", "change")
    search_fields = ("=deployment",)
    search_help_text = gettext_lazy("The id of its deployment")
    fields = ("change", "service", "deployed_by", "matched", "change_start", "deployed_at", "lead_time", "times", "is_bots", "flag_names")

    @admin.display(description=gettext_lazy("change"))
    def pull_request(self, delivery: Delivery) -> SafeString | str:
        return clipped(str(delivery.change), LONGEST_TITLE)

    @admin.display(description=gettext_lazy("deployment"))
    def deployed_by(self, delivery: Delivery) -> SafeString | str:
        return attempt_link(delivery.service, delivery.deployment)

    @admin.display(description=gettext_lazy("matched"))
    def matched(self, delivery: Delivery) -> str:
        return str(HOW.get(delivery.how, delivery.how))

    @admin.display(description=gettext_lazy("lead time"))
    def lead_time(self, delivery: Delivery) -> SafeString | str:
        bot = badge("idle", _("by a bot"), _("It is left out of the metrics.")) if delivery.is_bots else ""
        return badges(duration(delivery.lead_time_seconds), bot)

    @admin.display(description=gettext_lazy("stages"))
    def times(self, delivery: Delivery) -> SafeString | str:
        return structured(delivery.stages, cell=duration)

    @admin.display(description=gettext_lazy("flags"))
    def flag_names(self, delivery: Delivery) -> str:
        return flag_words(delivery.flags)

    def view_on_site(self, delivery: Delivery) -> str | None:
        return page_address("dashboard:change", delivery.service.name, delivery.change.repository_id, delivery.change.number)


@admin.register(Incident)
class IncidentAdmin(DataAdmin):
    list_display = ("key", "service", "short_title", "started_at", "lasted", "caused_by", "linked", "flag_names")
    list_filter = (SERVICE, "started_at")
    ordering = ("-started_at",)
    fetched = ("service", "repository")
    search_fields = ("=key", "=number", "=deployment")
    search_help_text = gettext_lazy("Its key, the number of its issue, or the id of its deployment")
    fields = (
        *("service", "repository", "number", "title", "started_at", "ended_at", "lasted", "caused_by", "linked", "flag_names"),
        *("from_logs", "url", "key", "page_id"),
    )

    @admin.display(description=gettext_lazy("title"))
    def short_title(self, incident: Incident) -> SafeString | str:
        return clipped(incident.title, LONGEST_TITLE)

    @admin.display(description=gettext_lazy("lasted"))
    def lasted(self, incident: Incident) -> SafeString | str:
        return duration((incident.ended_at - incident.started_at).total_seconds()) if incident.ended_at else badge("bad", _("open"))

    @admin.display(description=gettext_lazy("deployment"))
    def caused_by(self, incident: Incident) -> SafeString | str:
        return attempt_link(incident.service, incident.deployment)

    @admin.display(description=gettext_lazy("linked"))
    def linked(self, incident: Incident) -> str:
        return str(HOW.get(incident.how, incident.how or UNKNOWN))

    @admin.display(description=gettext_lazy("evidence from the logs"))
    def from_logs(self, incident: Incident) -> SafeString | str:
        return structured(incident.evidence)

    @admin.display(description=gettext_lazy("flags"))
    def flag_names(self, incident: Incident) -> str:
        return flag_words(incident.flags)

    def view_on_site(self, incident: Incident) -> str | None:
        return page_address("dashboard:incident", incident.service.name, incident.key)


class MetricFilter(ChoiceFilter):
    title, parameter_name, labels = gettext_lazy("metric"), "metric", display.METRIC_NAMES


class PeriodFilter(ChoiceFilter):
    title, parameter_name = gettext_lazy("period"), "period"
    labels = {"day": gettext_lazy("day"), "week": gettext_lazy("week"), "month": gettext_lazy("month")}


class ValueAdmin(DataAdmin):
    """The base of the pages of values."""

    list_filter: ClassVar[Any] = (SERVICE, MetricFilter, PeriodFilter)
    fetched = ("service",)

    @admin.display(description=gettext_lazy("metric"))
    def metric_name(self, row: DORAMetric | MetricRevision) -> str:
        return display.metric_name(row.metric)

    @admin.display(description=gettext_lazy("period"))
    def when(self, row: DORAMetric | MetricRevision) -> str:
        return period_words(row)

    def view_on_site(self, row: DORAMetric | MetricRevision) -> str | None:
        return page_address("dashboard:value", row.service.name, row.metric, period_name(period_of_date(row.period_start, row.period)))


@admin.register(DORAMetric)
class DORAMetricAdmin(ValueAdmin):
    list_display = ("metric_name", "service", "when", "amount", "n", "tier_badge", "notes")
    list_filter: ClassVar[Any] = (*ValueAdmin.list_filter, "period_start")
    ordering = ("-period_start",)
    fields = (
        *("metric_name", "service", "environment", "when", "period_end", "amount", "n", "numerator", "denominator", "median", "percentiles"),
        *("tier_badge", "tier_year", "notes", "all_details", "definition_version", "time_zone", "run_id"),
    )

    @admin.display(description=gettext_lazy("value"))
    def amount(self, metric: DORAMetric) -> str:
        return display.metric_value(metric.value, metric.metric)

    @admin.display(description=gettext_lazy("tier"))
    def tier_badge(self, metric: DORAMetric) -> SafeString | str:
        return display.tier_badge(metric.tier) or UNKNOWN

    @admin.display(description=gettext_lazy("notes"))
    def notes(self, metric: DORAMetric) -> SafeString | str:
        partial_badge = badge("info", _("partial"), _("The period is not over, or not all of it was collected.")) if metric.is_partial else ""
        return badges(partial_badge, flag_words(metric.quality_flags) if metric.quality_flags else "")

    @admin.display(description=gettext_lazy("median"))
    def median(self, metric: DORAMetric) -> SafeString | str:
        return self._percentile(metric, metric.p50)

    @admin.display(description=gettext_lazy("75th and 90th percentile"))
    def percentiles(self, metric: DORAMetric) -> SafeString | str:
        return format_html_join(", ", "{}", ((self._percentile(metric, one),) for one in (metric.p75, metric.p90)))

    @admin.display(description=gettext_lazy("details"))
    def all_details(self, metric: DORAMetric) -> SafeString | str:
        return structured(metric.details, cell=number_in(metric.unit == "seconds"))

    def _percentile(self, metric: DORAMetric, value: float | None) -> SafeString | str:
        return duration(value) if metric.unit == "seconds" else scalar(value)


@admin.register(MetricRevision)
class MetricRevisionAdmin(ValueAdmin):
    ordering = ("-id",)  # the order of time
    list_display = ("revised_at", "service", "metric_name", "when", "value_before", "value_after", "changed_by")
    fields = ("revised_at", "service", "environment", "metric_name", "when", "all_before", "all_after", "definition_version", "changed_by")

    @admin.display(description=gettext_lazy("before"))
    def value_before(self, revision: MetricRevision) -> str:
        return display.metric_value(revision.before.get("value"), revision.metric)

    @admin.display(description=gettext_lazy("after"))
    def value_after(self, revision: MetricRevision) -> str:
        return display.metric_value(revision.after.get("value"), revision.metric)

    @admin.display(description=gettext_lazy("because of"))
    def changed_by(self, revision: MetricRevision) -> SafeString | str:
        return run_link(revision.run_id) if revision.run_id else _("a recompute")

    @admin.display(description=gettext_lazy("before"))
    def all_before(self, revision: MetricRevision) -> SafeString | str:
        return self._all(revision, revision.before)

    @admin.display(description=gettext_lazy("after"))
    def all_after(self, revision: MetricRevision) -> SafeString | str:
        return self._all(revision, revision.after)

    def _all(self, revision: MetricRevision, values: dict[str, Any]) -> SafeString | str:
        is_duration = revision.metric in ("change_lead_time", "failed_deployment_recovery_time")
        return structured(values, cell=number_in(is_duration))


@admin.register(AlertEpisode)
class AlertEpisodeAdmin(DataAdmin):
    list_display = ("began_at", "lasted", "service", "rule", "message")
    list_filter = (SERVICE, "rule")
    fetched = ("service", "rule")
    ordering = ("-id",)
    fields = ("service", "rule", "began_at", "ended_at", "lasted", "message")

    @admin.display(description=gettext_lazy("lasted"))
    def lasted(self, episode: AlertEpisode) -> SafeString | str:
        return duration((episode.ended_at - episode.began_at).total_seconds()) if episode.ended_at else badge("bad", _("open"))
