"""The dead-letter queue: what could not be processed."""

from django.db import models

from etl_tasks.models.run import ETLRun
from etl_tasks.models.source import Source
from etl_tasks.models.staging import StagedPage


class DeadLetter(models.Model):
    """Something that could not be processed: its data, error and time.

    The letter stays open until it is replayed or discarded, or until a run has processed the same data.
    """

    class Kind(models.TextChoices):
        STAGE = "stage", "a stage of a run"
        PAGE = "page", "a page or file that could not be read"
        RECORD = "record"
        LOST = "lost", "a record that the source did not return"

    class State(models.TextChoices):
        OPEN = "open"
        REPLAYED = "replayed"
        DISCARDED = "discarded"

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="dead_letters")
    run = models.ForeignKey(ETLRun, on_delete=models.CASCADE, related_name="dead_letters")
    page = models.ForeignKey(StagedPage, null=True, blank=True, on_delete=models.SET_NULL, related_name="dead_letters")
    record_index = models.PositiveIntegerField(null=True, blank=True, help_text="the index of the record in the page, from 0; empty for a whole page")
    key = models.CharField(max_length=150, help_text="identifies the failure: if it happens again, this letter counts another attempt")
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
