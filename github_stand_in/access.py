"""Authentication with tokens and GitHub Apps, and which repositories and fields they may read."""

import importlib
import importlib.util
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from github_stand_in.worlds.facts import iso
from github_stand_in.worlds.world import World

BAD_TOKENS = ("", "wrong")
LONGEST_JWT_SECONDS, CLOCK_SKEW_SECONDS = 600, 60
INSTALLATION_PREFIX = "ghs_"


@dataclass(frozen=True, slots=True)
class Reader:
    """A user of the API. `repositories`: the repositories that may be read; None for all.

    `forbidden`: the fields of a repository that may not be read; "actions" stands for workflow runs.
    """

    name: str
    repositories: Collection[str] | None = None
    forbidden: Collection[str] = ()
    kind: str = "personal access token"

    def may_read(self, world: World) -> bool:
        return self.repositories is None or world.repository in self.repositories

    @property
    def refusal(self) -> str:
        return f"Resource not accessible by {self.kind}"


class Access:
    """The tokens that the server accepts, and what each may read.

    `tokens`: by token, the repositories that it may read; a token that is not named may read all. `forbidden`: by token or
    "installation ID", the fields that it may not read, as in Reader. `app_public_key`: the public key of a GitHub App; None if
    there is no App. `app_token_seconds`: how long a token of the App is valid. `installations`: by the id of an installation of the
    App, the repositories that it may read; None if every installation may read everything.
    """

    def __init__(
        self,
        *,
        tokens: Mapping[str, Collection[str]],
        forbidden: Mapping[str, Collection[str]],
        app_public_key: str | bytes | None,
        app_token_seconds: float,
        installations: Mapping[str, Collection[str] | None] | None,
    ) -> None:
        self.tokens, self.forbidden = tokens, forbidden
        self.app_public_key, self.app_token_seconds, self.installations = app_public_key, app_token_seconds, installations
        self._given: dict[str, tuple[str, float]] = {}  # by token of an App: its installation and its expiry time

    def reader(self, authorization: str) -> Reader | None:
        """Return the reader that the token belongs to, or None if the token is unknown or has expired."""
        token = authorization.partition(" ")[2]
        if token in BAD_TOKENS:
            return None
        if not token.startswith(INSTALLATION_PREFIX):
            return Reader(token, self.tokens.get(token), self.forbidden.get(token, ()))
        installation, end = self._given.get(token, ("", 0.0))
        if time.time() >= end:
            return None
        name = f"installation {installation}"  # the same for all tokens of an installation, because they share a budget
        readable = (self.installations or {}).get(installation)
        return Reader(name, readable, self.forbidden.get(name, ()), kind="integration")

    def installation_token(self, installation: str, authorization: str) -> tuple[int, dict[str, Any]]:
        """Return an HTTP status and an answer. If the App's signature is valid, the answer contains a new token."""
        if problem := self._problem(authorization.partition(" ")[2]):
            return 401, {"message": problem, "status": "401"}
        if self.installations is not None and installation not in self.installations:
            return 404, {"message": "Not Found", "status": "404"}
        token, end = f"{INSTALLATION_PREFIX}{secrets.token_hex(18)}", time.time() + self.app_token_seconds
        self._given[token] = installation, end
        return 201, {"token": token, "expires_at": iso(datetime.fromtimestamp(end, UTC)), "permissions": {"metadata": "read"}}

    def _problem(self, token: str) -> str:
        if self.app_public_key is None or importlib.util.find_spec("jwt") is None:
            return "A JSON web token could not be decoded"
        jwt = importlib.import_module("jwt")
        try:
            claims = jwt.decode(
                token,
                self.app_public_key,
                algorithms=["RS256"],
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iat", "iss"], "verify_sub": False, "verify_iss": False},
            )
        except jwt.PyJWTError:
            return "A JSON web token could not be decoded"
        if claims["exp"] > time.time() + LONGEST_JWT_SECONDS + CLOCK_SKEW_SECONDS:
            return "'Expiration time' claim ('exp') is too far in the future"
        return ""
