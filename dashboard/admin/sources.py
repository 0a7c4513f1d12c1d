"""The admin's page of sources. The form shows the fields of the source's kind only."""

from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import Field, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.admin.deletion import DeletedByWorker
from dashboard.admin.fields import ObjectField
from dashboard.admin.paging import ChoiceFilter, RelatedFilter
from dashboard.admin.services import on_or_off
from dashboard.admin.values import badge, badges, clipped, row_link, web_link
from dashboard.templatetags import display
from dashboard.templatetags.display import UNKNOWN
from etl_tasks import pipeline
from etl_tasks.intervals import describe_interval
from etl_tasks.models import ETLRun, Source
from etl_tasks.selectors.list_columns import latest_run_of_each
from etl_tasks.sources.registry import fields_of_kind, kinds_with_log_events, labels

GENERAL = ("name", "service", "kind", "is_enabled", "every_minutes")
GROUPS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (gettext_lazy("GitHub"), ("repository", "credential", "visibility")),
    (gettext_lazy("Files"), ("path", "host")),
    (gettext_lazy("Log lines"), ("log_format", "log_pattern", "log_time_zone", "log_fields", "is_strict", "deploy_pattern")),
    (gettext_lazy("Settings of the kind"), ("options",)),
)
LONGEST_PLACE = 60


class SourceForm(forms.ModelForm):
    log_fields = ObjectField(help_text=Source._meta.get_field("log_fields").help_text)
    options = ObjectField(help_text=Source._meta.get_field("options").help_text)

    def add_error(self, field: str | None, error: Any) -> None:
        """Show the error of a field that the form does not have, because another kind uses it, above the form."""
        if field is None and hasattr(error, "error_dict"):
            for name, errors in error.error_dict.items():
                shown = None if name == NON_FIELD_ERRORS or name not in self.fields else name
                super().add_error(shown, errors if shown or name == NON_FIELD_ERRORS else self._named(name, errors))
            return
        super().add_error(field, error)

    def _named(self, name: str, errors: list[ValidationError]) -> ValidationError:
        label = cast("Field[Any, Any]", Source._meta.get_field(name)).verbose_name
        return ValidationError([f"{label}: {message}" for error in errors for message in error.messages])


class KindFilter(ChoiceFilter):
    title, parameter_name = gettext_lazy("kind"), "kind"

    @property
    def labels(self) -> dict[str, Any]:  # type: ignore[override]
        return labels()


