"""The repositories of a service."""

from django.db import models

from dora_metrics.models.service import Service


class Repository(models.Model):
    """A repository on GitHub.

    Issue numbers, pull request numbers and commit shas are unique only within one repository, so each fact from GitHub belongs to a
    repository.
    """

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="repositories")
    name = models.CharField(max_length=200, help_text="owner/name, as GitHub last reported it")
    names = models.JSONField(default=list, blank=True, help_text="every owner/name that it has had; references under any of these names are resolved")
    github_id = models.BigIntegerField(null=True, blank=True, help_text="identifies it after a rename; empty before its first collection")
    node_id = models.CharField(max_length=100, blank=True, help_text="the same in GraphQL")
    default_branch = models.CharField(max_length=250, blank=True, help_text="as GitHub last reported it")
    default_branches = models.JSONField(default=list, blank=True, help_text="every name that its default branch has had")
    has_paths = models.BooleanField(default=False, help_text="its pull requests were collected with their changed files")
    is_collected = models.BooleanField(default=True, help_text="an enabled source collects it; metrics do not wait for other repositories")
    facts_version = models.PositiveBigIntegerField(default=0, editable=False, help_text="grows whenever a fact of the repository is written")

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["service", "github_id"], name="repository_once")]
        verbose_name_plural = "repositories"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def note_new_facts(cls, repository_id: int) -> None:
        """Raise `facts_version`. Call it in the transaction that has written facts of the repository."""
        cls.objects.filter(pk=repository_id).update(facts_version=models.F("facts_version") + 1)
