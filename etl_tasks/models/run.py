"""The ledger of runs. These rows are the truth about a run; Celery's messages may be lost or doubled."""

from django.db import models
from django.utils.timezone import now

from etl_tasks.models.source import Source


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
