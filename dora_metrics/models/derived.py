"""The rows that are derived from the facts. Only derivation/recompute.py writes them, and the same facts always give the same rows."""

from collections.abc import Collection, Iterable
from typing import Any

from django.db import models

from dora_metrics.bulk_upsert import upsert
from dora_metrics.json_column import JSONField
from dora_metrics.models.facts import Change
from dora_metrics.models.repository import Repository
from dora_metrics.models.service import Service


class Attempt(models.Model):
    """A finished attempt to put a commit into production, and the causes by which it failed or was unplanned.

    Only the attempts of the source of deployments that counts are stored.
    """

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="attempts")
    repository = models.ForeignKey(Repository, null=True, on_delete=models.CASCADE, help_text="empty for a log line whose repository is unknown")
    key = models.CharField(max_length=255, help_text="its id in the source that counts: 12, or 34.2 for the second attempt of a run")
    ids = JSONField(default=list, help_text="its id and those of the failed attempts that it retried")
    source = models.CharField(max_length=20, help_text="github, logs, releases, workflows or pulls")
    environment = models.CharField(max_length=255)
    sha = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    is_success = models.BooleanField()
    is_failed = models.BooleanField(null=True, help_text="unknown if issues or changes were not collected and no other fact shows a failure")
    causes = JSONField(default=list, help_text='[{"rule", "fact", "ended_at"}, …]: why it counts as failed')
    is_unplanned = models.BooleanField(null=True)
    unplanned = JSONField(default=list, help_text='[{"rule", "fact"}, …]: why it was unplanned')
    recovered_at = models.DateTimeField(null=True)
    recovered_by = models.CharField(max_length=255, blank=True)
    flags = JSONField(default=list)
    url = models.TextField(blank=True)
    page_id = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["service", "key"], name="attempt_once")]
        indexes = [
            models.Index(fields=["service", "finished_at"], name="attempt_by_finish"),
            models.Index(fields=["finished_at"], name="attempt_of_all"),
            models.Index(fields=["service", "recovered_at"], name="attempt_by_recovery"),
        ]

    def __str__(self) -> str:
        return f"{self.environment} {self.key}"


class Delivery(models.Model):
    """The first deployment of a change to production, and the change's lead time.

    If a change has no delivery, it is unknown whether or when it was deployed.
    """

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="deliveries")
    change = models.OneToOneField(Change, on_delete=models.CASCADE, related_name="delivery")
    deployment = models.CharField(max_length=255, help_text="the attempt's key")
    how = models.CharField(max_length=20, help_text="sha, range or time_matched")
    change_start = models.DateTimeField()
    deployed_at = models.DateTimeField()
    lead_time_seconds = models.FloatField()
    is_bots = models.BooleanField(help_text="by a bot, so left out of the metrics")
    stages = JSONField(default=dict, help_text="seconds of coding, draft, pickup, review and deploy; null if a start or end is unknown")
    flags = JSONField(default=list)
    computed_from = models.CharField(
        max_length=32,
        blank=True,
        help_text="a digest of the change, of the service's bots and of the program that computed the row; if it differs, the row is computed again",
    )

    class Meta:
        indexes = [
            models.Index(fields=["service", "deployed_at"], name="delivery_by_time"),
            models.Index(fields=["service", "deployment"], name="delivery_by_attempt"),
            models.Index(fields=["deployed_at"], name="delivery_of_all"),
        ]
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.change}, by deployment {self.deployment}"[:150]


