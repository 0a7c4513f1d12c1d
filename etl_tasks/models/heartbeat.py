"""Signs of life: when a part of the system last worked, what GitHub's limits were, and which nights HEARTBEAT_URL was told of."""

from datetime import datetime

from django.db import models


class Heartbeat(models.Model):
    """When something was last seen to work. etl_tasks/heartbeats.py writes the rows and lists their names."""

    name = models.CharField(max_length=150, unique=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class GitHubBudget(models.Model):
    """How much of one of GitHub's hourly limits a credential had left, as the latest answer said."""

    class Resource(models.TextChoices):
        GRAPHQL = "graphql", "GraphQL points"
        CORE = "core", "REST requests"

    credential = models.CharField(max_length=50, blank=True, help_text="the credential's name; empty for that of GITHUB_TOKEN or GITHUB_APP_ID")
    resource = models.CharField(max_length=10, choices=Resource)
    remaining = models.PositiveIntegerField()
    limit = models.PositiveIntegerField()
    resets_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="when GitHub answered")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["credential", "resource"], name="one_budget_a_resource")]
        ordering = ["credential", "resource"]
        verbose_name = "GitHub budget"

    def __str__(self) -> str:
        return f"{self.credential or 'default credential'}: {self.remaining} of {self.limit} {self.get_resource_display()}"

    def remaining_at(self, moment: datetime) -> int:
        """Return how much is left at `moment`: after the reset, the whole limit."""
        return self.limit if self.resets_at <= moment else self.remaining


class NightPing(models.Model):
    """What HEARTBEAT_URL was told of one night. etl_tasks/night_ping.py writes the rows."""

    class Verdict(models.TextChoices):
        UNTOLD = "", "not told yet"
        GOOD = "good"
        BAD = "bad"

    due = models.DateTimeField(unique=True, help_text="when the night was due")
    is_start_sent = models.BooleanField(default=False)
    verdict = models.CharField(max_length=10, choices=Verdict, default=Verdict.UNTOLD, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["due"]

    def __str__(self) -> str:
        return f"night of {self.due:%Y-%m-%d}"
