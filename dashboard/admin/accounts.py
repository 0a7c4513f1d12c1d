"""The admin's pages of user accounts, groups and attempts to log in."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from dashboard.access import audit
from dashboard.admin.rows import DataAdmin, RarelyUsed, SafeList
from dashboard.admin.values import badge, badges, instant
from dashboard.templatetags.display import UNKNOWN
from dora_metrics.models import LoginAttempts

admin.site.unregister((User, Group))


@admin.register(User)
class AuditedUserAdmin(SafeList, UserAdmin):
    """The page of user accounts.

    An account with entries in the audit log (Django's LogEntry) cannot be deleted, because Django would delete the entries, too.
    """

    list_display: Any = ("username", "full_name", "email", "memberships", "rights", "last_seen")
    list_filter: ClassVar[Any] = ("is_active", "is_staff", "is_superuser", "groups")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description=gettext_lazy("name"))
    def full_name(self, user: User) -> str:
        return user.get_full_name() or UNKNOWN

    @admin.display(description=gettext_lazy("groups"))
    def memberships(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all()) or UNKNOWN

    @admin.display(description=gettext_lazy("rights"))
    def rights(self, user: User) -> SafeString | str:
        if not user.is_active:
            return badge("idle", _("inactive"))
        return badges(
            badge("warn", _("superuser"), _("May do everything.")) if user.is_superuser else "",
            badge("info", _("staff"), _("May open the admin.")) if user.is_staff else "",
        )

    @admin.display(description=gettext_lazy("last login"), ordering="last_login")
    def last_seen(self, user: User) -> SafeString | str:
        return instant(user.last_login)

    def get_deleted_objects(self, objs: Sequence[Any] | QuerySet[Any], request: HttpRequest) -> tuple[list[Any], dict[Any, int], set[Any], list[Any]]:
        shown, counts, needed, protected = super().get_deleted_objects(objs, request)
        acted = LogEntry.objects.filter(user__in=list(objs)).values_list("user__username", flat=True).distinct().order_by("user__username")
        needed.discard(LogEntry._meta.verbose_name)  # nobody may delete them; the reason is given below
        return shown, counts, needed, [*protected, *(f"the audit rows of {name}: make the account inactive instead" for name in acted)]


@admin.register(Group)
class SafeGroupAdmin(SafeList, GroupAdmin):
    """Django's page of groups."""


@admin.register(LoginAttempts)
class LoginAttemptsAdmin(RarelyUsed, DataAdmin):
    """Attempts to log in, which an administrator may forget, so that people can log in again."""

    list_display = ("name", "address", "kind", "failures", "failed_at", "succeeded_at")
    list_filter = ("kind",)
    search_fields = ("name", "address")
    actions = ("unlock",)

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("dora_metrics.change_loginattempts")

    @admin.action(description=gettext_lazy("Unlock: forget the failures"), permissions=["unlock"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[LoginAttempts]) -> None:
        for row in queryset:
            audit(request, row, "unlocked")
        count = queryset.update(failures=0, failed_at=None)
        messages.success(request, ngettext("%(count)d row is unlocked", "%(count)d rows are unlocked", count) % {"count": count})