@admin.register(Source)
class SourceAdmin(DeletedByWorker):
    form = SourceForm
    list_display = ("name", "service", "kind", "reads", "runs", "state", "last_run", "events")
    list_filter = (KindFilter, "is_enabled", ("service", RelatedFilter))
    sortable = ("name",)
    fetched = ("service",)
    search_fields = ("name", "repository", "path")
    autocomplete_fields = ("service",)
    readonly_fields = ("visibility",)
    actions = ("run_now", "test_connection")

    # --- the list -----------------------------------------------------------------------------------------------------

    def prepare(self, rows: Sequence[Source]) -> None:
        runs, log_kinds = latest_run_of_each([row.pk for row in rows]), kinds_with_log_events()
        for row in rows:
            row.latest_run = runs.get(row.pk)  # type: ignore[attr-defined]
            row.has_log_events = row.kind in log_kinds  # type: ignore[attr-defined]

    @admin.display(description=gettext_lazy("reads"))
    def reads(self, source: Source) -> SafeString | str:
        place = source.repository or source.path
        return clipped(f"{source.host}: {place}" if source.host else place, LONGEST_PLACE) if place else UNKNOWN

    @admin.display(description=gettext_lazy("runs"))
    def runs(self, source: Source) -> str:
        return describe_interval(source.every_minutes)

    @admin.display(description=gettext_lazy("state"))
    def state(self, source: Source) -> SafeString | str:
        if source.deletion_began_at:
            return badge("bad", _("being deleted"))
        return badges(on_or_off(source.is_enabled), badge("warn", _("archived on GitHub")) if source.is_archived else "")

    @admin.display(description=gettext_lazy("latest run"))
    def last_run(self, source: Source) -> SafeString | str:
        run: ETLRun | None = source.latest_run  # type: ignore[attr-defined]
        return row_link(run, display.status_badge(run)) if run else UNKNOWN

    @admin.display(description=gettext_lazy("log events"))
    def events(self, source: Source) -> SafeString | str:
        if not source.has_log_events:  # type: ignore[attr-defined]
            return UNKNOWN
        return web_link(f"{settings.LOG_PAGE_URL}?{urlencode({'source': source.name})}", _("search"))

    # --- the form -----------------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("on GitHub"))
    def visibility(self, source: Source) -> SafeString | str:
        known = {True: _("private"), False: _("public"), None: _("not known before the first collection")}
        return badges(known[source.is_private], badge("warn", _("archived")) if source.is_archived else "")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Ask for the kind first, because the kind decides which fields the form has."""
        if request.method == "POST" or request.GET.get("kind") in labels() or not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)
        kinds = []
        for kind, label in labels().items():
            query = request.GET.copy()
            query["kind"] = kind
            kinds.append((kind, label, query.urlencode()))
        context = {**self.admin_site.each_context(request), "title": _("Add source"), "kinds": kinds, "opts": self.opts, "media": self.media}
        return TemplateResponse(request, "admin/choose_kind.html", {**context, "is_popup": "_popup" in request.GET})

    def sections(self, request: HttpRequest, obj: Source | None) -> Any:
        shown = self._fields(request, obj)
        groups = [(title, {"fields": chosen}) for title, names in GROUPS if (chosen := [name for name in names if name in shown])]
        return [(None, {"fields": GENERAL}), *groups]

    def _fields(self, request: HttpRequest, obj: Source | None) -> set[str]:
        """Return the columns that the source's kind reads, and the others in which the source has a value."""
        specific = {name for _title, names in GROUPS for name in names}
        of_kind = fields_of_kind(_kind(request, obj))
        if of_kind is None:
            return specific
        if obj is None:
            return specific & of_kind
        empty = Source()
        filled = {name for name in specific - {"visibility"} if getattr(obj, name) != getattr(empty, name)}
        return specific & (of_kind | filled | ({"visibility"} if "repository" in of_kind else set()))

    def get_form(self, request: HttpRequest, obj: Source | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form, in which the kind is fixed as soon as it has been chosen."""
        form = super().get_form(request, obj, change=change, **kwargs)
        known = labels()
        chosen = _kind(request, obj)
        offered = {chosen: known.get(chosen, chosen)} if obj or chosen in known else {"": "---------"} | known
        if "kind" in form.base_fields:
            form.base_fields["kind"] = forms.ChoiceField(choices=[(kind, f"{kind}: {label}" if kind else label) for kind, label in offered.items()])
        return form

    # --- actions ------------------------------------------------------------------------------------------------------

    def has_start_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("etl_tasks.start_etlrun")

    @admin.action(description=gettext_lazy("Test connection"), permissions=["change"])
    def test_connection(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        sources = list(queryset)
        for source, result in zip(sources, pipeline.check_sources(sources), strict=True):
            add_message = messages.success if result.can_be_read else messages.error
            add_message(request, f"{source}: {' '.join(result.sentences)}")

    @admin.action(description=gettext_lazy("Run now"), permissions=["start"])
    def run_now(self, request: HttpRequest, queryset: QuerySet[Source]) -> None:
        try:
            pipeline.check_broker()
        except pipeline.BrokerAway as exc:
            messages.error(request, str(exc))
            return
        for source in queryset:
            try:
                run = pipeline.run_source(source.name, trigger=ETLRun.Trigger.ADMIN)
            except pipeline.SourceBusy as exc:
                messages.warning(request, str(exc))
            else:
                messages.success(request, _("%(source)s: run %(run)s is queued") % {"source": source, "run": run.pk})


def _kind(request: HttpRequest, obj: Source | None) -> str:
    """Return the kind of the source or, for a new one, the kind that was chosen."""
    return obj.kind if obj else request.POST.get("kind", "") or request.GET.get("kind", "")
