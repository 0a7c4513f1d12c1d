"""Where facts come from, and how far each source has been read."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from dora_metrics.models import Repository, Service, validate_name
from etl_tasks.errors import FatalError
from etl_tasks.sources.logs.formats.interface import Reading


class Source(models.Model):
    """One place that facts come from."""

    class Kind:
        """The kinds that come with the product; sources.registry knows all of them."""

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
    repository = models.CharField(max_length=200, blank=True, help_text="owner/name, of a GitHub source")
    facts_repository = models.OneToOneField(
        Repository, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="source", help_text="what its facts belong to"
    )
    is_archived = models.BooleanField(default=False, editable=False, help_text="as GitHub last told")
    is_private = models.BooleanField(null=True, editable=False, help_text="as GitHub last told")
    page_sizes = models.JSONField(
        default=dict, blank=True, editable=False, help_text="by list, how many records a page may have, where GitHub could not finish larger ones"
    )
    credential = models.CharField(
        max_length=50,
        blank=True,
        validators=[RegexValidator(r"^[A-Z][A-Z0-9_]*\Z", "capital letters, digits and _, as in the name of a variable")],
        help_text="empty for GITHUB_TOKEN or the GitHub App of the environment; X for GITHUB_TOKEN_X, or GITHUB_APP_ID_X and its fellows",
    )
    path = models.CharField(max_length=500, blank=True, help_text="glob of the files, of a log source")
    host = models.CharField(
        max_length=100,
        blank=True,
        validators=[RegexValidator(r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", "letters, digits, points, hyphens and underscores, as in the name of a host")],
        help_text="where the files lie, if a single host has them: a worker there takes the queue extract@HOST; empty if every worker sees them",
    )
    options = models.JSONField(default=dict, blank=True, help_text="what a kind of your own needs beside the fields here")
    log_format = models.CharField(max_length=20, choices=LogFormat, blank=True)
    log_pattern = models.TextField(
        blank=True, help_text="a regex with named groups, a format string of Python's logging, or a log4j layout; empty for the format's default"
    )
    log_time_zone = models.CharField(
        max_length=50, default="UTC", help_text='of times in the lines that name none: an IANA name, or "local" for the worker\'s own'
    )
    log_fields = models.JSONField(default=dict, blank=True, help_text='which key of JSON or logfmt lines a field is: {"message": "text"}')
    deploy_pattern = models.TextField(
        blank=True, help_text="a regex for lines that tell of a deployment, with groups sha, environment and state, of which any may be missing"
    )
    is_strict = models.BooleanField(default=False, help_text="lines that are not of the format become dead letters; else they are kept as they are")
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    overdue_alerted_at = models.DateTimeField(null=True, blank=True, editable=False)
    deletion_began_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="all that was collected of it is being deleted")
    host_silent_since = models.DateTimeField(null=True, blank=True, editable=False, help_text="no worker has taken the host's queue since then")
    host_alerted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def extract_queue(self) -> str:
        """Where the stage that reads the source waits; the other stages read the staged copy, which every worker has."""
        return f"extract@{self.host}" if self.host else "extract"

    @property
    def is_here(self) -> bool:
        """Whether this host may read it."""
        return self.host in ("", settings.ETL_HOST)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """What names a repository has one from the beginning: what was never collected is unknown, and not left out."""
        super().save(*args, **kwargs)
        if self.repository:
            home = self.ensure_facts_repository()
            if home.github_id is None and home.name != self.repository:  # until GitHub has told, it is called as the source says
                home.name = self.repository
                home.save(update_fields=["name"])
        self.update_collected_repositories()

    def ensure_facts_repository(self) -> Repository:
        """The repository that the source's facts belong to; made when it is first asked for."""
        if self.facts_repository is None:
            self.facts_repository = Repository.objects.create(service=self.service, name=self.repository or self.name, is_collected=self.is_enabled)
            Source.objects.filter(pk=self.pk).update(facts_repository=self.facts_repository)
        return self.facts_repository

    def update_collected_repositories(self) -> None:
        """Say of the service's repositories which ones an enabled source collects."""
        repositories = Repository.objects.filter(service=self.service_id)
        repositories.filter(is_collected=False, source__is_enabled=True).update(is_collected=True)
        repositories.filter(is_collected=True).exclude(source__is_enabled=True).update(is_collected=False)

    def reading(self) -> Reading:
        """How the lines of a log source are to be read. Raises ValueError if `log_fields` maps no names to keys."""
        fields = self.log_fields or {}
        if not isinstance(fields, dict) or not all(isinstance(key, str) and key for key in fields.values()):
            raise ValueError('the fields must map names to keys, as {"message": "text"}')
        return Reading(
            log_format=self.log_format,
            pattern=self.log_pattern,
            time_zone=self.log_time_zone,
            fields=tuple(sorted(fields.items())),
            deploy_pattern=self.deploy_pattern,
            is_strict=self.is_strict,
        )

    def clean(self) -> None:
        """What its kind needs, and what cannot work. What was collected under a name from before the rule for names keeps it."""
        from etl_tasks.sources.registry import adapter_of_kind  # it reads these models

        former = Source.objects.filter(pk=self.pk).first() if self.pk else None
        is_collected = former is not None and former.cursors.exists()
        for one in (former, self.service if self.service_id else None):
            if one is not None and one.deletion_began_at:
                raise ValidationError(f"{one._meta.verbose_name} {one} is being deleted: wait until it has gone")
        if former is None or not is_collected or former.name != self.name:
            try:
                validate_name(self.name)
            except ValidationError as exc:
                raise ValidationError({"name": exc.messages}) from exc
        try:
            adapter = adapter_of_kind(self.kind)
        except FatalError as exc:
            raise ValidationError({"kind": str(exc)}) from exc
        if missing := {name: f"a source of kind {self.kind} needs it" for name in adapter.needed if not getattr(self, name)}:
            raise ValidationError(missing)
        if self.host and not adapter.reads_files:
            raise ValidationError({"host": "only files lie on a host: leave it empty"})
        try:
            adapter.validate(self)
            if former is not None and is_collected:
                if former.service_id != self.service_id:
                    raise ValueError(
                        f"{self.name} has been collected for {former.service}: its facts stay there; for {self.service}, add another source"
                    )
                if former.kind != self.kind:
                    raise ValueError(f"{former.name} has been collected as a source of kind {former.kind}: add another source")
                adapter.validate_change(self, former=former)
        except ValueError as exc:
            raise ValidationError(str(exc)) from exc


class Cursor(models.Model):
    """How far a stream has been collected; moves only when the run that collected it has loaded."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="cursors")
    stream = models.CharField(max_length=200)
    position = models.JSONField()
    version = models.PositiveIntegerField(default=1, help_text="grows with every move: an old run cannot move it back")
    moved_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "stream"], name="cursor_once")]

    def __str__(self) -> str:
        return f"{self.source}: {self.stream}"
