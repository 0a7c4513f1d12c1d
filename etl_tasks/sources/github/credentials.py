"""The credentials for GitHub: a token, or a GitHub App, whose token is renewed before it expires.

Secrets leave this module only for a request's header. They never appear in a repr, a message, a log line or a row.
"""

import time
from datetime import datetime
from typing import Any

from django.conf import settings

from dora_metrics.name_suggestions import closest
from etl_tasks.errors import FatalError

RENEW_BEFORE_END_SECONDS = 300
LONGEST_JWT_SECONDS = 540  # GitHub accepts at most ten minutes, measured by GitHub's clock
CLOCK_SKEW_SECONDS = 60

# The token and its expiry time, by installation and App. So a process requests a token once an hour instead of once for each run.
_app_tokens: dict[tuple[str, str], tuple[str, float]] = {}


class Credential:
    """One credential from the environment. Raises FatalError if it is not set.

    `name`: the name of the credential that a source uses; empty for the default credential.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        given: Any = settings.GITHUB_CREDENTIALS.get(name)
        if given is None:
            raise FatalError(
                f"the source's credential {name} is not in the environment{_meant(name)}: set GITHUB_TOKEN_{name}, "
                f"or GITHUB_APP_ID_{name}, GITHUB_APP_PRIVATE_KEY_{name} and GITHUB_APP_INSTALLATION_ID_{name}"
            )
        self._given = given
        self.is_app = bool(given["app_id"] and given["private_key"] and given["installation_id"])
        if not given["token"] and not self.is_app:
            raise FatalError(
                "GITHUB_TOKEN is empty: set it to a token that may read the repository (contents, deployments, pull requests, issues, actions), "
                "or set GITHUB_APP_ID, GITHUB_APP_PRIVATE_KEY and GITHUB_APP_INSTALLATION_ID"
            )

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"

    @property
    def installation_path(self) -> str:
        return f"/app/installations/{self._given['installation_id']}/access_tokens"

    def token(self) -> str:
        """Return the token; empty if an App has to request one first."""
        if not self.is_app:
            return str(self._given["token"])
        token, ends_at = _app_tokens.get(self._key, ("", 0.0))
        return token if time.time() < ends_at - RENEW_BEFORE_END_SECONDS else ""

    def app_token(self) -> str:
        """Return the JWT with which an App requests a token."""
        import jwt  # imported here, because only Apps need it; with the library cryptography, it takes 9 MB in each worker

        issued = int(time.time()) - CLOCK_SKEW_SECONDS
        claims = {"iat": issued, "exp": issued + LONGEST_JWT_SECONDS, "iss": self._given["app_id"]}
        try:
            return jwt.encode(claims, self._given["private_key"], algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError) as exc:
            raise FatalError(
                f"GITHUB_APP_PRIVATE_KEY is not a private key in PEM form ({type(exc).__name__}): give the whole file as GitHub made it"
            ) from None

    def keep(self, token: str, *, expires_at: str) -> None:
        _app_tokens[self._key] = token, datetime.fromisoformat(expires_at).timestamp()

    def forget(self) -> None:
        _app_tokens.pop(self._key, None)

    @property
    def _key(self) -> tuple[str, str]:
        return str(self._given["installation_id"]), str(self._given["app_id"])


def _meant(name: str) -> str:
    similar = closest(name, settings.GITHUB_CREDENTIALS)
    return f" (did you mean {similar}?)" if similar else ""
