"""Tokens with which programs read the API."""

import hashlib
import secrets
from typing import Self

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

PREFIX = "ccs_"  # lets secret scanners and people recognise a token


def validate_token_name(name: str) -> None:
    if len(name) > 100 or not name.isprintable() or name != name.strip():
        sentence = _("%(name)r cannot be a token's name: take at most 100 printable letters, without blanks at its ends")
        raise ValidationError(sentence % {"name": name[:20]})


class ApiToken(models.Model):
    """A read-only token. Only its digest is stored, so a lost token cannot be shown again."""

    name = models.CharField(max_length=100, unique=True, validators=[validate_token_name], help_text="the person or program that uses it")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="to the hour")
    is_enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def create(cls, name: str) -> tuple[Self, str]:
        """Create a token. Return its row, and the token itself, which is not stored. Raises ValidationError if the name is not valid."""
        token = PREFIX + secrets.token_urlsafe(32)
        row = cls(name=name, digest=digest(token))
        row.full_clean(validate_unique=False)
        row.save()
        return row, token


def digest(token: str) -> str:
    """Return the digest of a token, which is stored instead of the token.

    A token of 256 random bits cannot be guessed, so it needs no salt and no slow hash.
    """
    return hashlib.sha256(token.encode()).hexdigest()
