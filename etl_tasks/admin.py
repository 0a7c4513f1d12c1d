"""Admin pages for operators: sources, services, user accounts, and what the pipeline writes about its runs.

Runs, staged pages, cursors, faults and dead letters are read-only here, because only the pipeline writes these rows. The one exception:
admin actions replay or discard dead letters, which stand for data that could not be processed.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Field as DbField
from django.db.models import QuerySet
from django.forms import ChoiceField, Field
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from dora_metrics.admin import ReadOnly, ServiceAdmin
from dora_metrics.models import Service
from etl_tasks import dead_letters, deletion, pipeline, replay
from etl_tasks.deletion import Target
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Fault, Source, StagedPage
from etl_tasks.sources.registry import kinds_with_log_events, labels
from log_store.store import LogStoreUnavailable


class DeletedByWorker(admin.ModelAdmin):
    """The base of the pages of sources and services. A worker deletes these objects, not the web process.

    One object may have millions of rows and log events, which cannot be deleted within a web request.
    """

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the actions without Django's `delete_selected`.

        Objects are deleted one at a time, each from a page that shows what will be deleted with the object.
        """
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def get_deleted_objects(
        self, objs: Sequence[Target] | QuerySet[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Return what Django's method returns, but with the number of rows of each kind in place of the rows.

        The user needs the permission to delete the object, but not the permission to delete what was collected for it.
        """
        shown: list[Any] = []
        totals: Counter[str] = Counter()
        protected: list[str] = []
        for target in objs:
            try:
                counts = deletion.count_contents(target)
            except LogStoreUnavailable as exc:
                protected.append(f"{target}: {exc}")
                continue
            shown += [f"{target._meta.verbose_name} {target}", deletion.in_words(counts)]
            totals.update(counts)
        return shown, dict(totals), set(), protected

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except deletion.Refused as exc:
            messages.error(request, str(exc))
            return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[object_id]))

    def delete_model(self, request: HttpRequest, obj: Target) -> None:
        deletion.begin(obj)
        transaction.on_commit(pipeline.send_deletion, robust=True)  # if sending fails, the sweeper sends the message later

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        messages.info(
            request, f"{self.opts.verbose_name} {obj_display} is being deleted by a worker; it is deleted when this list no longer shows it."
        )
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))


admin.site.unregister((Service, User))


@admin.register(Service)
class ServiceDeletionAdmin(DeletedByWorker, ServiceAdmin):
    """The service page of dora_metrics, with a deletion that includes sources, runs and log events.

    dora_metrics cannot delete these itself, because it may import neither etl_tasks nor log_store.
    """

    list_display = (*ServiceAdmin.list_display, "deletion_began_at")


@admin.register(User)
class AuditedUserAdmin(UserAdmin):
    """The page of user accounts.

    An account with entries in the audit log (Django's LogEntry) cannot be deleted, because Django would delete the entries, too.
    """

    def get_deleted_objects(self, objs: Sequence[Any] | QuerySet[Any], request: HttpRequest) -> tuple[list[Any], dict[Any, int], set[Any], list[Any]]:
        shown, counts, needed, protected = super().get_deleted_objects(objs, request)
        acted = LogEntry.objects.filter(user__in=list(objs)).values_list("user__username", flat=True).distinct().order_by("user__username")
        return shown, counts, needed, [*protected, *(f"the audit rows of {name}: make the account inactive instead" for name in acted)]


@admin.register(Source)
class SourceAdmin(DeletedByWorker):
    list_display = (
        "name",
        "service",
        "kind",
        "repository",
        "path",
        "log_format",
        "every_minutes",
        "is_archived",
        "is_enabled",
        "deletion_began_at",
        "events",
    )
    readonly_fields = ("is_archived", "is_private")
    list_filter = ("kind", "is_enabled")
    list_select_related = ("service",)
    search_fields = ("name", "repository")
    actions = ("run_now", "test_connection")

    def formfield_for_dbfield(self, db_field: "DbField[Any, Any]", request: HttpRequest, **kwargs: Any) -> Field | None:
        """Offer the kinds that have an adapter as the choices of `kind`.

        The model itself has no choices, so that no migration is needed for a new kind.
        """
        if db_field.name == "kind":
            return ChoiceField(choices=[("", "---------"), *((kind, f"{kind}: {label}") for kind, label in labels().items())])
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    @admin.display(description="log events")
    def events(self, source: Source) -> str:
        if source.kind not in kinds_with_log_events():
            return "-"
        return format_html('<a href="{}?{}">search</a>', settings.LOG_PAGE_URL, urlencode({"source": source.name}))

    @admin.action(description="Test connection", permissions=["change"])
    def test_connection(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        sources = list(queryset)
        for source, result in zip(sources, pipeline.check_sources(sources), strict=True):
            add_message = messages.success if result.can_be_read else messages.error
            add_message(request, f"{source}: {' '.join(result.sentences)}")

    @admin.action(description="Run now", permissions=["change"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        for source in queryset:
            try:
                run = pipeline.run_source(source.name, trigger=ETLRun.Trigger.ADMIN)
            except pipeline.SourceBusy as exc:
                messages.warning(request, str(exc))
            else:
                messages.success(request, f"{source}: run {run.pk} is queued")


@admin.register(ETLRun)
class ETLRunAdmin(ReadOnly):
    list_display = (
        "id",
        "pipeline",
        "logical_date",
        "trigger",
        "status",
        "stage",
        "extracted",
        "loaded",
        "skipped",
        "dead_lettered",
        "unparsed",
        "started_at",
        "duration_seconds",
        "short_error",
    )
    list_filter = ("status", "pipeline", "trigger")
    ordering = ("-id",)

    @admin.display(description="error")
    def short_error(self, run: ETLRun) -> str:
        return run.error[:100]


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnly):
    list_display = ("id", "timestamp", "state", "source", "stage", "kind", "attempts", "short_error")
    list_filter = ("state", "stage", "kind", "source")
    list_select_related = ("source",)
    ordering = ("-id",)
    actions = ("replay", "discard")

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("etl_tasks.replay_deadletter")

    @admin.display(description="error")
    def short_error(self, letter: DeadLetter) -> str:
        return letter.error[:140]

    @admin.action(description="Replay from the staged copy", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        for letter in queryset.select_related("source__service", "run", "page"):
            try:
                if letter.kind == DeadLetter.Kind.STAGE:
                    self.resend_stage(request, letter)
                    continue
                replay.replay_letter(letter, by=f"admin:{request.user}")
            except dead_letters.NotOpen as exc:
                messages.error(request, str(exc))
            except replay.ReplayFailed as exc:
                messages.error(request, replay.describe_failure(letter, exc))
            else:
                self.log_change(request, letter, "replayed")
                messages.success(request, f"letter {letter.pk}: replayed")

    def resend_stage(self, request: HttpRequest, letter: DeadLetter) -> None:
        """Send the failed stage to a worker, because the web process may lack the credentials and the log files.

        Raises ReplayFailed, NotOpen.
        """
        replay.reopen_run(letter)
        transaction.on_commit(partial(pipeline.send_all, [letter.run]))
        self.log_change(request, letter, "sent to a worker again")
        messages.success(
            request, f"letter {letter.pk}: run {letter.run_id} is queued from {letter.run.stage} on; the letter is closed when the run succeeds"
        )

    @admin.action(description="Discard", permissions=["replay"])
    def discard(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        for letter in queryset:
            try:
                dead_letters.discard(letter, by=f"admin:{request.user}")
            except dead_letters.NotOpen as exc:
                messages.error(request, str(exc))
            else:
                self.log_change(request, letter, "discarded")
                messages.success(request, f"letter {letter.pk}: discarded")


@admin.register(Fault)
class FaultAdmin(ReadOnly):
    list_display = ("name", "began_at", "error")


@admin.register(Cursor)
class CursorAdmin(ReadOnly):
    list_display = ("source", "stream", "position", "moved_at")
    list_filter = ("source",)
    list_select_related = ("source",)


@admin.register(StagedPage)
class StagedPageAdmin(ReadOnly):
    list_display = ("id", "run", "number", "stream", "record_count", "fetched_at", "is_clean")
    list_select_related = ("run",)
    exclude = ("body",)
    readonly_fields = ("excerpt",)
    ordering = ("-id",)

    @admin.display(description="content (beginning)")
    def excerpt(self, page: StagedPage) -> str:
        return page.content[:4000].decode("utf-8", "replace")
