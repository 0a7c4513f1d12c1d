"""Services can be edited; facts and metrics are read-only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from dora_metrics.models import Change, Deployment, DORAMetric, Service, WorkflowRun


class ReadOnly(admin.ModelAdmin):
    """What only the pipeline writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Service)
class ServiceAdmin(admin.ModelAdmin):
    list_display = ("name", "deployments_from", "production", "default_branch")
    readonly_fields = ("default_branch",)


@admin.register(Deployment)
class DeploymentAdmin(ReadOnly):
    list_display = ("external_id", "service", "environment", "state", "sha", "created_at")
    list_filter = ("service", "environment", "state")
    list_select_related = ("service",)


@admin.register(WorkflowRun)
class WorkflowRunAdmin(ReadOnly):
    list_display = ("external_id", "attempt", "service", "name", "status", "conclusion", "created_at")
    list_filter = ("service", "conclusion")
    list_select_related = ("service",)


@admin.register(Change)
class ChangeAdmin(ReadOnly):
    list_display = ("number", "service", "title", "state", "author", "merged_at")
    list_filter = ("service", "state")
    list_select_related = ("service",)


@admin.register(DORAMetric)
class DORAMetricAdmin(ReadOnly):
    list_display = ("service", "metric", "period", "period_start", "value", "unit", "n", "tier", "is_partial", "quality_flags")
    list_filter = ("service", "metric", "period")
    list_select_related = ("service",)
    ordering = ("-period_start",)
