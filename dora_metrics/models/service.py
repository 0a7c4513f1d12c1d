"""Services and their settings. A metric belongs to a service, and the service's settings determine its numbers."""

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext as _

from dora_metrics.calculators.service_settings import DEFAULTS
from dora_metrics.patterns import compiled

NAME = re.compile(r"(?=.*[^\W_])[\w.-]{1,100}")
LONGEST_LOOK_BACK_HOURS = 10 * 366 * 24
MOST_LOG_EVENTS, LONGEST_LOG_MINUTES = 1_000_000, 24 * 60
NOT_SETTINGS = frozenset({"id", "name", "needs_recompute", "created_at", "deletion_began_at"})


def validate_name(name: str) -> None:
    """Raise ValidationError unless the name can be used in a URL, on a command line and in a terminal without quoting."""
    if not NAME.fullmatch(name):
        sentence = _("%(name)r cannot be a name: use letters, digits, points, hyphens and underscores, at most 100, and one letter or digit")
        raise ValidationError(sentence % {"name": name})


def validate_pattern(pattern: str) -> None:
    """Raise ValidationError unless RE2 can compile the regular expression."""
    try:
        compiled(pattern)
    except ValueError as exc:
        raise ValidationError(_("%(pattern)r is not a regular expression that RE2 reads (%(error)s)") % {"pattern": pattern, "error": exc}) from exc


def validate_logins(logins: object) -> None:
    if not isinstance(logins, list) or not all(isinstance(login, str) and login for login in logins):
        raise ValidationError(_('write a list of logins, as ["dependabot", "renovate"]'))


def validate_percent(share: float) -> None:
    if not 0 <= share <= 100:  # also rejects NaN
        raise ValidationError(_("%(share)s is not a percentage: write a number from 0 to 100") % {"share": f"{share:g}"})


class Service(models.Model):
    """A service, which is the unit that metrics belong to, with the settings that determine its numbers."""

    class DeploymentsFrom(models.TextChoices):
        AUTO = "auto", "the first of these that has any"
        GITHUB = "github", "GitHub Deployments"
        LOGS = "logs", "lines of the logs"
        RELEASES = "releases", "releases"
        WORKFLOWS = "workflows", "workflow runs"
        PULLS = "pulls", "merged pull requests"

    name = models.CharField(max_length=100, unique=True, validators=[validate_name])
    production = models.CharField(
        max_length=200, default=DEFAULTS.production, validators=[validate_pattern], help_text="environments that are production (regex)"
    )
    deployments_from = models.CharField(max_length=20, choices=DeploymentsFrom, default=DeploymentsFrom.AUTO)
    workflow = models.CharField(
        max_length=200, default=DEFAULTS.workflow, validators=[validate_pattern], help_text="name or path of a deploying workflow (regex)"
    )
    prereleases = models.BooleanField(default=False, help_text="releases marked as prereleases are deployments too")
    incident_label = models.CharField(
        max_length=200,
        default=DEFAULTS.incident_label,
        blank=True,
        validators=[validate_pattern],
        help_text="issues with a matching label are incidents (regex); empty: no issues are collected",
    )
    hotfix = models.CharField(
        max_length=200,
        default=DEFAULTS.hotfix,
        blank=True,
        validators=[validate_pattern],
        help_text="pull requests with a matching label or branch are hotfixes (regex); empty: there are no hotfixes",
    )
    look_back_hours = models.PositiveIntegerField(
        default=DEFAULTS.look_back_hours,
        validators=[MaxValueValidator(LONGEST_LOOK_BACK_HOURS)],
        help_text="an incident that names no cause is linked to the latest successful deployment of so many hours before it",
    )
    log_incidents = models.BooleanField(default=True, help_text="minutes in a row with many errors in the logs are incidents")
    log_minute_events = models.PositiveIntegerField(
        default=DEFAULTS.log_minute_events,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_LOG_EVENTS)],
        help_text="a minute with fewer log events is never bad, because one error among three is no sign of an outage",
    )
    log_error_share = models.FloatField(
        default=DEFAULTS.log_error_share,
        validators=[validate_percent],
        help_text="percent; a minute is bad when more of its log events than this are errors",
    )
    log_bad_minutes = models.PositiveIntegerField(
        default=DEFAULTS.log_bad_minutes,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_LOG_MINUTES)],
        help_text="so many bad minutes in a row begin an incident",
    )
    log_good_minutes = models.PositiveIntegerField(
        default=DEFAULTS.log_good_minutes,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_LOG_MINUTES)],
        help_text="so many minutes in a row that are not bad end it",
    )
    log_issue_hours = models.PositiveIntegerField(
        default=DEFAULTS.log_issue_hours,
        validators=[MaxValueValidator(LONGEST_LOOK_BACK_HOURS)],
        help_text="an incident from the logs that begins within so many hours of the start of an issue's incident is the same outage and counts once",
    )
    path = models.CharField(
        max_length=200, blank=True, help_text="only pull requests that change a matching file count; * inside a folder, ** across folders"
    )
    bots = models.JSONField(
        default=list, blank=True, validators=[validate_logins], help_text="logins that are bots, in addition to those that GitHub marks"
    )
    needs_recompute = models.BooleanField(
        default=False, editable=False, help_text="settings have changed since the stored numbers were computed; the next run computes them again"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    deletion_began_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="the service and everything collected for it is being deleted"
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Replace None by an empty list. A form gives None if somebody empties the list of bots."""
        self.bots = self.bots or []

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the service. If a setting that determines its numbers has changed and there are numbers, mark that they have to be recomputed."""
        if not self._state.adding and self._changes_settings() and self.metrics.exists():
            self.needs_recompute = True
        super().save(*args, **kwargs)

    def _changes_settings(self) -> bool:
        stored = Service.objects.filter(pk=self.pk).first()
        return stored is not None and setting_values(stored) != setting_values(self)


def setting_values(service: Service) -> dict[str, Any]:
    """Return the settings that determine the numbers of the service."""
    return {field.attname: getattr(service, field.attname) for field in Service._meta.concrete_fields if field.attname not in NOT_SETTINGS}
