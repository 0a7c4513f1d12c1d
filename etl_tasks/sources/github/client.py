"""The HTTP client for GitHub. It turns HTTP statuses, errors inside answers and exceptions into the errors of etl_tasks/errors.py.

Only this module sends the token. The token never appears in a message, a log line, an error or a row.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec
import requests
from django.conf import settings
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential
from urllib3.exceptions import HTTPError

from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.sources.github.credentials import Credential
from etl_tasks.sources.github.page_sizes import PageSize
from etl_tasks.sources.github.rate_limits import RateLimits
from etl_tasks.sources.github.raw_values import as_list, decoded_json, decoded_part

logger = logging.getLogger(__name__)

LARGEST_PAGE = 100  # records; GitHub's limit
IDS_A_QUERY = 100  # GitHub's limit
LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
# The last version of the REST API in which pull requests have merge_commit_sha. GraphQL ignores the version.
API_VERSION = "2022-11-28"
# If GitHub could not finish a query in time, its error message contains one of these.
UNFINISHED = ("something went wrong", "timeout", "timedout", "couldn't respond")
_UNKNOWN_WAIT_SECONDS = 60.0


class PassingFault(RetriableError):
    """A fault that may be over some seconds later: a 5xx, a broken connection, an unfinished query."""


class PartialAnswer(PassingFault):
    """An incomplete answer. The request is sent again. If the answer to the last attempt is incomplete, too, it is used as it is."""

    def __init__(self, message: str, answer: "Answer") -> None:
        super().__init__(message)
        self.answer = answer


class Forbidden(FatalError):
    """The credential lacks a permission. collect.py turns this into a FatalError with the name of the permission that the stream needs."""


class NotFound(FatalError):
    """Nothing exists at an address, or the credential may not read it."""


class Moved(FatalError):
    """GitHub redirects to another address, because something was renamed. `location`: the new address."""

    def __init__(self, message: str, location: str) -> None:
        super().__init__(message)
        self.location = location


@dataclass(frozen=True)
class Answer:
    """An answer of GitHub. `body`: the bytes that GitHub sent, decompressed and otherwise unchanged."""

    url: str
    status: int
    body: bytes
    etag: str
    next_url: str
    fetched_at: datetime
    limit_wait: float | None = None  # seconds until the next request is allowed, if the headers say that a limit is used up
    part: msgspec.json.Decoder[Any] | None = None  # decodes what the caller reads; None to decode everything

    @property
    def is_unchanged(self) -> bool:
        return self.status == requests.codes.not_modified

    def json(self) -> Any:
        """Return the decoded body, or the part of it that was asked for; None if it is not JSON. It is shared, so it must not be changed."""
        return self._decoded

    @cached_property
    def _decoded(self) -> Any:
        if self.part:
            with suppress(msgspec.MsgspecError, ValueError, RecursionError):
                return decoded_part(self.body, self.part)
        return _decoded(self.body)


class _Bearer(requests.auth.AuthBase):
    """Puts the token into the Authorization header. It is passed as `auth`, because a plain header would be replaced by a .netrc file's entry."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def goes_in_clear(url: str) -> bool:
    """Return whether the token would be sent unencrypted to another machine although GITHUB_ALLOW_HTTP is not set."""
    parts = urlsplit(url)
    return parts.scheme != "https" and parts.hostname not in LOOPBACK and not settings.GITHUB_ALLOW_HTTP


