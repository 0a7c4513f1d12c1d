"""The tables of the SQL log store, used if no Cassandra is configured."""

from django.db import models


class LogEventRow(models.Model):
    """A log event. Values that may have any length are in text columns, so that no line is refused."""

    event_id = models.CharField(max_length=64, unique=True)
    source = models.CharField(max_length=100)
    time = models.DateTimeField()
    level = models.CharField(max_length=10)
    service = models.TextField(blank=True)
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
        # The indexes include the id, so that events of the same time have an order, and a page can begin after a certain event.
        indexes = [
            models.Index(fields=["source", "time", "event_id"], name="event_in_order"),
            models.Index(fields=["source", "level", "time", "event_id"], name="event_of_level"),
        ]
        verbose_name = "log event"

    def __str__(self) -> str:
        return f"{self.time:%F %T} {self.message}"[:100]


class LogSumRow(models.Model):
    """How many log events of one segment (a mebibyte of a file) are stored for one hour, by level."""

    source = models.CharField(max_length=100)
    hour = models.DateTimeField()
    segment = models.CharField(max_length=64)
    levels = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "hour", "segment"], name="log_sum_once")]
        verbose_name = verbose_name_plural = "sum of log events"

    def __str__(self) -> str:
        return f"{self.source} {self.hour:%F %H}:00"
