"""The table of faults. A fault is a failure outside of runs, for example of a step of the sweep."""

from django.db import models


class Fault(models.Model):
    """A failure outside of runs. The row is created at the first failure and deleted at the next success."""

    name = models.CharField(max_length=100, unique=True)
    error = models.TextField(help_text="the error of the first failure; later ones are in the log")
    began_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["began_at"]

    def __str__(self) -> str:
        return self.name
