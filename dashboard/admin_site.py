"""The admin's site: its home says whether last night worked, and its lists of pages have what people configure in front."""

from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from dashboard.login import AdminLoginForm, with_status
from dashboard.operations import needs
from etl_tasks.night_report import report_last_night

# The sections by name, each with its title and the models in it. Models that are not named here come last, in the data.
CONFIGURED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "services": (_("Services and sources"), ("Service", "Source", "AlertRule", "ApiToken")),
    "schedule": (_("Schedule"), ("PeriodicTask", "CrontabSchedule", "IntervalSchedule", "SolarSchedule", "ClockedSchedule")),
    "accounts": (_("Accounts"), ("User", "Group", "LoginAttempts")),
}
DATA: dict[str, tuple[Any, tuple[str, ...]]] = {
    "ledger": (
        _("Runs"),
        ("ETLRun", "DeadLetter", "StagedPage", "Cursor", "Fault", "AlertEpisode", "TaskResult", "GroupResult", "LogEntry"),
    ),
    "derived": (_("Computed"), ("DORAMetric", "Attempt", "Delivery", "Incident", "MetricRevision")),
    "facts": (_("Collected"), ("Repository", "Deployment", "Change", "Issue", "Release", "WorkflowRun", "LogDeployment", "LogTraffic")),
}
OTHERS = "others"
TITLES = {"LogEntry": _("Audit log"), "ApiToken": _("API tokens")}


class Site(AdminSite):
    site_header = site_title = "callcentersite ETL"
    index_title = _("Administration")
    index_template = "admin/home.html"
    login_form = AdminLoginForm

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the sections instead of the apps. The page of one app lists its models as Django does."""
        if app_label is not None:
            return super().get_app_list(request, app_label)
        if not hasattr(request, "admin_sections"):
            request.admin_sections = self._sections(request)  # type: ignore[attr-defined]
        sections: list[Any] = request.admin_sections  # type: ignore[attr-defined]
        return sections

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return with_status(super().login(request, extra_context))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        context = _last_night(request) if request.user.has_perm("etl_tasks.view_etlrun") else {}
        return super().index(request, {**context, **(extra_context or {})})

    def _sections(self, request: HttpRequest) -> list[dict[str, Any]]:
        pages = {page["object_name"]: page for app in self._build_app_dict(request).values() for page in app["models"]}
        for name, title in TITLES.items():
            if name in pages:
                pages[name]["name"] = title
        named = {name for _title, names in (*CONFIGURED.values(), *DATA.values()) for name in names}
        others = {OTHERS: (_("Others"), tuple(name for name in pages if name not in named))}
        sections = []
        for label, (title, names) in {**CONFIGURED, **DATA, **others}.items():
            shown = [pages[name] for name in names if name in pages]
            is_current = any(page["admin_url"] and request.path.startswith(page["admin_url"]) for page in shown)
            section = {"app_label": label, "name": title, "models": shown, "is_data": label not in CONFIGURED, "is_current": is_current}
            sections += [{**section, "app_url": "", "has_module_perms": True}] if shown else []
        return sections


def _last_night(request: HttpRequest) -> dict[str, Any]:
    report = report_last_night(now())
    rows, more = needs.rows_of(report, request.user)
    return {"report": report, "source_count": len(report.outcomes), "hours": settings.ETL_OVERDUE_HOURS, "needs": rows, "more_needs": more}
