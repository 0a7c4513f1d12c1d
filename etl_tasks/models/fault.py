"""Failures that belong to no run, such as a failed step of the sweep."""

from django.db import models


class Fault(models.Model):
    """A lasting failure outside of a run. The row exists from the first failure until the next success."""

    name = models.CharField(max_length=100, unique=True)
    error = models.TextField(help_text="the error of the first failure; later ones are in the log")
    began_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["began_at"]

    def __str__(self) -> str:
        return self.name
