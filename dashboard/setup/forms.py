"""The forms that add a service with its GitHub repository, and a log source."""

import re
from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from dora_metrics.calculators.service_settings import DEFAULTS
from dora_metrics.models import Service, validate_name
from dora_metrics.patterns import compiled
from etl_tasks.models import Source

NIGHTLY = ""
EVERY = ((NIGHTLY, _("every night")), ("60", _("every hour, and every night")), ("15", _("every 15 minutes, and every night")))
MOST_SERVICES_OFFERED = 2000


def credential_choices() -> list[tuple[str, str]]:
    """Return the credentials of the environment that have a token or an App: the name of each and how people know it."""
    usable = sorted(name for name, values in settings.GITHUB_CREDENTIALS.items() if values["token"] or values["app_id"])
    return [(name, f"GITHUB_TOKEN_{name}" if name else "GITHUB_TOKEN") for name in usable]


class GithubForm(forms.Form):
    """A service with its first GitHub repository. `environments`: those that GitHub has, if the connection was tested."""

    repository = forms.CharField(label=_("Repository"), max_length=200, help_text=_("owner/name, as in the address of its page on GitHub"))
    service = forms.CharField(
        label=_("Service"), max_length=100, required=False, help_text=_("The name in all pages and reports. Empty: the name of the repository.")
    )
    credential = forms.ChoiceField(
        label=_("Credential"), required=False, help_text=_("Tokens and Apps come from the environment of this server, never from this page.")
    )
    every_minutes = forms.ChoiceField(label=_("Collect"), choices=EVERY, required=False)
    production = forms.MultipleChoiceField(
        label=_("Production"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Deployments to these environments count. None chosen: every environment whose name begins with prod, production or live."),
    )

    def __init__(self, *args: Any, environments: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["credential"].choices = credential_choices()  # type: ignore[attr-defined]
        self.fields["production"].choices = [(name, name) for name in environments]  # type: ignore[attr-defined]
        if not environments:
            del self.fields["production"]

    def clean_repository(self) -> str:
        name = re.sub(r"^https?://[^/]+/|\.git$|/$", "", self.cleaned_data["repository"].strip())
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII):
            raise forms.ValidationError(_("Write its owner and its name, as in acme/billing."))
        return name

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if "repository" in values and not values.get("service"):
            values["service"] = values["repository"].rpartition("/")[2]
        if values.get("service"):
            try:
                validate_name(values["service"])
            except forms.ValidationError as exc:
                self.add_error("service", exc)
        return values

    def source_settings(self) -> dict[str, Any]:
        minutes = self.cleaned_data.get("every_minutes")
        return {"credential": self.cleaned_data.get("credential") or "", "every_minutes": int(minutes) if minutes else None}


def production_pattern(chosen: Sequence[str], known: Sequence[str]) -> str:
    """Return the pattern of the environments that are production: the default one if it selects just the chosen ones of the known ones."""
    if not chosen or set(chosen) == set(default_production(known)):
        return DEFAULTS.production
    return f"^(?:{'|'.join(re.escape(name) for name in chosen)})$"


def default_production(known: Sequence[str]) -> list[str]:
    """Return those of the environments that the default pattern takes for production."""
    pattern = compiled(DEFAULTS.production)
    return [name for name in known if pattern.search(name)]


class LogForm(forms.Form):
    """A log source of a service. A format that is left empty is guessed from the first lines."""

    service = forms.CharField(
        label=_("Service"),
        max_length=100,
        widget=forms.TextInput(attrs={"list": "services", "autocomplete": "off"}),
        help_text=_("The service that writes the log. A new name makes a new service."),
    )
    name = forms.CharField(label=_("Name of the source"), max_length=100, required=False, help_text=_("Empty: the service's name with -logs."))
    path = forms.CharField(
        label=_("Files"),
        max_length=500,
        help_text=_("A path or a pattern, such as /var/log/billing/*.log. Rotated and compressed files are followed."),
    )
    host = forms.CharField(label=_("Host"), max_length=100, required=False, help_text=_("Empty if every worker can read the files."))
    log_format = forms.ChoiceField(label=_("Format"), required=False, choices=[("", _("guess it from the first lines")), *Source.LogFormat.choices])
    log_pattern = forms.CharField(
        label=_("Pattern"), required=False, help_text=_("For regex, Python's logging and log4j: how a line is built. Empty: the format's own.")
    )
    log_time_zone = forms.CharField(
        label=_("Time zone"),
        required=False,
        initial="UTC",
        max_length=50,
        help_text=_("Of times that name none: an IANA name, such as America/Mexico_City."),
    )
    every_minutes = forms.ChoiceField(label=_("Collect"), choices=EVERY, required=False, initial="15")

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("service"):
            try:
                validate_name(values["service"])
            except forms.ValidationError as exc:
                self.add_error("service", exc)
        values["name"] = values.get("name") or f"{values.get('service', '')}-logs"[:100]
        return values

    def source(self, service: Service) -> Source:
        """Return the source that the form describes; it is not stored."""
        values = self.cleaned_data
        return Source(
            name=values["name"],
            service=service,
            kind=Source.Kind.LOGS,
            path=values["path"].strip(),
            host=values["host"].strip(),
            log_format=values["log_format"],
            log_pattern=values["log_pattern"],
            log_time_zone=values["log_time_zone"] or "UTC",
            every_minutes=int(values["every_minutes"]) if values["every_minutes"] else None,
        )


def service_names() -> list[str]:
    return list(Service.objects.order_by("name").values_list("name", flat=True)[:MOST_SERVICES_OFFERED])
