"""GitHub over HTTP: one session, and the one place where a status or exception becomes an error's kind.

The token is read here and goes nowhere else: not into a message, a log line, an error or a row.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import requests
from django.conf import settings
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from etl_tasks.errors import FatalError, RetriableError

logger = logging.getLogger(__name__)

LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
# The last REST version that has merge_commit_sha; GraphQL ignores it.
API_VERSION = "2022-11-28"
# GitHub's words for a query that it could not finish in time.
UNFINISHED = ("something went wrong", "timeout", "timedout", "couldn't respond")


class PassingFault(RetriableError):
    """Worth another attempt within seconds: a 5xx, a broken connection, an unfinished query."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came. `body` is verbatim; `headers` only those that reading on needs."""

    url: str
    status: int
    body: bytes
    etag: str
    next_url: str
    fetched_at: datetime

    @property
    def is_unchanged(self) -> bool:
        return self.status == requests.codes.not_modified


class GitHub:
    """One credential's connection to GitHub."""

    def __init__(self) -> None:
        if not settings.GITHUB_TOKEN:
            raise FatalError("GITHUB_TOKEN is empty: set it to a token that may read the repository (contents, deployments, pull requests, actions)")
        self._session = requests.Session()
        self._session.trust_env = True  # a company's proxy and CA bundle
        self._session.headers.update(
            {
                "Accept": "application/vnd.github+json",
                "User-Agent": "callcentersite-etl",
                "X-GitHub-Api-Version": API_VERSION,
            }
        )

    def __repr__(self) -> str:
        return f"GitHub({settings.GITHUB_API_URL})"

    def query(self, query: str, variables: Mapping[str, object]) -> Answer:
        """POST one GraphQL query. Raises RetriableError or FatalError also for errors inside a 200."""
        return self._attempt("POST", settings.GITHUB_GRAPHQL_URL, payload={"query": query, "variables": dict(variables)})

    def get(self, url: str, *, etag: str = "") -> Answer:
        """GET a REST address below GITHUB_API_URL, conditionally if `etag` is given."""
        if urlsplit(url).netloc != urlsplit(settings.GITHUB_API_URL).netloc:
            raise FatalError(f"GitHub named a next page on another host ({urlsplit(url).netloc}): the token is not sent there")
        return self._attempt("GET", url, etag=etag)

    def _attempt(self, method: str, url: str, *, payload: Mapping[str, object] | None = None, etag: str = "") -> Answer:
        attempts = Retrying(
            retry=retry_if_exception_type(PassingFault),
            stop=stop_after_attempt(settings.ETL_MAX_ATTEMPTS),
            wait=wait_exponential(multiplier=settings.ETL_BACKOFF_SECONDS, min=settings.ETL_BACKOFF_SECONDS, max=settings.ETL_BACKOFF_MAX_SECONDS),
            reraise=True,
        )
        return attempts(self._request, method, url, payload, etag)

    def _request(self, method: str, url: str, payload: Mapping[str, object] | None, etag: str) -> Answer:
        headers = {"Authorization": f"Bearer {settings.GITHUB_TOKEN}"}
        if etag:
            headers["If-None-Match"] = etag
        began = time.monotonic()
        try:
            # No redirects: a renamed repository answers GraphQL directly, and a token must not follow to another host.
            response = self._session.request(
                method, url, json=payload, headers=headers, timeout=settings.GITHUB_TIMEOUT_SECONDS, allow_redirects=False, stream=True
            )
            body = _body(response, deadline=began + 2 * settings.GITHUB_TIMEOUT_SECONDS)
        except requests.RequestException as exc:
            raise PassingFault(f"GitHub cannot be reached at {settings.GITHUB_API_URL} ({type(exc).__name__})") from exc
        answer = Answer(
            url=url,
            status=response.status_code,
            body=body,
            etag=response.headers.get("ETag", ""),
            next_url=response.links.get("next", {}).get("url", ""),
            fetched_at=datetime.now(UTC),
        )
        _raise_for_status(answer, response.headers)
        if payload is not None:
            _raise_for_errors(body)
        return answer


