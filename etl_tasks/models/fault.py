"""Failures that belong to no run, such as a failed step of the sweep."""

from django.db import models


class Fault(models.Model):
    """What goes wrong beside the runs, such as a step of the sweep: from its first failure until it has gone well again."""

    name = models.CharField(max_length=100, unique=True)
    error = models.TextField(help_text="of the first failure; the log has the later ones")
    began_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["began_at"]

    def __str__(self) -> str:
        return self.name