class GitHub:
    """A connection to GitHub with one credential. Several threads may share it."""

    def __init__(self, credential_name: str = "") -> None:
        for address in (settings.GITHUB_API_URL, settings.GITHUB_GRAPHQL_URL):
            if goes_in_clear(address):
                raise FatalError(f"{address} would get the token over plain http: use https, or set GITHUB_ALLOW_HTTP=1 for a stand-in")
        self._credential = Credential(credential_name)
        self._app_token_lock = threading.Lock()
        self.request_count = 0  # may be too low if several threads have sent requests, but is not 0 then
        self.rate_limits = _rate_limits.setdefault(credential_name, RateLimits())
        self._session = requests.Session()
        self._session.trust_env = False  # `_environment` reads the variables once; the session would read them again for each request
        self._environments: dict[str, Mapping[str, Any]] = {}
        self._session.headers.update(
            {
                "Accept": "application/vnd.github+json",
                "User-Agent": "callcentersite-etl",
                "X-GitHub-Api-Version": API_VERSION,
            }
        )

    def __repr__(self) -> str:
        return f"GitHub({settings.GITHUB_API_URL})"

    def query(
        self,
        query: str,
        variables: Mapping[str, object],
        *,
        page: PageSize | None = None,
        is_tolerant: bool = False,
        part: msgspec.json.Decoder[Any] | None = None,
    ) -> Answer:
        """Send one GraphQL query. Raises RetriableError or FatalError, also for errors that an answer with status 200 reports.

        `page`: how many records the query asks for. The variable `first` is set to its size, or the list `ids` is cut to it.
        The size is halved after each attempt that GitHub cannot finish. `is_tolerant`: do not raise for errors that concern
        only a part of the answer; the caller handles them. `part`: a decoder of what the caller reads of the answer, and of its errors. An
        answer of another form is decoded as a whole.
        """

        def ask() -> Answer:
            sized = _sized(variables, page) if page else variables
            answer = self._request("POST", settings.GITHUB_GRAPHQL_URL, payload={"query": query, "variables": sized}, part=part)
            _raise_for_errors(answer, is_tolerant=is_tolerant)
            return answer

        answer = self._attempt(ask, page)
        if page:
            page.succeeded()
        return answer

    def get(self, url: str, *, etag: str = "", page: PageSize | None = None) -> Answer:
        """GET a REST address on the host of GITHUB_API_URL.

        `etag`: the ETag of an earlier answer, which makes the request conditional. `page`: the page size, if the address is a list's.
        """
        if urlsplit(url)[:2] != urlsplit(settings.GITHUB_API_URL)[:2]:
            raise FatalError(f"GitHub named a next page on another host ({urlsplit(url)[:2]}): the token is not sent there")

        tagged = page_of(url, page.size) if page else url

        def ask() -> Answer:
            address = page_of(url, page.size) if page else url
            answer = self._request("GET", address, etag=etag if address == tagged else "")
            if not answer.is_unchanged and answer.json() is None:
                raise PartialAnswer("GitHub's answer is not JSON", answer)
            return answer

        answer = self._attempt(ask, page)
        if page:
            page.succeeded()
        return answer

    def ask_limits(self) -> tuple[Answer, Mapping[str, str]]:
        """Ask once what is left of the hourly limits, and return the answer and its headers, which describe the token.

        The request costs nothing and is sent even if only the reserve is left. Raises RetriableError or FatalError.
        """
        url = f"{settings.GITHUB_API_URL}/rate_limit"
        response, body = self._exchange("GET", url, token=self._token())
        answer = Answer(url=url, status=response.status_code, body=body, etag="", next_url="", fetched_at=datetime.now(UTC))
        _raise_for_status(answer, response.headers)
        return answer, response.headers

    def _attempt(self, ask: Callable[[], Answer], page: PageSize | None = None) -> Answer:
        attempts = Retrying(
            retry=retry_if_exception_type(PassingFault),
            stop=stop_after_attempt(settings.ETL_MAX_ATTEMPTS),
            wait=wait_exponential(multiplier=settings.ETL_BACKOFF_SECONDS, min=settings.ETL_BACKOFF_SECONDS, max=settings.ETL_BACKOFF_MAX_SECONDS),
            before_sleep=partial(_halve, page) if page else None,
            reraise=True,
        )
        try:
            return attempts(ask)
        except PartialAnswer as exc:
            return exc.answer

    def _request(
        self,
        method: str,
        url: str,
        *,
        payload: Mapping[str, object] | None = None,
        etag: str = "",
        part: msgspec.json.Decoder[Any] | None = None,
    ) -> Answer:
        resource = "graphql" if payload is not None else "core"
        self.rate_limits.raise_if_reserve_reached(resource)
        response, body = self._exchange(method, url, token=self._token(), payload=payload, etag=etag)
        if response.status_code == requests.codes.unauthorized and self._credential.is_app:
            self._credential.forget()  # the token was revoked early, or the clock of this machine is wrong
            response, body = self._exchange(method, url, token=self._token(), payload=payload, etag=etag)
        self.rate_limits.update(resource, response.headers)
        answer = Answer(
            url=url,
            status=response.status_code,
            body=body,
            etag=response.headers.get("ETag", ""),
            next_url=response.links.get("next", {}).get("url", ""),
            fetched_at=datetime.now(UTC),
            limit_wait=_limit_wait_of(response.headers),
            part=part,
        )
        _raise_for_status(answer, response.headers)
        return answer

    def _exchange(
        self, method: str, url: str, *, token: str, payload: Mapping[str, object] | None = None, etag: str = ""
    ) -> tuple[requests.Response, bytes]:
        headers = {"If-None-Match": etag} if etag else {}
        self.request_count += 1
        began = time.monotonic()
        try:
            # Redirects are not followed, because the token must not be sent to another host. For a renamed repository, GraphQL answers without one.
            response = self._session.request(
                method,
                url,
                json=payload,
                headers=headers,
                auth=_Bearer(token),
                timeout=settings.GITHUB_TIMEOUT_SECONDS,
                allow_redirects=False,
                **self._environment(url),
            )
            body = _body(response, deadline=began + 2 * settings.GITHUB_TIMEOUT_SECONDS)
        except (requests.RequestException, HTTPError) as exc:
            raise PassingFault(f"GitHub cannot be reached at {settings.GITHUB_API_URL} ({type(exc).__name__})") from exc
        _hide(token, response.headers)
        return response, body.replace(token.encode(), b"*" * len(token))

    def _environment(self, url: str) -> Mapping[str, Any]:
        """Return how to reach the host of the address: with a company's proxy and CA bundle, if environment variables name them."""
        host = urlsplit(url).netloc
        if host not in self._environments:
            self._environments[host] = requests.Session().merge_environment_settings(url, {}, stream=True, verify=None, cert=None)
        return self._environments[host]

    def _token(self) -> str:
        if token := self._credential.token():
            return token
        with self._app_token_lock:
            if token := self._credential.token():
                return token
            url = f"{settings.GITHUB_API_URL}{self._credential.installation_path}"
            response, body = self._exchange("POST", url, token=self._credential.app_token(), payload={})
            if response.status_code in {401, 403, 404}:
                raise FatalError(
                    f"GitHub does not accept the App (HTTP {response.status_code}): check GITHUB_APP_ID, "
                    "GITHUB_APP_PRIVATE_KEY and GITHUB_APP_INSTALLATION_ID, and that it is installed for the repository"
                )
            decoded = _decoded(body)
            if response.status_code != requests.codes.created or not isinstance(decoded, dict) or not decoded.get("token"):
                raise PassingFault(f"GitHub gives the App no token (HTTP {response.status_code})")
            try:
                self._credential.keep(str(decoded["token"]), expires_at=str(decoded.get("expires_at")))
            except ValueError:
                raise PassingFault("GitHub does not say until when the App's token is good") from None
            return str(decoded["token"])


