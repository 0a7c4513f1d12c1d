"""The admin's pages of services, alert rules and API tokens."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from dashboard.admin.deletion import DeletedByWorker
from dashboard.admin.fields import LinesField
from dashboard.admin.rows import ReadableAdmin, page_address
from dashboard.admin.values import admin_link, badge
from dashboard.templatetags import display
from dora_metrics.alerts.receivers import has_receiver
from dora_metrics.alerts.rules import end_silently
from dora_metrics.models import AlertRule, ApiToken, Service
from etl_tasks import pipeline

UNITS: dict[str, Any] = {
    AlertRule.Kind.NO_DEPLOYMENT: gettext_lazy("%(number)s days"),
    AlertRule.Kind.FAIL_RATE: gettext_lazy("%(number)s percent"),
    AlertRule.Kind.LEAD_TIME: gettext_lazy("%(number)s hours"),
    AlertRule.Kind.NO_SUCCESS: gettext_lazy("%(number)s hours"),
}


class ServiceForm(forms.ModelForm):
    bots = LinesField(help_text=gettext_lazy("logins that are bots, in addition to those that GitHub marks; one login on each line"))


@admin.register(Service)
class ServiceAdmin(DeletedByWorker):
    """The page of services. A change of settings offers to compute the numbers again."""

    form = ServiceForm
    change_form_template = "admin/service.html"
    list_display = ("name", "deployments_from", "sources", "numbers", "state")
    sortable = ("name",)
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("name",)}),
        (gettext_lazy("Deployments"), {"fields": ("deployments_from", "production", "workflow", "prereleases")}),
        (gettext_lazy("Changes"), {"fields": ("path", "bots", "hotfix")}),
        (gettext_lazy("Incidents"), {"fields": ("incident_label", "look_back_hours")}),
        (
            gettext_lazy("Incidents from the logs"),
            {
                "fields": ("log_incidents", "log_minute_events", "log_error_share", "log_bad_minutes", "log_good_minutes", "log_issue_hours"),
                "classes": ("collapse",),
            },
        ),
    )

    def prepare(self, rows: Sequence[Service]) -> None:
        counted = Service.objects.filter(pk__in=[row.pk for row in rows]).order_by().annotate(count=Count("sources"))
        counts = dict(counted.values_list("pk", "count"))
        for row in rows:
            row.source_count = counts[row.pk]  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("sources"))
    def sources(self, service: Service) -> SafeString | str:
        count: int = service.source_count  # type: ignore[attr-defined]
        if not count:
            return admin_link("etl_tasks_source_add", _("add one"), service=service.pk)
        words = ngettext("%(count)s source", "%(count)s sources", count) % {"count": count}
        return admin_link("etl_tasks_source_changelist", words, service__id__exact=service.pk)

    @admin.display(description=gettext_lazy("numbers"))
    def numbers(self, service: Service) -> SafeString:
        if service.needs_recompute:
            return badge("warn", _("to be recomputed"), _("Its settings have changed since its numbers were computed."))
        return badge("ok", _("up to date"))

    @admin.display(description=gettext_lazy("state"))
    def state(self, service: Service) -> SafeString | str:
        return badge("bad", _("being deleted")) if service.deletion_began_at else badge("ok", _("in use"))

    def view_on_site(self, service: Service) -> str | None:
        return page_address("dashboard:service", service.name)

    # --- recomputing --------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        recompute = self.admin_site.admin_view(require_POST(self.recompute_view))
        return [path("<path:object_id>/recompute/", recompute, name="dora_metrics_service_recompute"), *super().get_urls()]

    def recompute_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        service = self.get_object(request, object_id)
        if service is None:
            raise Http404
        if not self.has_change_permission(request, service):
            raise PermissionDenied
        try:
            pipeline.send_recompute(service)
        except pipeline.BrokerAway as exc:
            messages.error(request, str(exc))
        else:
            self.log_change(request, service, "asked a worker to recompute the numbers")
            messages.success(request, _("A worker recomputes the numbers of %(service)s from its stored facts.") % {"service": service})
        return HttpResponseRedirect(self._address(service))

    def response_change(self, request: HttpRequest, obj: Service) -> HttpResponse:
        """After a change of settings, stay on the page of the service, which offers to recompute its numbers."""
        answer = super().response_change(request, obj)
        obj.refresh_from_db(fields=["needs_recompute"])
        if not obj.needs_recompute or "_popup" in request.POST:
            return answer
        messages.warning(request, _("The numbers still follow the former settings. Recompute them now, or leave it to the next run."))
        return answer if {"_continue", "_addanother"} & set(request.POST) else HttpResponseRedirect(self._address(obj))

    def response_add(self, request: HttpRequest, obj: Service, post_url_continue: str | None = None) -> HttpResponse:
        if "_popup" not in request.POST:
            link = admin_link("etl_tasks_source_add", _("Add a source"), service=obj.pk)
            messages.info(request, format_html(_("Nothing is collected for {} yet. {}: a repository, log files, or another kind."), obj, link))
        return super().response_add(request, obj, post_url_continue)

    def _address(self, service: Service) -> str:
        return reverse("admin:dora_metrics_service_change", args=[service.pk], current_app=self.admin_site.name)


@admin.register(AlertRule)
class AlertRuleAdmin(ReadableAdmin):
    list_display = ("name", "kind", "limit", "level", "service", "state")
    sortable = ("name",)
    fetched = ("service",)
    autocomplete_fields = ("service",)
    fieldsets = (
        (None, {"fields": ("name", "kind", "threshold", "window", "service")}),
        (gettext_lazy("Alert"), {"fields": ("level", "is_enabled")}),
    )

    @admin.display(description=gettext_lazy("limit"))
    def limit(self, rule: AlertRule) -> str:
        return str(UNITS.get(rule.kind, "%(number)s")) % {"number": display.number(rule.threshold)}

    @admin.display(description=gettext_lazy("state"))
    def state(self, rule: AlertRule) -> SafeString:
        return on_or_off(rule.is_enabled)

    def save_model(self, request: HttpRequest, obj: AlertRule, form: forms.ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if {"kind", "service"} & set(form.changed_data):
            end_silently(obj)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not has_receiver():
            messages.warning(request, _("The rules are off until ALERT_EMAILS or ALERT_WEBHOOK_URL is set."))
        return super().changelist_view(request, extra_context)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadableAdmin):
    """The page of API tokens. A new token is shown once, on the page that answers the form. Only the digest of a token is stored."""

    list_display = ("name", "state", "created_at", "last_used_at")
    list_filter = ("is_enabled",)
    sortable = ("name", "created_at")
    search_fields = ("name",)
    fields: ClassVar[Any] = ("name", "is_enabled", "created_at", "last_used_at")
    readonly_fields = ("created_at", "last_used_at")

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.fields if obj else ("name",)

    @admin.display(description=gettext_lazy("state"))
    def state(self, token: ApiToken) -> SafeString:
        return on_or_off(token.is_enabled)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: forms.ModelForm, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        created, obj.secret = ApiToken.create(obj.name)  # type: ignore[attr-defined]
        obj.pk, obj.digest, obj.created_at = created.pk, created.digest, created.created_at
        obj._state.adding = False

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """Show the token in this answer, so that it is stored neither in a session nor in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "title": _("API token %(name)s") % {"name": obj.name},
            "token": obj.secret,  # type: ignore[attr-defined]
            "opts": self.opts,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/new_token.html", context, headers={"Cache-Control": "no-store"})


def on_or_off(is_on: bool) -> SafeString:
    return badge("ok", _("enabled")) if is_on else badge("idle", _("disabled"))
