"""The ledger: what was asked for, how far it came, what went wrong. Messages are hints; these rows are the truth."""

import zlib
from typing import Any

import zstandard
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.timezone import now

from dora_metrics.models import Repository, Service, validate_name
from etl_tasks.errors import FatalError
from etl_tasks.sources.logs.format import Reading

ZSTD_LEVEL = 1


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
            home = self.home()
            if home.github_id is None and home.name != self.repository:  # until GitHub has told, it is called as the source says
                home.name = self.repository
                home.save(update_fields=["name"])
        self.note_collected()

    def home(self) -> Repository:
        """The repository that the source's facts belong to; made when it is first asked for."""
        if self.facts_repository is None:
            self.facts_repository = Repository.objects.create(service=self.service, name=self.repository or self.name, is_collected=self.is_enabled)
            Source.objects.filter(pk=self.pk).update(facts_repository=self.facts_repository)
        return self.facts_repository

    def note_collected(self) -> None:
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


class ETLRun(models.Model):
    """One chain over one source."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        POSTPONED = "postponed"
        SUCCESS = "success"
        PARTIAL = "partial", "success, some records are dead letters"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Trigger(models.TextChoices):
        BEAT = "beat"
        SHELL = "shell"
        COMMAND = "command"
        ADMIN = "admin"
        REPLAY = "replay"

    class Stage(models.TextChoices):
        EXTRACT = "extract"
        TRANSFORM = "transform"
        LOAD = "load"

    ACTIVE = (Status.QUEUED, Status.RUNNING, Status.POSTPONED)
    GOOD = (Status.SUCCESS, Status.PARTIAL)

    pipeline = models.CharField(max_length=100, help_text="the source's name when the run began")
    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="runs")
    # Equal to source while the run is active, else NULL: one active run a source on every database (MySQL has no partial index).
    active_for = models.OneToOneField(Source, null=True, blank=True, on_delete=models.SET_NULL, related_name="active_run", editable=False)
    logical_date = models.DateField(null=True, blank=True, help_text="the night it stands for; empty if a person asked")
    trigger = models.CharField(max_length=10, choices=Trigger)
    options = models.JSONField(default=dict, blank=True, help_text="since, until, full; news: what a survey of many sources said")
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    stage = models.CharField(max_length=10, choices=Stage, default=Stage.EXTRACT)
    attempt = models.PositiveIntegerField(default=0, help_text="grows with every claim: later writes of an earlier holder are refused")
    owner = models.CharField(max_length=100, blank=True, help_text="task id, or process, that holds the run; empty between stages")
    lease_until = models.DateTimeField(help_text="after this the sweeper may send the run again")
    steps = models.PositiveIntegerField(default=0, help_text="commits of the stage that holds it, since it was claimed: a stage that moves may go on")
    resends = models.PositiveSmallIntegerField(default=0, help_text="since the last progress")
    task_ids = models.JSONField(default=dict, blank=True, help_text="stage to the id of the Celery task that last took it")
    extracted = models.PositiveIntegerField(default=0)
    loaded = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0, help_text="valid, and already there in this version or a newer one")
    dead_lettered = models.PositiveIntegerField(default=0)
    unparsed = models.PositiveIntegerField(default=0, help_text="of the loaded: log lines that are not of their format, kept as they are")
    records_processed = models.PositiveIntegerField(default=0, help_text="extracted = loaded + skipped + dead_lettered")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "logical_date"], name="one_run_a_night")]
        indexes = [models.Index(fields=["status", "lease_until"], name="run_lapsed"), models.Index(fields=["source", "-id"], name="run_latest")]
        verbose_name = "ETL run"

    def __str__(self) -> str:
        return f"run {self.pk} of {self.pipeline}"

    @property
    def is_waiting(self) -> bool:
        """Postponed, and its time has not come."""
        return self.status == self.Status.POSTPONED and self.lease_until > now()


class StreamProgress(models.Model):
    """How far a run has read one stream, and where the cursor will stand once it has loaded."""

    run = models.ForeignKey(ETLRun, on_delete=models.CASCADE, related_name="progress")
    stream = models.CharField(max_length=200)
    resume = models.JSONField(default=dict, help_text="where the next request goes on")
    cursor = models.JSONField(help_text="the position to move the cursor to")
    began_at_version = models.PositiveIntegerField(default=0, help_text="of the cursor when the run began; 0 for none")
    is_done = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "stream"], name="progress_once")]

    def __str__(self) -> str:
        return f"{self.run}: {self.stream}"


class StagedPage(models.Model):
    """One answer of a source exactly as it came, compressed: a row a page or chunk, not a row a record."""

    run = models.ForeignKey(ETLRun, on_delete=models.CASCADE, related_name="pages")
    number = models.PositiveIntegerField()
    stream = models.CharField(max_length=200)
    url = models.TextField()
    context = models.JSONField(default=dict, help_text="what reading it needs beside the body, such as a chunk's file and offset")
    body = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    record_count = models.PositiveIntegerField()
    fetched_at = models.DateTimeField()
    is_clean = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="page_once")]

    def __str__(self) -> str:
        return f"{self.run}, page {self.number}"

    @property
    def content(self) -> bytes:
        return decompressed(bytes(self.body))


class CleanBatch(models.Model):
    """The validated records of one page, with a mark for each destination they have reached."""

    page = models.OneToOneField(StagedPage, on_delete=models.CASCADE, related_name="batch")
    kind = models.CharField(max_length=30, help_text="which fact the records are")
    records = models.BinaryField(help_text="compressed JSON, one list")
    record_count = models.PositiveIntegerField()
    dead_lettered = models.PositiveIntegerField(default=0)
    unparsed = models.PositiveIntegerField(default=0)
    is_loaded = models.BooleanField(default=False, help_text="in the SQL database")
    is_stored = models.BooleanField(default=False, help_text="in the log store")

    def __str__(self) -> str:
        return f"batch of {self.page}"

    @property
    def content(self) -> bytes:
        return decompressed(bytes(self.records))


class DeadLetter(models.Model):
    """What could not be processed: the data, the error and the time, until somebody replays or discards it."""

    class Kind(models.TextChoices):
        STAGE = "stage", "a stage of a run"
        PAGE = "page", "an answer that could not be read"
        RECORD = "record"
        LOST = "lost", "a record that the source did not give"

    class State(models.TextChoices):
        OPEN = "open"
        REPLAYED = "replayed"
        DISCARDED = "discarded"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="dead_letters")
    run = models.ForeignKey(ETLRun, on_delete=models.CASCADE, related_name="dead_letters")
    page = models.ForeignKey(StagedPage, null=True, blank=True, on_delete=models.SET_NULL, related_name="dead_letters")
    record_index = models.PositiveIntegerField(null=True, blank=True, help_text="which record of the page, from 0")
    key = models.CharField(max_length=150, help_text="the same failure is the same letter, however often it is met")
    kind = models.CharField(max_length=10, choices=Kind)
    stage = models.CharField(max_length=10, choices=ETLRun.Stage)
    stream = models.CharField(max_length=200, blank=True)
    data = models.TextField(blank=True)
    error = models.TextField()
    timestamp = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    attempts = models.PositiveIntegerField(default=1)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=150, blank=True)

    class Meta:
        db_table = "dead_letter_queue"
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="one_letter_a_failure")]
        indexes = [models.Index(fields=["state", "-timestamp"], name="letter_by_state")]
        permissions = [("replay_deadletter", "Can replay or discard a dead letter")]

    def __str__(self) -> str:
        return f"letter {self.pk}: {self.error}"[:120]


class Fault(models.Model):
    """What goes wrong beside the runs, such as a step of the sweep: from its first failure until it has gone well again."""

    name = models.CharField(max_length=100, unique=True)
    error = models.TextField(help_text="of the first failure; the log has the later ones")
    began_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["began_at"]

    def __str__(self) -> str:
        return self.name


class LogEventRow(models.Model):
    """A log event where no Cassandra is configured. What a line may say at any length is text, so that no line is refused."""

    event_id = models.CharField(max_length=64, unique=True)
    source = models.CharField(max_length=100)
    time = models.DateTimeField()
    level = models.CharField(max_length=10)
    service = models.TextField(blank=True, db_default="")
    host = models.TextField(blank=True)
    logger = models.TextField(blank=True)
    message = models.TextField(blank=True)
    method = models.TextField(blank=True)
    path = models.TextField(blank=True)
    status = models.IntegerField(null=True)
    duration_ms = models.FloatField(null=True)
    trace_id = models.TextField(blank=True)
    extra = models.JSONField(default=dict)

    class Meta:
        # With the id, so that a page goes on by key and events of one time have an order.
        indexes = [
            models.Index(fields=["source", "time", "event_id"], name="event_in_order"),
            models.Index(fields=["source", "level", "time", "event_id"], name="event_of_level"),
        ]
        verbose_name = "log event"

    def __str__(self) -> str:
        return f"{self.time:%F %T} {self.message}"[:100]


class LogSumRow(models.Model):
    """How many events the table of log events has of one segment of a file in one hour, by level."""

    source = models.CharField(max_length=100)
    hour = models.DateTimeField()
    segment = models.CharField(max_length=64)
    levels = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "hour", "segment"], name="log_sum_once")]
        verbose_name = "sum of log events"

    def __str__(self) -> str:
        return f"{self.source} {self.hour:%F %H}:00"


def compressed(content: bytes) -> bytes:
    """As `content` of a page or batch reads it back."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(content)


def decompressed(content: bytes) -> bytes:
    """What was staged before zstd was used is still read."""
    if not content.startswith(zstandard.FRAME_HEADER):
        return zlib.decompress(content)
    return zstandard.ZstdDecompressor().decompress(content)