def page_of(url: str, size: int) -> str:
    """Return a list's address with a page size of `size`. Its page contains the first record of the page at `url`."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    begin = (int(query.pop("page", 1)) - 1) * int(query.get("per_page", size))
    query["per_page"] = str(size)
    if begin >= size:
        query["page"] = str(begin // size + 1)
    return urlunsplit(parts._replace(query=urlencode(query)))


def _sized(variables: Mapping[str, object], page: PageSize) -> dict[str, object]:
    page.asked = page.size
    ids = variables.get("ids")
    return {**variables, "ids": ids[: page.size]} if isinstance(ids, list) else {**variables, "first": page.size}


# By name of the credential. The next run of this process begins with the limits that the last run saw.
_rate_limits: dict[str, RateLimits] = {}


def store_budgets(*, interval: timedelta = timedelta()) -> None:
    """Store what is left of GitHub's limits for each credential of this process, unless this was done less than `interval` ago."""
    for name, limits in list(_rate_limits.items()):
        limits.store(name, interval=interval)


def _hide(token: str, headers: MutableMapping[str, str]) -> None:
    """Overwrite the token in the headers of an answer, as in its body. GitHub does not send it back, but a proxy on the way may, in an error page.

    The body is staged, and both may become part of an error message.
    """
    for name, value in headers.items():
        if token in value:
            headers[name] = value.replace(token, "*" * len(token))


def _body(response: requests.Response, *, deadline: float) -> bytes:
    """Return the decompressed body. Raises PassingFault if it has not arrived completely at `deadline`, a time of time.monotonic().

    A read timeout alone would never end a body of which a few bytes keep arriving. iter_content is not used, because it waits
    for whole chunks and the deadline could not be checked meanwhile.
    """
    chunks, size = [], 0
    while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
        size += len(chunk)
        if size > LARGEST_ANSWER_BYTES:
            response.close()
            raise FatalError(f"GitHub's answer is larger than {LARGEST_ANSWER_BYTES} bytes: lower GITHUB_PAGE_SIZE")
        if time.monotonic() > deadline:
            response.close()
            raise PassingFault("GitHub's answer came too slowly")
        chunks.append(chunk)
    return b"".join(chunks)


