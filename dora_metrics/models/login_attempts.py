"""What was tried at the login and with API tokens, so that guessing can be stopped."""

from django.db import models


class LoginAttempts(models.Model):
    """The attempts from one address with one name.

    `name`: for passwords the account, for tokens a digest of what was sent. A name that no account has is stored as a digest, too: people
    sometimes type their password there. `failures`: since the last success, or since the last time that was long without a failure.
    """

    class Kind(models.TextChoices):
        PASSWORD = "password", "password"
        TOKEN = "token", "API token"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=150)
    address = models.CharField(max_length=50)
    failures = models.PositiveIntegerField(default=0)
    failed_at = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-failed_at"]
        verbose_name = verbose_name_plural = "login attempts"
        constraints = [models.UniqueConstraint(fields=["kind", "name", "address"], name="login_attempts_key")]
        indexes = [models.Index(fields=["address", "failed_at"], name="login_attempts_address")]

    def __str__(self) -> str:
        return f"{self.name} from {self.address}"
