"""The admin's pages of beat's schedule. Kinds of schedules that nobody uses are left out."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy
from django_celery_beat.admin import ClockedScheduleAdmin, CrontabScheduleAdmin, IntervalScheduleAdmin, PeriodicTaskAdmin, SolarScheduleAdmin
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from dashboard.admin.rows import RarelyUsed, ReadableAdmin
from dashboard.admin.services import on_or_off
from dashboard.admin.values import instant
from dashboard.templatetags.display import UNKNOWN
from etl_tasks import pipeline

admin.site.unregister((PeriodicTask, CrontabSchedule, IntervalSchedule, SolarSchedule, ClockedSchedule))
RARE = {"solar": SolarSchedule, "clocked": ClockedSchedule}


def in_words(schedule: Model) -> str:
    """Return the schedule in words, if the library can; otherwise as it was written."""
    try:
        return str(getattr(schedule, "human_readable", schedule))
    except Exception:  # noqa: BLE001  the library that describes crontabs raises various errors for those that it does not know
        return str(schedule)


@admin.register(PeriodicTask)
class ScheduledTaskAdmin(ReadableAdmin, PeriodicTaskAdmin):
    date_hierarchy = None
    list_display = ("name", "task", "schedule", "state", "last_run")
    list_filter: ClassVar[Any] = ("enabled",)
    sortable = ("name",)
    fetched = ("interval", "crontab", "solar", "clocked")
    change_form_template = None  # the library's has an inline script

    def get_queryset(self, request: HttpRequest) -> QuerySet[PeriodicTask]:
        return admin.ModelAdmin.get_queryset(self, request).prefetch_related(*self.fetched)

    def sections(self, request: HttpRequest, obj: Any) -> Any:
        """Leave out the kinds of schedules of which there are none."""
        unused = {name for name, model in RARE.items() if not (getattr(obj, f"{name}_id", None) or model.objects.exists())}
        found = super().sections(request, obj)
        return [(title, {**options, "fields": [name for name in options["fields"] if name not in unused]}) for title, options in found]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Not the library's, which describes every crontab for its script.
        return admin.ModelAdmin.changeform_view(self, request, object_id, form_url, extra_context)

    @admin.display(description=gettext_lazy("schedule"))
    def schedule(self, entry: PeriodicTask) -> str:
        chosen = entry.crontab or entry.interval or entry.solar or entry.clocked
        return in_words(chosen) if chosen else UNKNOWN

    @admin.display(description=gettext_lazy("in words"))
    def crontab_translation(self, entry: PeriodicTask) -> str:
        return self.schedule(entry)

    @admin.display(description=gettext_lazy("state"))
    def state(self, entry: PeriodicTask) -> SafeString:
        return on_or_off(entry.enabled)

    @admin.display(description=gettext_lazy("last sent"))
    def last_run(self, entry: PeriodicTask) -> SafeString | str:
        return instant(entry.last_run_at)

    @admin.action(description=gettext_lazy("Run selected tasks"), permissions=["change"])
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        try:
            pipeline.check_broker()
        except pipeline.BrokerAway as exc:
            messages.error(request, str(exc))
        else:
            super().run_tasks(request, queryset)


@admin.register(CrontabSchedule)
class CrontabAdmin(ReadableAdmin, CrontabScheduleAdmin):
    list_display = ("description", "expression")
    fields = ("description", "minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone")
    readonly_fields = ("description",)

    @admin.display(description=gettext_lazy("in words"))
    def description(self, schedule: CrontabSchedule) -> str:
        return in_words(schedule) if schedule.pk else UNKNOWN

    @admin.display(description=gettext_lazy("minute, hour, day, month, weekday"))
    def expression(self, schedule: CrontabSchedule) -> str:
        return " ".join([schedule.minute, schedule.hour, schedule.day_of_month, schedule.month_of_year, schedule.day_of_week])


@admin.register(IntervalSchedule)
class IntervalAdmin(ReadableAdmin, IntervalScheduleAdmin):
    pass


@admin.register(SolarSchedule)
class SolarAdmin(RarelyUsed, SolarScheduleAdmin):
    pass


@admin.register(ClockedSchedule)
class ClockedAdmin(RarelyUsed, ClockedScheduleAdmin):
    pass
