"""The admin's pages of the collected facts."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from dashboard.admin.paging import RelatedFilter
from dashboard.admin.rows import DataAdmin, page_address
from dashboard.admin.values import badge, badges, clipped, instant, structured, web_link
from dashboard.templatetags import display
from dora_metrics.models import Change, Deployment, Issue, LogDeployment, LogTraffic, Release, Repository, WorkflowRun
from dora_metrics.selectors import Outcome, outcomes_of

LONGEST_TITLE = 70
OUTCOMES = {
    Outcome.SUCCEEDED: ("ok", gettext_lazy("succeeded"), ""),
    Outcome.FAILED: ("bad", gettext_lazy("failed"), ""),
    Outcome.CANCELLED: ("idle", pgettext_lazy("deployment", "cancelled"), gettext_lazy("Its workflow run was cancelled, so it does not count.")),
    Outcome.UNFINISHED: ("info", gettext_lazy("not finished"), gettext_lazy("It has neither succeeded nor failed, so it does not count.")),
}
CONCLUSIONS = {"success": "ok", "failure": "bad", "timed_out": "bad", "startup_failure": "bad", "action_required": "warn"}
SERVICE = ("service", RelatedFilter)


class FactAdmin(DataAdmin):
    """The base of the pages of facts."""

    fetched: ClassVar[tuple[str, ...]] = ("service", "repository")
    list_filter: ClassVar[Any] = (SERVICE,)

    @admin.display(description=gettext_lazy("GitHub"))
    def on_github(self, fact: Any) -> SafeString | str:
        return web_link(fact.url, pgettext("verb", "open"))

    @admin.display(description=gettext_lazy("title"))
    def short_title(self, fact: Any) -> SafeString | str:
        return clipped(fact.title, LONGEST_TITLE)


def gone(fact: Any) -> SafeString | str:
    return badge("idle", _("deleted on GitHub"), _("It does not count in any metric.")) if fact.gone_at else ""


@admin.register(Repository)
class RepositoryAdmin(DataAdmin):
    list_display = ("name", "service", "default_branch", "is_collected", "has_paths")
    list_filter = (SERVICE,)
    fetched = ("service",)
    search_fields = ("name",)


@admin.register(Deployment)
class DeploymentAdmin(FactAdmin):
    list_display = ("number", "service", "repository", "environment", "outcome", "sha", "created_at", "on_github")
    list_filter = (SERVICE, "created_at")
    ordering = ("-created_at",)
    search_fields = ("=external_id", "=environment", "sha__startswith")
    search_help_text = gettext_lazy("Its id, its environment, or the beginning of its commit")
    fields = (
        *("outcome", "service", "repository", "environment", "sha", "ref", "task", "creator", "created_at", "version_at", "gone_at"),
        *("all_statuses", "status_count", "state", "url", "external_id", "node_id", "run_id", "page_id"),
    )

    @admin.display(description=gettext_lazy("deployment"))
    def number(self, deployment: Deployment) -> str:
        return str(deployment.external_id)

    def prepare(self, rows: Sequence[Deployment]) -> None:
        outcomes = outcomes_of(rows)
        for row in rows:
            row.outcome = outcomes[row.pk]  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("outcome"))
    def outcome(self, deployment: Deployment) -> SafeString | str:
        if not hasattr(deployment, "outcome"):
            self.prepare([deployment])
        return badges(badge(*OUTCOMES[deployment.outcome]), gone(deployment))  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("statuses"))
    def all_statuses(self, deployment: Deployment) -> SafeString | str:
        return structured(deployment.statuses)


@admin.register(LogDeployment)
class LogDeploymentAdmin(FactAdmin):
    list_display = ("time", "service", "source", "environment", "state", "sha", "line")
    list_filter = (SERVICE, "time")
    ordering = ("-time",)
    fetched = ("service",)
    search_fields = ("=event_id", "sha__startswith")
    search_help_text = gettext_lazy("Its id, or the beginning of its commit")

    @admin.display(description=gettext_lazy("line"))
    def line(self, deployment: LogDeployment) -> SafeString | str:
        return web_link(deployment.url, pgettext("verb", "open"))


@admin.register(LogTraffic)
class LogTrafficAdmin(DataAdmin):
    list_display = ("hour", "service", "source", "events", "errors", "share_of_errors")
    list_filter = (SERVICE,)
    fetched = ("service",)
    fields = ("hour", "service", "source", "segment", "events", "errors", "share_of_errors", "by_minute", "run_id", "page_id")
    ordering = ("-id",)  # this table has no index by time alone; rows are written in the order of time

    @admin.display(description=gettext_lazy("errors in the worst minute"))
    def share_of_errors(self, traffic: LogTraffic) -> str:
        return display.share(traffic.worst_share / 100)

    @admin.display(description=gettext_lazy("by minute"))
    def by_minute(self, traffic: LogTraffic) -> SafeString | str:
        counts = sorted(traffic.minutes.items(), key=lambda item: int(item[0]))
        return structured([{_("minute"): int(minute), _("events"): events, _("errors"): errors} for minute, (events, errors) in counts])


@admin.register(WorkflowRun)
class WorkflowRunAdmin(FactAdmin):
    list_display = ("run", "service", "repository", "result", "event", "branch", "created_at", "on_github")
    list_filter = (SERVICE, "created_at")
    ordering = ("-created_at",)
    search_fields = ("=external_id", "sha__startswith")
    search_help_text = gettext_lazy("Its id, or the beginning of its commit")

    @admin.display(description=gettext_lazy("workflow run"))
    def run(self, run: WorkflowRun) -> SafeString | str:
        return clipped(str(run), LONGEST_TITLE)

    @admin.display(description=gettext_lazy("result"))
    def result(self, run: WorkflowRun) -> SafeString | str:
        word = run.conclusion or run.status
        return badges(badge(CONCLUSIONS.get(run.conclusion, "idle" if run.conclusion else "info"), word.replace("_", " ")), gone(run))


@admin.register(Change)
class ChangeAdmin(FactAdmin):
    list_display = ("short_number", "service", "repository", "short_title", "status", "author", "merged_at", "on_github")
    list_filter = (SERVICE, "merged_at")
    ordering = ("-merged_at",)
    search_fields = ("=number", "=author", "merge_sha__startswith", "head_sha__startswith")
    search_help_text = gettext_lazy("Its number, its author, or the beginning of its commit")
    left_out = ("node_id",)

    @admin.display(description=gettext_lazy("change"))
    def short_number(self, change: Change) -> str:
        return f"#{change.number}"

    @admin.display(description=gettext_lazy("state"))
    def status(self, change: Change) -> SafeString | str:
        state = badge("ok", _("merged")) if change.merged_at else badge("idle" if change.state == "closed" else "info", change.state)
        return badges(state, badge("idle", _("draft")) if change.is_draft and not change.merged_at else "", gone(change))

    def view_on_site(self, change: Change) -> str | None:
        return page_address("dashboard:change", change.service.name, change.repository_id, change.number) if change.merged_at else None


@admin.register(Issue)
class IssueAdmin(FactAdmin):
    list_display = ("short_number", "service", "repository", "short_title", "status", "created_at", "closed_at", "on_github")
    list_filter = (SERVICE, "created_at")
    ordering = ("-created_at",)
    search_fields = ("=number", "=author")
    search_help_text = gettext_lazy("Its number or its author")

    @admin.display(description=gettext_lazy("issue"))
    def short_number(self, issue: Issue) -> str:
        return f"#{issue.number}"

    @admin.display(description=gettext_lazy("state"))
    def status(self, issue: Issue) -> SafeString | str:
        return badges(badge("idle" if issue.closed_at else "info", issue.state, issue.state_reason.replace("_", " ")), gone(issue))


@admin.register(Release)
class ReleaseAdmin(FactAdmin):
    list_display = ("tag", "service", "repository", "status", "sha", "published", "on_github")
    list_filter = (SERVICE, "created_at")
    ordering = ("-created_at",)
    search_fields = ("tag__startswith", "sha__startswith")
    search_help_text = gettext_lazy("The beginning of its tag or commit")

    @admin.display(description=gettext_lazy("state"))
    def status(self, release: Release) -> SafeString | str:
        if release.is_draft:
            return badges(badge("idle", _("draft")), gone(release))
        return badges(badge("ok", _("published")), badge("info", _("prerelease")) if release.is_prerelease else "", gone(release))

    @admin.display(description=gettext_lazy("published"))
    def published(self, release: Release) -> SafeString | str:
        return instant(release.published_at)