class Incident(models.Model):
    """An incident, and the deployment to which it is linked."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="incidents")
    repository = models.ForeignKey(Repository, null=True, on_delete=models.CASCADE, help_text="of its issue; empty for an incident from the logs")
    key = models.CharField(max_length=255, help_text="issue 12, or logs and the minute in which it started")
    number = models.PositiveIntegerField(null=True, help_text="of its issue; empty for an incident from the logs")
    title = models.TextField(blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="empty while it is open")
    deployment = models.CharField(max_length=255, blank=True, help_text="the attempt's key; empty if it is not linked")
    how = models.CharField(max_length=10, blank=True, help_text="explicit, revert or time")
    flags = JSONField(default=list)
    evidence = JSONField(default=dict, help_text="of an incident from the logs: its bad minutes, and the pages that show their lines")
    url = models.TextField(blank=True)
    page_id = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["service", "key"], name="incident_once")]
        indexes = [
            models.Index(fields=["service", "started_at"], name="incident_by_start"),
            models.Index(fields=["started_at"], name="incident_of_all"),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.title}"[:100]


class MetricQuerySet(models.QuerySet["DORAMetric"]):
    """Metrics. A first collection creates thousands of them at once."""

    def bulk_create(
        self,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Any]:
        """Insert metrics as Django does.

        With `update_conflicts`, neither instances nor Django's preparation of each single value are needed, because they take most of the time:
        `objs` may be any objects that have the columns as attributes. `batch_size` has no effect then.
        """
        if not update_conflicts:
            return super().bulk_create(objs, batch_size=batch_size, ignore_conflicts=ignore_conflicts)
        metrics = list(objs)
        kept = [field.attname for field in self.model._meta.concrete_fields if field.name not in (update_fields or ())]
        upsert(self.model, map(vars, metrics), unique=list(unique_fields or ()), kept=kept)
        return metrics


class DORAMetric(models.Model):
    """The value of one metric in one period. docs/metrics.md defines every number."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="metrics")
    environment = models.CharField(max_length=255)
    metric = models.CharField(max_length=40)
    period = models.CharField(max_length=5, help_text="day, week or month")
    period_start = models.DateField()
    period_end = models.DateField(help_text="exclusive")
    value = models.FloatField(null=True)
    unit = models.CharField(max_length=30)
    n = models.PositiveIntegerField()
    numerator = models.FloatField(null=True)
    denominator = models.FloatField(null=True)
    p50 = models.FloatField(null=True)
    p75 = models.FloatField(null=True)
    p90 = models.FloatField(null=True)
    tier = models.CharField(max_length=10, blank=True)
    tier_year = models.PositiveSmallIntegerField(null=True)
    is_partial = models.BooleanField(default=False)
    quality_flags = JSONField(default=list)
    details = JSONField(default=dict)
    definition_version = models.CharField(max_length=20)
    time_zone = models.CharField(max_length=60)
    run_id = models.BigIntegerField(null=True, help_text="the run that last changed it")

    objects = MetricQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["service", "environment", "metric", "period", "period_start"], name="metric_once"),
        ]
        indexes = [
            models.Index(fields=["service", "environment", "period", "period_start"], name="metric_by_period"),
            models.Index(fields=["period_start"], name="metric_of_all"),
        ]
        verbose_name = "DORA metric"

    def __str__(self) -> str:
        return f"{self.metric} {self.period} {self.period_start}"


class MetricsSummary(models.Model):
    """What a page with many services needs to know about the stored rows of each, so that it need not search millions of rows for it."""

    service = models.OneToOneField(Service, primary_key=True, on_delete=models.CASCADE, related_name="summary")
    stamp = models.CharField(
        max_length=32,
        help_text="another one whenever an attempt, delivery, incident or metric, the collected dates or the environments have changed",
    )
    collected = JSONField(
        default=dict,
        help_text='{metric: {"first", "last", "begins_inside"}}: the collected local dates, and whether collection began inside the first',
    )
    environments = JSONField(default=list, help_text="names of the environments that were deployed to most, the most frequent one first")
    derived_from = models.CharField(max_length=32, blank=True, help_text="a digest of what the attempts, deliveries and incidents were derived from")

    class Meta:
        verbose_name_plural = "metrics summaries"

    def __str__(self) -> str:
        return f"metrics of {self.service_id}"


class MetricRevision(models.Model):
    """A change of a value after its period was over, for example because a fact arrived late."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="revisions")
    environment = models.CharField(max_length=255)
    metric = models.CharField(max_length=40)
    period = models.CharField(max_length=5)
    period_start = models.DateField()
    before = JSONField(help_text="value, n, percentiles, flags and details before the change")
    after = JSONField(help_text="the same after the change; empty: the value no longer exists")
    definition_version = models.CharField(max_length=20)
    run_id = models.BigIntegerField(null=True, help_text="the run that loaded the late fact; empty after recompute_metrics")
    revised_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["run_id"], name="revision_by_run"), models.Index(fields=["service", "-revised_at"], name="revision_latest")]

    def __str__(self) -> str:
        return f"{self.metric} {self.period} {self.period_start}"
