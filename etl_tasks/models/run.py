"""The ledger of runs. What a run has to do is read from these rows only, because Celery's messages may be lost or delivered twice."""

from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from etl_tasks.models.source import Source


@dataclass(frozen=True)
class StageTime:
    """When a run was in one stage. `ended_at` is None while the stage is under way; both are None if it has not begun."""

    stage: str
    began_at: datetime | None
    ended_at: datetime | None

    @property
    def seconds(self) -> float | None:
        """The time from begin to end, with the waits in between; None until the stage has ended."""
        return (self.ended_at - self.began_at).total_seconds() if self.began_at and self.ended_at else None


class ETLRun(models.Model):
    """One pass of extract, transform and load over one source."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        POSTPONED = "postponed"
        SUCCESS = "success"
        PARTIAL = "partial"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Trigger(models.TextChoices):
        BEAT = "beat"
        INTERVAL = "interval", _("between nights")
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
    # Equal to `source` while the run is active, otherwise NULL. As the column is unique, a source has at most one active run. A partial index
    # would do the same, but MySQL has none.
    active_for = models.OneToOneField(Source, null=True, blank=True, on_delete=models.SET_NULL, related_name="active_run", editable=False)
    logical_date = models.DateField(
        null=True, blank=True, help_text=_("the night that the run belongs to; empty if it ran between two nights or a person started it")
    )
    trigger = models.CharField(max_length=10, choices=Trigger)
    options = models.JSONField(
        default=dict, blank=True, help_text="since, until and full, as requested; news: what the survey of all sources found for this one"
    )
    status = models.CharField(
        max_length=10,
        choices=Status,
        default=Status.QUEUED,
        help_text="partial: everything was read; records that could not be processed are dead letters, and log events may wait for the log store",
    )
    stage = models.CharField(max_length=10, choices=Stage, default=Stage.EXTRACT)
    attempt = models.PositiveIntegerField(default=0, help_text="grows with every claim, so that writes of an earlier holder are refused")
    owner = models.CharField(max_length=100, blank=True, help_text="the task id or process that holds the run; empty between stages")
    lease_until = models.DateTimeField(help_text="after this time the sweeper may send the run again")
    steps = models.PositiveIntegerField(
        default=0, help_text="commits since the stage was claimed: a stage that was stopped may continue if it has committed something"
    )
    resends = models.PositiveSmallIntegerField(default=0, help_text="how often the run was sent again since its last commit")
    task_ids = models.JSONField(default=dict, blank=True, help_text="for each stage, the id of the Celery task that last claimed it")
    extracted = models.PositiveIntegerField(default=0)
    loaded = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0, help_text="valid records that were already stored in the same or a newer version")
    dead_lettered = models.PositiveIntegerField(default=0)
    unparsed = models.PositiveIntegerField(default=0, help_text="loaded log lines that do not match the format and are kept as they are")
    waiting = models.PositiveIntegerField(
        default=0, db_index=True, help_text="log events that wait for the log store, which was away; the sweep loads them when it is back"
    )
    records_processed = models.PositiveIntegerField(
        default=0, help_text="loaded + skipped + dead_lettered; with those that wait, all that were extracted"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)
    # When each stage was first claimed, and when it succeeded or failed. Attempts and waits in between belong to the stage. A stage that
    # failed and is replayed begins anew. `stage_times` returns all six.
    extract_began_at = models.DateTimeField(null=True, blank=True)
    extract_ended_at = models.DateTimeField(null=True, blank=True)
    transform_began_at = models.DateTimeField(null=True, blank=True)
    transform_ended_at = models.DateTimeField(null=True, blank=True)
    load_began_at = models.DateTimeField(null=True, blank=True)
    load_ended_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    is_quiet = models.BooleanField(
        default=False,
        db_index=True,
        help_text=_("a run between two nights that found nothing new; it is deleted once a later run of the source has succeeded"),
    )

    class Meta:
        # The source is not the first column: otherwise MariaDB would use this index instead of run_latest, and sort all runs of a source.
        constraints = [models.UniqueConstraint(fields=["logical_date", "source"], name="one_run_a_night")]
        indexes = [
            models.Index(fields=["status", "lease_until"], name="run_lapsed"),
            models.Index(fields=["source", "-id"], name="run_latest"),
            models.Index(fields=["completed_at"], name="run_ended"),
            models.Index(fields=["created_at"], name="run_by_time"),
            models.Index(fields=["status", "-id"], name="run_by_status"),
            models.Index(fields=["trigger", "-id"], name="run_by_trigger"),
        ]
        permissions = [("start_etlrun", "Can start and cancel runs")]
        verbose_name = "ETL run"

    def __str__(self) -> str:
        return f"run {self.pk} of {self.pipeline}"

    @classmethod
    def with_waiting_events(cls) -> models.QuerySet["ETLRun"]:
        """Return the runs whose log events wait for the log store and will be loaded without a person. The letter of a failed run says more."""
        return cls.objects.filter(waiting__gt=0).exclude(status=cls.Status.FAILED)

    @property
    def is_waiting(self) -> bool:
        """Whether the run is postponed and not due yet."""
        return self.status == self.Status.POSTPONED and self.lease_until > now()

    @property
    def was_settled(self) -> bool:
        """Whether the run was ended without its stages, because they would have found nothing."""
        return self.status == self.Status.SUCCESS and self.extract_began_at is None

    @property
    def stage_times(self) -> list[StageTime]:
        """When the run was in each of the three stages."""
        return [StageTime(stage, getattr(self, f"{stage}_began_at"), getattr(self, f"{stage}_ended_at")) for stage in self.Stage.values]


class StreamProgress(models.Model):
    """How far a run has read one stream, and where the cursor will be once the run is loaded."""

    run = models.ForeignKey(ETLRun, on_delete=models.CASCADE, related_name="progress")
    stream = models.CharField(max_length=200)
    resume = models.JSONField(default=dict, help_text="where the next request continues")
    cursor = models.JSONField(help_text="the position to which the cursor will move")
    began_at_version = models.PositiveIntegerField(default=0, help_text="the cursor's version when the run began; 0 if there was no cursor")
    is_done = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "stream"], name="progress_once")]
        verbose_name = verbose_name_plural = "stream progress"

    def __str__(self) -> str:
        return f"{self.run}: {self.stream}"