def _raise_for_status(answer: Answer, headers: Mapping[str, str]) -> None:
    status = answer.status
    if status in {200, 304}:
        return
    if status in {403, 429} and (wait := _limit_wait(answer, headers)) is not None:
        is_spent = headers.get("X-RateLimit-Remaining") == "0"
        raise RetriableError(f"GitHub's rate limit is reached (HTTP {status}); it asks to wait {wait:.0f} s", retry_after=wait, postpone=is_spent)
    if status >= 500:
        raise PassingFault(f"GitHub answered HTTP {status}")
    if status == 401:
        raise FatalError("GitHub does not accept the token (HTTP 401): GITHUB_TOKEN is wrong, expired or revoked")
    if status == 403:
        raise Forbidden(f"GitHub forbids this to the token (HTTP 403): {_message(answer.body)}")
    if status == 404:
        raise NotFound(f"GitHub knows nothing at {urlsplit(answer.url).path} (HTTP 404): the repository does not exist or the token may not read it")
    if 300 <= status < 400:
        message = f"GitHub redirects {urlsplit(answer.url).path} (HTTP {status}): the repository was renamed or moved; correct its source"
        raise Moved(message, headers.get("Location", ""))
    raise FatalError(f"GitHub answered HTTP {status}: {_message(answer.body)}")


def _limit_wait(answer: Answer, headers: Mapping[str, str]) -> float | None:
    """Return how many seconds to wait if a primary or secondary rate limit is reached; None if GitHub refuses for another reason."""
    if answer.limit_wait is not None:
        return answer.limit_wait
    if answer.status == 429 or b"secondary rate limit" in answer.body or b"abuse detection" in answer.body:
        return 60.0
    return None


def _limit_wait_of(headers: Mapping[str, str]) -> float | None:
    if (after := headers.get("Retry-After", "")).isdecimal():
        return float(after)
    if headers.get("X-RateLimit-Remaining") == "0":
        reset = headers.get("X-RateLimit-Reset", "")
        return max(1.0, float(reset) - time.time() + 1) if reset.isdecimal() else _UNKNOWN_WAIT_SECONDS
    return None


def _halve(page: PageSize, state: RetryCallState) -> None:
    """Halve the page size before the next attempt. After a partial answer it stays, because a smaller page would not complete the answer."""
    if state.outcome and not isinstance(state.outcome.exception(), PartialAnswer):
        page.failed()


def _raise_for_errors(answer: Answer, *, is_tolerant: bool) -> None:
    """Raise an exception for the errors that GraphQL reports in an answer with status 200, and PartialAnswer if the answer is not JSON.

    `is_tolerant`: as in GitHub.query.
    """
    decoded = answer.json()
    if decoded is None:
        raise PartialAnswer("GitHub's answer is not JSON", answer)
    errors = decoded.get("errors") if isinstance(decoded, dict) else None
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            _raise_for_error(answer, error, decoded.get("data"), is_tolerant=is_tolerant)


def _raise_for_error(answer: Answer, error: Mapping[str, Any], data: object, *, is_tolerant: bool) -> None:
    message = str(error.get("message", ""))[:300]
    kind, path = error.get("type"), as_list(error.get("path"))
    if kind in ("RATE_LIMITED", "RATE_LIMIT") or "secondary rate limit" in message.lower():
        wait = answer.limit_wait if answer.limit_wait is not None else _UNKNOWN_WAIT_SECONDS
        raise RetriableError(f"GitHub's GraphQL rate limit is reached: {message}", retry_after=wait, postpone=bool(kind))
    if any(words in message.lower() for words in UNFINISHED):
        raise PassingFault(f"GitHub could not finish the query: {message}")
    if data is None:
        raise FatalError(f"GitHub refuses the query: {message}")
    logger.warning("answer_with_errors", extra={"error": message})
    if is_tolerant:
        return
    match kind:
        case "NOT_FOUND" if path == ["repository"]:
            raise FatalError(f"{message} It does not exist, or the token may not read it")
        case "NOT_FOUND":
            return  # one record is gone: its node is null
        case "FORBIDDEN" | "INSUFFICIENT_SCOPES" if len(path) <= len(("repository", "issues")):
            raise Forbidden(f"GitHub forbids this to the token: {message}")
        case "FORBIDDEN" | "INSUFFICIENT_SCOPES":
            return
    raise PartialAnswer(f"GitHub could not give a part of the answer: {message}", answer)


def _decoded(body: bytes) -> Any:
    try:
        return decoded_json(body)
    except (ValueError, RecursionError):  # the latter for thousands of nested lists
        return None


def _message(body: bytes) -> str:
    decoded = _decoded(body)
    return str(decoded["message"])[:200] if isinstance(decoded, dict) and "message" in decoded else "no message"
