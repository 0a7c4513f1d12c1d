"""The deletion of services and sources in the admin. A worker deletes these objects, not the web process."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from dashboard.admin.rows import ReadableAdmin
from etl_tasks import deletion, pipeline
from etl_tasks.deletion import Target
from log_store.store import LogStoreUnavailable


class DeletedByWorker(ReadableAdmin):
    """The base of the pages of sources and services.

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
            shown += [f"{target._meta.verbose_name} {target}", [f"{count} {name}" for name, count in counts.items()]]
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
        sentence = _("%(kind)s %(name)s is being deleted by a worker; it is deleted when this list no longer shows it.")
        messages.info(request, sentence % {"kind": self.opts.verbose_name, "name": obj_display})
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))
