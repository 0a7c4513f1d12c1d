"""The admin's pages of the ledger: runs, staged pages, cursors, faults, results of tasks, and the audit log. Nobody can change them here."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext
from django_celery_results.admin import GroupResultAdmin, TaskResultAdmin
from django_celery_results.models import GroupResult, TaskResult

from dashboard.admin.paging import RelatedFilter
from dashboard.admin.rows import DataAdmin, RarelyUsed, page_address
from dashboard.admin.values import admin_link, badge, badges, clipped, duration, instant, row_link, scalar, structured, table, text
from dashboard.templatetags import display
from dashboard.templatetags.display import UNKNOWN
from etl_tasks.models import Cursor, ETLRun, Fault, StagedPage
from etl_tasks.selectors.list_columns import letters_of_runs

SOURCE = ("source", RelatedFilter)
LONGEST_ERROR = 90
MOST_STREAMS = 200
EXCERPT_BYTES = 4000


@admin.register(ETLRun)
class ETLRunAdmin(DataAdmin):
    list_display = ("number", "source", "service", "night", "state", "records", "letters", "took", "short_error")
    list_filter = ("status", "trigger", SOURCE, "created_at")
    ordering = ("-id",)
    fetched = ("source__service",)
    search_fields = ("=id", "pipeline__startswith")
    search_help_text = gettext_lazy("Its number, or the beginning of its source's name")
    fieldsets = (
        (None, {"fields": ("state", "source", "service", "night", "trigger", "started_at", "completed_at", "took", "full_error")}),
        (
            gettext_lazy("Records"),
            {"fields": ("extracted", "loaded", "skipped", "dead_lettered", "waiting", "unparsed", "letters", "pages")},
        ),
        (gettext_lazy("Stages"), {"fields": ("stages", "streams")}),
        (
            gettext_lazy("For the workers"),
            {"fields": ("options", "attempt", "owner", "lease_until", "steps", "resends", "tasks", "created_at"), "classes": ("collapse",)},
        ),
    )

    def prepare(self, rows: Sequence[ETLRun]) -> None:
        counts = letters_of_runs([run.pk for run in rows])
        for run in rows:
            run.letter_count = counts.get(run.pk, 0)  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("run"))
    def number(self, run: ETLRun) -> str:
        return str(run.pk)

    @admin.display(description=gettext_lazy("service"))
    def service(self, run: ETLRun) -> SafeString | str:
        return row_link(run.source.service)

    @admin.display(description=gettext_lazy("night or start"))
    def night(self, run: ETLRun) -> SafeString | str:
        if run.logical_date:
            return _("night of %(date)s") % {"date": display.day(run.logical_date)}
        return format_html("{}<br>{}", instant(run.created_at), display.started_by(run))

    @admin.display(description=gettext_lazy("status"))
    def state(self, run: ETLRun) -> SafeString | str:
        where = _("in %(stage)s") % {"stage": run.get_stage_display()} if run.status not in ETLRun.GOOD else ""
        quiet = badge("idle", _("quiet"), _("It ran between two nights and found nothing new.")) if run.is_quiet else ""
        return badges(display.status_badge(run), where, quiet)

    @admin.display(description=gettext_lazy("records"))
    def records(self, run: ETLRun) -> str:
        return _("%(extracted)s read, %(loaded)s loaded") % {"extracted": display.number(run.extracted), "loaded": display.number(run.loaded)}

    @admin.display(description=gettext_lazy("dead letters"))
    def letters(self, run: ETLRun) -> SafeString | str:
        if not hasattr(run, "letter_count"):
            self.prepare([run])
        count: int = run.letter_count  # type: ignore[attr-defined]
        if not count:
            return UNKNOWN
        words = ngettext("%(count)s letter", "%(count)s letters", count) % {"count": display.number(count)}
        return admin_link("etl_tasks_deadletter_changelist", words, run__id__exact=run.pk, state="all")

    @admin.display(description=gettext_lazy("staged pages"))
    def pages(self, run: ETLRun) -> SafeString | str:
        count = run.pages.count()
        words = ngettext("%(count)s page", "%(count)s pages", count) % {"count": display.number(count)}
        return admin_link("etl_tasks_stagedpage_changelist", words, run__id__exact=run.pk) if count else UNKNOWN

    @admin.display(description=gettext_lazy("took"))
    def took(self, run: ETLRun) -> SafeString | str:
        return duration(run.duration_seconds)

    @admin.display(description=gettext_lazy("error"))
    def short_error(self, run: ETLRun) -> SafeString | str:
        return clipped(run.error, LONGEST_ERROR)

    @admin.display(description=gettext_lazy("error"))
    def full_error(self, run: ETLRun) -> SafeString | str:
        return text(run.error) or UNKNOWN

    @admin.display(description=gettext_lazy("stages"))
    def stages(self, run: ETLRun) -> SafeString | str:
        head = _head(_("stage"), _("began"), _("ended"), _("took"))
        rows = [
            (label, instant(times.began_at, is_short=False), instant(times.ended_at, is_short=False), duration(times.seconds))
            for label, times in zip(ETLRun.Stage.labels, run.stage_times, strict=True)
        ]
        return table(head, rows)

    @admin.display(description=gettext_lazy("streams"))
    def streams(self, run: ETLRun) -> SafeString | str:
        progress = list(run.progress.order_by("stream")[: MOST_STREAMS + 1])
        if not progress:
            return UNKNOWN
        head = _head(_("stream"), _("read"), _("the cursor moves to"))
        rows = [
            (one.stream, badge("ok", pgettext("how much of a stream", "all")) if one.is_done else badge("info", _("in part")), structured(one.cursor))
            for one in progress
        ]
        return table(head, rows[:MOST_STREAMS], more=len(rows) - MOST_STREAMS)

    @admin.display(description=gettext_lazy("tasks"))
    def tasks(self, run: ETLRun) -> SafeString | str:
        rows = [(stage, admin_link("django_celery_results_taskresult_changelist", task, task_id=task)) for stage, task in run.task_ids.items()]
        return format_html_join("", "{}: {}<br>", rows) or UNKNOWN

    def view_on_site(self, run: ETLRun) -> str | None:
        return page_address("dashboard:run", run.pk)


def _head(*words: str) -> SafeString:
    return format_html_join("", '<th scope="col">{}</th>', ((word,) for word in words))


@admin.register(StagedPage)
class StagedPageAdmin(DataAdmin):
    list_display = ("row", "run", "number", "stream", "record_count", "fetched_at", "progress")
    list_filter: ClassVar[Any] = ()
    ordering = ("-id",)
    fetched = ("run",)
    search_fields = ("=run__id",)
    search_help_text = gettext_lazy("The number of its run")
    fields = ("run", "number", "stream", "link", "record_count", "fetched_at", "progress", "context", "sha256", "excerpt")

    def get_queryset(self, request: HttpRequest) -> QuerySet[StagedPage]:
        return super().get_queryset(request).defer("body")

    @admin.display(description=gettext_lazy("staged page"))
    def row(self, page: StagedPage) -> str:
        return str(page.pk)

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, page: StagedPage) -> SafeString | str:
        return badge("ok", _("transformed")) if page.is_clean else badge("info", _("to be transformed"))

    @admin.display(description=gettext_lazy("address"))
    def link(self, page: StagedPage) -> SafeString | str:
        return scalar(page.url)

    @admin.display(description=gettext_lazy("content (beginning)"))
    def excerpt(self, page: StagedPage) -> SafeString | str:
        return format_html("<pre>{}</pre>", page.content[:EXCERPT_BYTES].decode("utf-8", "replace"))

    def view_on_site(self, page: StagedPage) -> str | None:
        return page_address("dashboard:staged_page", page.pk)


@admin.register(Cursor)
class CursorAdmin(DataAdmin):
    list_display = ("source", "stream", "position", "moved_at")
    list_display_links = ("stream",)
    list_filter = (SOURCE,)
    fetched = ("source",)
    ordering = ("source_id", "stream")


@admin.register(Fault)
class FaultAdmin(DataAdmin):
    list_display = ("name", "began_at", "error")


@admin.register(LogEntry)
class AuditAdmin(DataAdmin):
    """The audit log: who has changed or done what, in the admin and on the pages."""

    list_display = ("action_time", "user", "act", "subject", "what")
    list_filter: ClassVar[Any] = ("action_flag",)
    ordering = ("-id",)
    fetched = ("user", "content_type")
    fields = ("action_time", "user", "act", "subject", "what")

    @admin.display(description=gettext_lazy("action"))
    def act(self, entry: LogEntry) -> str:
        return str(entry.get_action_flag_display())

    @admin.display(description=gettext_lazy("object"))
    def subject(self, entry: LogEntry) -> SafeString | str:
        kind = entry.content_type.name if entry.content_type else ""
        address = None if entry.is_deletion() else entry.get_admin_url()
        words = clipped(f"{kind} {entry.object_repr}".strip())
        return format_html('<a href="{}">{}</a>', address, words) if address else words

    @admin.display(description=gettext_lazy("what"))
    def what(self, entry: LogEntry) -> SafeString | str:
        return clipped(entry.get_change_message())


admin.site.unregister((TaskResult, GroupResult))
STATES = {"SUCCESS": "ok", "FAILURE": "bad", "REVOKED": "idle", "RETRY": "warn", "POSTPONED": "warn", "SUPERSEDED": "idle"}


@admin.register(TaskResult)
class ResultAdmin(DataAdmin, TaskResultAdmin):
    date_hierarchy = None
    list_display = ("date_done", "task_name", "state", "arguments", "periodic_task_name", "worker")
    list_filter: ClassVar[Any] = ("date_done",)
    ordering = ("-date_done",)
    search_fields = ("=task_id", "=task_name", "=status")
    search_help_text = gettext_lazy("The id, the name or the state of a task, such as FAILURE")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TaskResult]:
        return super().get_queryset(request).defer("result", "traceback", "meta")

    @admin.display(description=gettext_lazy("state"))
    def state(self, result: TaskResult) -> SafeString:
        return badge(STATES.get(result.status, "info"), result.status.lower())

    @admin.display(description=gettext_lazy("arguments"))
    def arguments(self, result: TaskResult) -> SafeString | str:
        return clipped(f"{result.task_args or ''} {result.task_kwargs or ''}", LONGEST_ERROR)


@admin.register(GroupResult)
class GroupedResultAdmin(RarelyUsed, DataAdmin, GroupResultAdmin):
    date_hierarchy = None
    list_display = ("group_id", "date_done")
    list_filter: ClassVar[Any] = ("date_done",)
    ordering = ("-date_done",)
