"""The forms of the operations pages."""

from datetime import date, datetime
from typing import Any

from django import forms
from django.conf import settings
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from dashboard.templatetags.display import TRIGGERS, status_word
from dora_metrics.calculators.periods import local_date, start_of
from etl_tasks.models import ETLRun

EARLIEST_NIGHT = date(2000, 1, 1)


class RangeForm(forms.Form):
    """What a run that a person requests is to read. Dates are local dates of ETL_TIME_ZONE."""

    since = forms.DateField(
        label=_("From"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("Reads everything since this date again, even if it was collected before. Facts are not doubled."),
    )
    until = forms.DateField(
        label=_("Until, not included"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("Reads nothing from this date on, and leaves the cursors where they are: the next night goes on as if this run had not been."),
    )
    full = forms.BooleanField(
        label=_("Read everything again"),
        required=False,
        help_text=_("Reads as in the very first run, as if there were no cursors. This may take long, and uses GitHub's hourly budget."),
    )

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        since, until = values.get("since"), values.get("until")
        if since and until and until <= since:
            self.add_error("until", _("Choose a date after the first one."))
        if since and since > local_date(now(), settings.ETL_TIME_ZONE):
            self.add_error("since", _("Choose a date that is not in the future."))
        if not self.errors and not (since or until or values.get("full")):
            raise forms.ValidationError(_("Choose at least one of the three, or use “Run now” for what is new."))
        return values

    def options(self) -> dict[str, Any]:
        """Return the arguments of pipeline.run_source."""
        values = self.cleaned_data
        return {"since": _start(values["since"]), "until": _start(values["until"]), "is_full": values["full"]}


def _start(day: date | None) -> datetime | None:
    return start_of(day, settings.ETL_TIME_ZONE) if day else None


class RunFilter(forms.Form):
    """The filters of the list of runs, and the position of a page in it."""

    source = forms.CharField(label=_("Source"), required=False, max_length=100)
    status = forms.ChoiceField(label=_("Status"), required=False)
    night = forms.DateField(label=_("Night"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    trigger = forms.ChoiceField(label=_("Started by"), required=False)
    before = forms.IntegerField(required=False, min_value=0, max_value=2**62, widget=forms.HiddenInput)
    after = forms.IntegerField(required=False, min_value=0, max_value=2**62, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        statuses = [(status, status_word(status)) for status in ETLRun.Status.values]
        self._choices("status", [("", _("any")), ("active", _("in progress")), *statuses])
        self._choices("trigger", [("", _("anybody")), *((trigger, TRIGGERS.get(trigger, label)) for trigger, label in ETLRun.Trigger.choices)])

    def clean_night(self) -> date | None:
        night: date | None = self.cleaned_data["night"]
        if night and not EARLIEST_NIGHT <= night <= local_date(now(), settings.ETL_TIME_ZONE):
            raise forms.ValidationError(_("Choose a night of the past."))
        return night

    def _choices(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = choices
