"""Admin pages for services, facts, metrics, alert rules and API tokens. Facts and metrics are read-only."""

from typing import Any

from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse

from dora_metrics.alerts.email_and_webhook import has_receiver
from dora_metrics.alerts.rules import end_silently
from dora_metrics.models import (
    AlertEpisode,
    AlertRule,
    ApiToken,
    Attempt,
    Change,
    Delivery,
    Deployment,
    DORAMetric,
    Incident,
    Issue,
    LogDeployment,
    LogTraffic,
    MetricRevision,
    Release,
    Repository,
    Service,
    WorkflowRun,
)


class ReadOnly(admin.ModelAdmin):
    """The base of the pages whose rows only the pipeline writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Service)
class ServiceAdmin(admin.ModelAdmin):
    list_display: tuple[str, ...] = ("name", "deployments_from", "production")


@admin.register(Repository)
class RepositoryAdmin(ReadOnly):
    list_display = ("name", "service", "default_branch", "has_paths", "is_collected")
    list_filter = ("service",)
    list_select_related = ("service",)


@admin.register(Deployment)
class DeploymentAdmin(ReadOnly):
    list_display = ("external_id", "service", "repository", "environment", "state", "sha", "created_at")
    list_filter = ("service", "environment", "state")
    list_select_related = ("service", "repository")


@admin.register(LogDeployment)
class LogDeploymentAdmin(ReadOnly):
    list_display = ("time", "service", "source", "environment", "state", "sha")
    list_filter = ("service", "state")
    list_select_related = ("service",)
    ordering = ("-time",)


@admin.register(LogTraffic)
class LogTrafficAdmin(ReadOnly):
    list_display = ("hour", "service", "source", "segment", "events", "errors", "worst_share")
    list_filter = ("service",)
    list_select_related = ("service",)
    ordering = ("-id",)
    show_full_result_count = False  # there may be millions of rows, and Django would count them all


@admin.register(WorkflowRun)
class WorkflowRunAdmin(ReadOnly):
    list_display = ("external_id", "attempt", "service", "repository", "name", "status", "conclusion", "created_at")
    list_filter = ("service", "conclusion")
    list_select_related = ("service", "repository")


@admin.register(Change)
class ChangeAdmin(ReadOnly):
    list_display = ("number", "service", "repository", "title", "state", "author", "merged_at")
    list_filter = ("service", "state")
    list_select_related = ("service", "repository")


@admin.register(Issue)
class IssueAdmin(ReadOnly):
    list_display = ("number", "service", "repository", "title", "state", "state_reason", "created_at", "closed_at")
    list_filter = ("service", "state")
    list_select_related = ("service", "repository")


@admin.register(Release)
class ReleaseAdmin(ReadOnly):
    list_display = ("tag", "service", "repository", "is_draft", "is_prerelease", "published_at")
    list_filter = ("service",)
    list_select_related = ("service", "repository")


@admin.register(Attempt)
class AttemptAdmin(ReadOnly):
    list_display = ("key", "service", "repository", "environment", "finished_at", "is_success", "is_failed", "is_unplanned", "recovered_at", "flags")
    list_filter = ("service", "is_failed", "is_unplanned")
    list_select_related = ("service", "repository")
    ordering = ("-finished_at",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ("change", "service", "deployment", "how", "deployed_at", "lead_time_seconds", "is_bots", "flags")
    list_filter = ("service", "how", "is_bots")
    list_select_related = ("service", "change")
    ordering = ("-deployed_at",)


@admin.register(Incident)
class IncidentAdmin(ReadOnly):
    list_display = ("key", "service", "repository", "title", "started_at", "ended_at", "deployment", "how")
    list_filter = ("service", "how")
    list_select_related = ("service", "repository")
    ordering = ("-started_at",)


@admin.register(MetricRevision)
class MetricRevisionAdmin(ReadOnly):
    list_display = ("revised_at", "service", "metric", "period", "period_start", "value_before", "value_after", "run_id")
    list_filter = ("service", "metric", "period")
    list_select_related = ("service",)
    ordering = ("-id",)

    @admin.display(description="before")
    def value_before(self, revision: MetricRevision) -> object:
        return revision.before.get("value")

    @admin.display(description="after")
    def value_after(self, revision: MetricRevision) -> object:
        return revision.after.get("value")


@admin.register(AlertRule)
class AlertRuleAdmin(admin.ModelAdmin):
    list_display = ("name", "kind", "level", "threshold", "window", "service", "is_enabled")
    list_select_related = ("service",)

    def save_model(self, request: HttpRequest, obj: AlertRule, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if {"kind", "service"} & set(form.changed_data):
            end_silently(obj)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not has_receiver():
            messages.warning(request, "The rules are off until ALERT_EMAILS or ALERT_WEBHOOK_URL is set.")
        return super().changelist_view(request, extra_context)


@admin.register(AlertEpisode)
class AlertEpisodeAdmin(ReadOnly):
    list_display = ("began_at", "ended_at", "service", "rule", "message")
    list_filter = ("service", "rule")
    list_select_related = ("service", "rule")
    ordering = ("-began_at",)


@admin.register(DORAMetric)
class DORAMetricAdmin(ReadOnly):
    list_display = ("service", "metric", "period", "period_start", "value", "unit", "n", "tier", "is_partial", "quality_flags")
    list_filter = ("service", "metric", "period")
    list_select_related = ("service",)
    ordering = ("-period_start",)


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):
    """The page of API tokens, where they can be switched on and off.

    Tokens are created only by the command api_token, which prints a new token once. Only the digest of a token is stored.
    """

    list_display = ("name", "is_enabled", "created_at", "last_used_at")
    list_filter = ("is_enabled",)
    fields = ("name", "is_enabled", "created_at", "last_used_at")
    readonly_fields = ("created_at", "last_used_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        hint = "To create a token, run: manage.py api_token create NAME. It is shown only once."
        return super().changelist_view(request, {"subtitle": hint, **(extra_context or {})})