def _body(response: requests.Response, *, deadline: float) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_content(256 * 1024):
        size += len(chunk)
        if size > LARGEST_ANSWER_BYTES:
            raise FatalError(f"GitHub's answer is larger than {LARGEST_ANSWER_BYTES} bytes: lower GITHUB_PAGE_SIZE")
        if time.monotonic() > deadline:  # a read timeout alone lets a slow drip go on for ever
            raise PassingFault("GitHub's answer came too slowly")
        chunks.append(chunk)
    return b"".join(chunks)


def _raise_for_status(answer: Answer, headers: Mapping[str, str]) -> None:
    status = answer.status
    if status in {200, 304}:
        return
    if status in {403, 429} and (wait := _limit_wait(answer, headers)) is not None:
        raise RetriableError(f"GitHub's rate limit is reached (HTTP {status}); it asks to wait {wait:.0f} s", retry_after=wait)
    if status >= 500:
        raise PassingFault(f"GitHub answered HTTP {status}")
    if status == 401:
        raise FatalError("GitHub does not accept the token (HTTP 401): GITHUB_TOKEN is wrong, expired or revoked")
    if status == 403:
        raise FatalError(f"GitHub forbids this to the token (HTTP 403, {_message(answer.body)}): give it read access to the repository")
    if status == 404:
        raise FatalError(
            f"GitHub knows nothing at {urlsplit(answer.url).path} (HTTP 404): the repository does not exist or the token may not read it"
        )
    if 300 <= status < 400:
        raise FatalError(f"GitHub redirects {urlsplit(answer.url).path} (HTTP {status}): the repository was renamed or moved; correct its source")
    raise FatalError(f"GitHub answered HTTP {status}: {_message(answer.body)}")


def _limit_wait(answer: Answer, headers: Mapping[str, str]) -> float | None:
    """Seconds that a primary or secondary limit asks to wait; None for another refusal, which no waiting cures."""
    if (after := headers.get("Retry-After", "")).isdecimal():
        return float(after)
    if headers.get("X-RateLimit-Remaining") == "0":
        reset = headers.get("X-RateLimit-Reset", "")
        return max(1.0, float(reset) - time.time() + 1) if reset.isdecimal() else 60.0
    if answer.status == 429 or b"secondary rate limit" in answer.body or b"abuse detection" in answer.body:
        return 60.0
    return None


def _raise_for_errors(body: bytes) -> None:
    """GraphQL reports failures inside a 200; what is not even JSON is staged and buried later, with its page."""
    try:
        decoded = json.loads(body)
    except ValueError:
        return
    errors = decoded.get("errors") if isinstance(decoded, dict) else None
    if not isinstance(errors, list) or not errors:
        return
    first = errors[0] if isinstance(errors[0], dict) else {}
    message = str(first.get("message", ""))[:300]
    match first.get("type"):
        case "NOT_FOUND" if first.get("path") == ["repository"]:
            raise FatalError(f"{message}: it does not exist, or the token may not read it")
        case "FORBIDDEN" | "INSUFFICIENT_SCOPES":
            if not isinstance(decoded.get("data"), dict) or decoded["data"].get("repository") is None:
                raise FatalError(f"GitHub forbids this to the token: {message}")
        case "RATE_LIMITED" | "RATE_LIMIT":
            raise RetriableError("GitHub's GraphQL rate limit is reached", retry_after=60.0)
        case _:
            if any(words in message.lower() for words in UNFINISHED):
                raise PassingFault(f"GitHub could not finish the query: {message}")
            if decoded.get("data") is None or decoded["data"].get("repository") is None:
                raise FatalError(f"GitHub refuses the query: {message}")
    logger.warning("answer_with_errors", extra={"error": message})


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])[:200]
    except (ValueError, KeyError, TypeError):
        return "no message"
