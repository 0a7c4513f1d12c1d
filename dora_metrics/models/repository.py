"""A repository of a service."""

from django.db import models

from dora_metrics.models.service import Service


class Repository(models.Model):
    """What GitHub calls one repository. Numbers, shas and history have a meaning inside one only, so its facts belong to it."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="repositories")
    name = models.CharField(max_length=200, help_text="owner/name, as GitHub last told")
    names = models.JSONField(default=list, blank=True, help_text="every owner/name that it was ever known by: what closes or reverts here")
    github_id = models.BigIntegerField(
        null=True, blank=True, help_text="by which it is followed when it is renamed; empty before its first collection"
    )
    node_id = models.CharField(max_length=100, blank=True, help_text="the same for GraphQL")
    default_branch = models.CharField(max_length=250, blank=True, help_text="as GitHub last told")
    default_branches = models.JSONField(default=list, blank=True, help_text="every name that its default branch was ever known by")
    has_paths = models.BooleanField(default=False, help_text="its pull requests were collected with the files that they change")
    is_collected = models.BooleanField(default=True, help_text="an enabled source collects it; else it holds no metric up")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["service", "github_id"], name="repository_once")]
        verbose_name_plural = "repositories"

    def __str__(self) -> str:
        return self.name
