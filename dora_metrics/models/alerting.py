"""Alert rules, and the episodes during which a rule is broken."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from dora_metrics.models.service import Service


class AlertRule(models.Model):
    """An alert rule.

    A rule about metrics is evaluated after each load. One alert is sent when an episode begins, and one when it ends. A rule about
    successful runs (`no_success`) is evaluated in etl_tasks/overdue_sources.py, and no AlertEpisode is stored for it.
    """

    class Kind(models.TextChoices):
        NO_DEPLOYMENT = "no_deployment", "no production deployment for so many days"
        FAIL_RATE = "fail_rate", "change fail rate above so many percent over the latest deployments"
        LEAD_TIME = "lead_time", "median lead time above so many hours over the latest changes"
        NO_SUCCESS = "no_success", "no successful run for so many hours"

    class Level(models.TextChoices):
        CRITICAL = "critical"
        WARNING = "warning"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=20, choices=Kind)
    level = models.CharField(max_length=10, choices=Level)
    threshold = models.FloatField(
        validators=[MinValueValidator(0), MaxValueValidator(100_000)], help_text="days, percent or hours, depending on the kind"
    )
    window = models.PositiveIntegerField(
        default=20,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text="a fail rate or lead time is computed over so many of the latest deployments or changes; with fewer there is no alert",
    )
    service = models.ForeignKey(Service, null=True, blank=True, on_delete=models.CASCADE, related_name="alert_rules", help_text="empty: all services")
    is_enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AlertEpisode(models.Model):
    """A span of time during which a rule was broken for a service."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="episodes")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="alert_episodes")
    # True while the episode is open, NULL after its end. So the constraint allows one open episode for each rule and service, and any
    # number of ended ones. A partial index would do the same, but MySQL has none.
    is_open = models.BooleanField(null=True, default=True)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    message = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rule", "service", "is_open"], name="one_open_episode")]
        indexes = [models.Index(fields=["service", "-began_at"], name="episode_latest")]

    def __str__(self) -> str:
        return f"{self.rule}: {self.service}"
