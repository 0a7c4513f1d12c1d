"""The admin's page of dead letters, where they can be replayed and discarded."""

import json
from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dashboard.admin.ledger import SOURCE
from dashboard.admin.rows import DataAdmin, page_address
from dashboard.admin.values import admin_link, clipped, page_link, pretty, row_link, text
from dashboard.templatetags import display
from dashboard.templatetags.display import UNKNOWN
from etl_tasks import dead_letters, replay
from etl_tasks.models import DeadLetter

LONGEST_ERROR = 120
ALL = "all"
MOST_REPLAYED, MOST_DISCARDED = 50, 500  # in one web request, which must not take long
MOST_SHOWN = 20


class StateFilter(admin.SimpleListFilter):
    """The state of a letter: open, unless another is chosen."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(state, display.STATUSES[state][2]) for state in (DeadLetter.State.REPLAYED, DeadLetter.State.DISCARDED)] + [(ALL, _("All"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first = {"query_string": changelist.get_query_string(remove=[self.parameter_name]), "display": _("open")}
        yield {**first, "selected": self.value() not in {value for value, _label in self.lookup_choices}}
        for value, label in self.lookup_choices:
            yield {
                "selected": self.value() == value,
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": label,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> QuerySet[DeadLetter]:
        chosen = self.value()
        # Letters that were chosen for an action may have been closed since the list was shown: the action then says by whom.
        is_for_chosen = request.method == "POST" and request.POST.get("select_across") != "1"
        if chosen == ALL or is_for_chosen:
            return queryset
        return queryset.filter(state=chosen if chosen in DeadLetter.State.values else DeadLetter.State.OPEN)


@admin.register(DeadLetter)
class DeadLetterAdmin(DataAdmin):
    list_display = ("letter", "timestamp", "status", "source", "stage", "kind", "attempts", "short_error", "from_run")
    list_filter = (StateFilter, "stage", "kind", SOURCE)
    fetched = ("source",)
    ordering = ("-id",)
    search_fields = ("=id", "=run__id")
    search_help_text = gettext_lazy("Its number, or the number of its run")
    actions = ("replay", "discard")
    change_form_template = "admin/letter.html"
    fields = (
        *("status", "full_error", "source", "service", "from_run", "from_page", "stage", "kind", "stream", "record_index", "timestamp"),
        *("attempts", "resolved_at", "resolved_by", "record", "key"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        return super().get_queryset(request).defer("data")

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("etl_tasks.replay_deadletter")

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may_act = {"has_replay_permission": self.has_replay_permission(request)}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **may_act})

    # --- columns ------------------------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("letter"))
    def letter(self, letter: DeadLetter) -> str:
        return str(letter.pk)

    @admin.display(description=gettext_lazy("state"))
    def status(self, letter: DeadLetter) -> SafeString:
        return display.status_badge(letter.state)

    @admin.display(description=gettext_lazy("error"))
    def short_error(self, letter: DeadLetter) -> SafeString | str:
        return clipped(letter.error, LONGEST_ERROR)

    @admin.display(description=gettext_lazy("error"))
    def full_error(self, letter: DeadLetter) -> SafeString | str:
        return text(letter.error)

    @admin.display(description=gettext_lazy("run"))
    def from_run(self, letter: DeadLetter) -> SafeString | str:
        return admin_link("etl_tasks_etlrun_change", str(letter.run_id), letter.run_id)

    @admin.display(description=gettext_lazy("staged page"))
    def from_page(self, letter: DeadLetter) -> SafeString | str:
        return page_link(letter.page_id)

    @admin.display(description=gettext_lazy("service"))
    def service(self, letter: DeadLetter) -> SafeString | str:
        return row_link(letter.source.service)

    @admin.display(description=gettext_lazy("record"))
    def record(self, letter: DeadLetter) -> SafeString | str:
        if not letter.data:
            return UNKNOWN
        try:
            return pretty(json.loads(letter.data))
        except (ValueError, RecursionError):
            return text(letter.data)

    def view_on_site(self, letter: DeadLetter) -> str | None:
        return page_address("dashboard:letter", letter.pk)

    # --- actions ------------------------------------------------------------------------------------------------------

    @admin.action(description=gettext_lazy("Replay from the staged copy"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        letters = list(queryset.select_related("source__service", "run", "page")[: MOST_REPLAYED + 1])
        if self._are_too_many(request, letters, most=MOST_REPLAYED):
            return
        for letter in letters:
            try:
                if letter.kind == DeadLetter.Kind.STAGE:
                    replay.resend_stage(letter)
                else:
                    replay.replay_letter(letter, by=f"admin:{request.user}")
            except dead_letters.NotOpen as exc:
                messages.error(request, str(exc))
            except replay.ReplayFailed as exc:
                messages.error(request, replay.describe_failure(letter, exc))
            else:
                self._tell(request, letter)

    def _tell(self, request: HttpRequest, letter: DeadLetter) -> None:
        if letter.kind != DeadLetter.Kind.STAGE:
            self.log_change(request, letter, "replayed")
            messages.success(request, _("letter %(letter)s: replayed") % {"letter": letter.pk})
            return
        self.log_change(request, letter, "sent to a worker again")
        sentence = _("letter %(letter)s: run %(run)s is queued from %(stage)s on; the letter is closed when the run succeeds")
        messages.success(request, sentence % {"letter": letter.pk, "run": letter.run_id, "stage": letter.run.stage})

    @admin.action(description=gettext_lazy("Discard"), permissions=["replay"])
    def discard(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse | None:
        """Discard the letters once the user has confirmed it."""
        letters = list(queryset[: MOST_DISCARDED + 1])
        if self._are_too_many(request, letters, most=MOST_DISCARDED):
            return None
        if "confirmed" not in request.POST and any(letter.state == DeadLetter.State.OPEN for letter in letters):
            return self._ask(request, letters)
        discarded = []
        for letter in letters:
            try:
                dead_letters.discard(letter, by=f"admin:{request.user}")
            except dead_letters.NotOpen as exc:
                messages.error(request, str(exc))
            else:
                self.log_change(request, letter, "discarded")
                discarded.append(str(letter.pk))
        if discarded:
            sentence = ngettext("letter %(letters)s: discarded", "letters %(letters)s: discarded", len(discarded))
            messages.success(request, sentence % {"letters": ", ".join(discarded)})
        return None

    def _ask(self, request: HttpRequest, letters: list[DeadLetter]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Discard dead letters"),
            "letters": letters,
            "most_shown": MOST_SHOWN,
            "opts": self.opts,
            "media": self.media,
        }
        return TemplateResponse(request, "admin/discard_letters.html", context)

    def _are_too_many(self, request: HttpRequest, letters: list[DeadLetter], *, most: int) -> bool:
        if len(letters) <= most:
            return False
        messages.error(request, _("Choose at most %(most)s letters. The page of dead letters acts on all letters with one cause.") % {"most": most})
        return True
