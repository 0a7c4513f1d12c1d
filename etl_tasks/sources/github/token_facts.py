"""What GitHub says about a credential: until when it is valid, what it may do, and what is left of its limits."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from etl_tasks.sources.github.client import GitHub, NotFound

EXPIRY_FORMAT = "%Y-%m-%d %H:%M:%S %z"


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """`scopes`: of a classic token; empty for the other kinds, which have permissions that GitHub does not tell. `expires_at`: None if it
    never expires, or if GitHub does not say. `server_time`: GitHub's clock; None if unknown. `points_left`, `points`: of the hourly GraphQL
    limit; None on a server without limits.
    """

    scopes: tuple[str, ...]
    expires_at: datetime | None
    server_time: datetime | None
    points_left: int | None
    points: int | None
    resets_at: datetime | None


def token_facts(credential: str) -> TokenFacts:
    """Return what GitHub says about the credential with this name; empty for the default one. Raises RetriableError or FatalError."""
    github = GitHub(credential)
    try:
        answer, headers = github.ask_limits()
    except NotFound:  # an Enterprise Server without rate limits; the token was accepted, because otherwise the status is 401
        return TokenFacts((), None, None, None, None, None)
    return facts_of(answer.json(), headers)


def facts_of(content: Any, headers: Mapping[str, str]) -> TokenFacts:
    """Return the facts in the answer to /rate_limit. What has an unexpected form is left out."""
    scopes = tuple(scope.strip() for scope in headers.get("X-OAuth-Scopes", "").split(",") if scope.strip())
    left: dict[str, int] = {}
    with suppress(KeyError, TypeError, ValueError):
        left = {name: int(content["resources"]["graphql"][name]) for name in ("remaining", "limit", "reset")}
    return TokenFacts(
        scopes=scopes,
        expires_at=_expiry(headers.get("GitHub-Authentication-Token-Expiration", "")),
        server_time=_server_time(headers.get("Date", "")),
        points_left=left.get("remaining"),
        points=left.get("limit"),
        resets_at=datetime.fromtimestamp(left["reset"], UTC) if "reset" in left else None,
    )


def _expiry(text: str) -> datetime | None:
    """Return the time in a text such as "2026-12-31 22:59:59 UTC" or "2026-12-31 22:59:59 -0500"; None for any other text."""
    with suppress(ValueError):
        return datetime.strptime(re.sub(r" UTC$", " +0000", text.strip()), EXPIRY_FORMAT).astimezone(UTC)
    return None


def _server_time(text: str) -> datetime | None:
    with suppress(ValueError, TypeError):
        return parsedate_to_datetime(text).astimezone(UTC)
    return None
