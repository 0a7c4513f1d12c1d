"""Sources, from which facts come, and cursors, which say how far each source has been read."""

from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import Exists, OuterRef
from django.dispatch import Signal
from django.utils.translation import gettext_lazy as _

from dora_metrics.models import Repository, Service

MOST_MINUTES_BETWEEN_RUNS = 24 * 60

source_validation = Signal()
"""Sent by `Source.full_clean` with the source. Its receiver, sources/validation.py, knows the kinds and raises ValidationError."""


class Source(models.Model):
    """One place that facts come from: a GitHub repository, a set of log files, or whatever an adapter of your own reads."""

    class Kind:
        """The built-in kinds. sources/registry.py lists all kinds, with those that ETL_ADAPTERS adds."""

        GITHUB = "github"
        LOGS = "logs"

    class LogFormat(models.TextChoices):
        JSON = "json", "JSON lines"
        COMBINED = "combined", "Apache or nginx, common or combined"
        APACHE_ERROR = "apache_error", "Apache's error log"
        SYSLOG = "syslog", "syslog, RFC 3164 or 5424"
        PYTHON = "python", "Python's logging"
        LOGFMT = "logfmt", "logfmt"
        LOG4J = "log4j", "log4j"
        REGEX = "regex", "a regex with named groups"

    name = models.CharField(max_length=100, unique=True)
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="sources")
    kind = models.CharField(max_length=50)

    # GitHub
    repository = models.CharField(max_length=200, blank=True, help_text="GitHub source: owner/name")
    credential = models.CharField(
        max_length=50,
        blank=True,
        validators=[RegexValidator(r"^[A-Z][A-Z0-9_]*\Z", "capital letters, digits and _, as in the name of a variable")],
        help_text="GitHub source: empty to use GITHUB_TOKEN or the GitHub App of the environment; X to use GITHUB_TOKEN_X, or GITHUB_APP_ID_X "
        "with its private key and installation id",
    )
    is_archived = models.BooleanField(default=False, editable=False, help_text="as GitHub last reported")
    is_private = models.BooleanField(null=True, editable=False, help_text="as GitHub last reported")
    page_sizes = models.JSONField(
        default=dict, blank=True, editable=False, help_text="the page size of each list for which GitHub could not complete larger pages"
    )

    # Files
    path = models.CharField(max_length=500, blank=True, help_text="log source: a glob of the files")
    host = models.CharField(
        max_length=100,
        blank=True,
        validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", "letters, digits, points, hyphens and underscores, as in the name of a host")],
        help_text="the host that has the files: a worker there must take the queue extract@HOST; empty if every worker can read them",
    )

    # A kind of your own
    options = models.JSONField(default=dict, blank=True, help_text="settings of a kind of your own that have no field here")

    # Log lines
    log_format = models.CharField(max_length=20, choices=LogFormat, blank=True)
    log_pattern = models.TextField(
        blank=True,
        help_text="a regex with named groups, a format string of Python's logging, or a log4j layout; empty to use the format's default",
    )
    log_time_zone = models.CharField(
        max_length=50, default="UTC", help_text='the time zone of times that name none: an IANA name, or "local" for that of the worker'
    )
    log_fields = models.JSONField(
        default=dict, blank=True, help_text='the key of JSON or logfmt lines from which a field is read, if it differs: {"message": "text"}'
    )
    deploy_pattern = models.TextField(
        blank=True, help_text="a regex for lines that report a deployment; its groups sha, environment and state are all optional"
    )
    is_strict = models.BooleanField(
        default=False, help_text="make a dead letter of each line that does not match the format; otherwise the line is kept as it is"
    )

    every_minutes = models.PositiveSmallIntegerField(
        _("minutes between runs"),
        null=True,
        blank=True,
        validators=[MaxValueValidator(MOST_MINUTES_BETWEEN_RUNS)],
        help_text=_("also run between the nights, this many minutes after the last run began; empty for nightly runs only"),
    )

    # State
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    facts_repository = models.OneToOneField(
        Repository,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="source",
        help_text="the repository that the source's facts belong to",
    )
    overdue_alerted_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="when the alert was sent that no run has succeeded for too long"
    )
    host_silent_since = models.DateTimeField(null=True, blank=True, editable=False, help_text="since when no worker takes the host's queue")
    host_alerted_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="when the alert about the silent host was sent")
    deletion_began_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="since when the source and everything collected from it is being deleted"
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def extract_queue(self) -> str:
        """The queue for the extract stage. This stage must run where the files are; the other stages read the staged copy and can run anywhere."""
        return f"extract@{self.host}" if self.host else "extract"

    @property
    def is_here(self) -> bool:
        """Whether this host can read the source."""
        return self.host in ("", settings.ETL_HOST)

    def clean(self) -> None:
        """Raise ValidationError if the source cannot work with its settings. sources/validation.py checks them."""
        source_validation.send(sender=Source, source=self)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the source. Create or rename its facts repository, and update which of the service's repositories are collected.

        The facts repository is created before the first run, so that the metrics show a repository without data as unknown.
        """
        super().save(*args, **kwargs)
        if self.repository:
            repository = self.ensure_facts_repository()
            if repository.github_id is None and repository.name != self.repository:  # a repository with a github_id keeps the name that GitHub gave
                repository.name = self.repository
                repository.save(update_fields=["name"])
        self.update_collected_repositories()

    def set_enabled(self, is_enabled: bool) -> bool:
        """Enable or disable the source; return False if it is so already, or is being deleted."""
        changed = Source.objects.filter(pk=self.pk, deletion_began_at=None).exclude(is_enabled=is_enabled).update(is_enabled=is_enabled)
        if changed:
            self.is_enabled = is_enabled
            self.update_collected_repositories()
        return bool(changed)

    def ensure_facts_repository(self) -> Repository:
        """Return the repository that the source's facts belong to; create it if it does not exist."""
        if self.facts_repository is None:
            self.facts_repository = Repository.objects.create(service=self.service, name=self.repository or self.name, is_collected=self.is_enabled)
            Source.objects.filter(pk=self.pk).update(facts_repository=self.facts_repository)
        return self.facts_repository

    def update_collected_repositories(self) -> None:
        """Set `is_collected` of the service's repositories: True for those that an enabled source collects, False for the others."""
        # The ids are read first: MariaDB executes an UPDATE with a subquery on the same table by locking the rows of all services, so that two runs
        # that end at the same time deadlock.
        sources = Source.objects.filter(facts_repository=OuterRef("pk"), is_enabled=True)
        repositories = Repository.objects.filter(service=self.service_id).annotate(has_source=Exists(sources))
        for pk, is_collected, has_source in repositories.values_list("pk", "is_collected", "has_source"):
            if is_collected != has_source:
                Repository.objects.filter(pk=pk).update(is_collected=has_source)


class Cursor(models.Model):
    """How far a stream has been collected. A run moves the cursor only when its records have been loaded."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="cursors")
    stream = models.CharField(max_length=200)
    position = models.JSONField()
    version = models.PositiveIntegerField(default=1, help_text="grows with every move, so that an older run cannot move the cursor back")
    moved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "stream"], name="cursor_once")]

    def __str__(self) -> str:
        return f"{self.source}: {self.stream}"
