"""A request and its reply, independent of the HTTP server."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

OPERATION = re.compile(r"\bquery\s+(\w+)")
# The paths under which GitHub Enterprise Server serves its REST and GraphQL APIs.
PREFIXES = ("/api/v3", "/api")
REST_NAMES = (
    (re.compile(r"/branches/.+$"), "Branch"),
    (re.compile(r"/actions/runs$"), "WorkflowRuns"),
    (re.compile(r"/actions/runs/\d+$"), "WorkflowRun"),
    (re.compile(r"/actions/runs/\d+/attempts/\d+$"), "WorkflowRunAttempt"),
)


@dataclass(frozen=True)
class Call:
    method: str
    address: str
    headers: Mapping[str, str] | Message = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def prefix(self) -> str:
        path = urlsplit(self.address).path
        return next((prefix for prefix in PREFIXES if path.startswith(prefix + "/")), "")

    @cached_property
    def path(self) -> str:
        return urlsplit(self.address).path.removeprefix(self.prefix)

    @cached_property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.address).query).items()}

    @property
    def is_query(self) -> bool:
        return self.method == "POST" and self.path == "/graphql"

    @cached_property
    def payload(self) -> dict[str, Any]:
        try:
            decoded = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return decoded if isinstance(decoded, dict) else {}

    @cached_property
    def variables(self) -> dict[str, Any]:
        return self.payload.get("variables") or {}

    @cached_property
    def operation(self) -> str:
        """Return the name of the request. For GraphQL, it is the name of the query, or "" if the query has none.

        For REST, it is the name in REST_NAMES whose pattern matches the path, or the path itself if no pattern matches.
        """
        if self.is_query:
            found = OPERATION.search(str(self.payload.get("query", "")))
            return found[1] if found else ""
        return next((name for pattern, name in REST_NAMES if pattern.search(self.path)), self.path)

    @cached_property
    def repository(self) -> str:
        """Return owner/name of the repository that the request is about; "" if it names none or several."""
        if self.is_query:
            owner, name = self.variables.get("owner"), self.variables.get("name")
            return f"{owner}/{name}" if owner and name else ""
        parts = self.path.strip("/").split("/")
        return "/".join(parts[1:3]) if parts[0] == "repos" else ""

    @property
    def names(self) -> set[str]:
        return {self.operation, "" if self.is_query else self.path} - {""}

    @property
    def authorization(self) -> str:
        return str(self.headers.get("Authorization", ""))


@dataclass
class Reply:
    """A reply. `content`: bytes, or a value that is sent as JSON. `is_cut`: send half of the body, then close the connection.

    `drip_seconds`: if not 0, send the body in small pieces, over this time.
    """

    status: int
    content: Any
    headers: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False
    drip_seconds: float = 0.0

    @cached_property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content, separators=(",", ":")).encode()
