"""Faults of the kinds that GitHub has, too. Each is switched on by a setting.

An operation is the name of a query, a name in REST_NAMES (for example WorkflowRuns), or a path. In place of an operation, true
means all operations. Times are in seconds.

These faults replace an answer:
- {"outage": operation, "status": 502}: an empty answer with this status.
- {"every": n, "status": 502}: the same for each nth request.
- {"retry_after": s, "status": 429}: a secondary rate limit.
- {"unfinished_above": n}: a 502 if a page asks for more records or ids than this.
- {"garbage": operation}: a body that is not JSON.
- {"redirect": operation, "to": address}: a redirect.
- {"instead": operation, "answer": JSON}: a 200 with this body.
- {"echo": operation, "status": 403}: a refusal whose message repeats the Authorization header; with the status 200, a GraphQL error.

These faults change an answer:
- {"slow_seconds": s}: each answer is delayed by this time.
- {"bad_record": operation}: the last record has an invalid date.
- {"null_nodes": operation, "error_type": type}: the last record is null, with an error, which has this type if one is given.
- {"null_object": operation}: the commit is null, with an error.
- {"new_enum": operation}: the last record has an unknown state.
- {"new_field": operation}: the records have an unknown field.
- {"new_ids": operation}: the records have other ids.
- {"cut": operation}: half of the body is sent, then the connection is closed.
- {"drip": operation, "drip_seconds": s}: the body is sent in small pieces, over this time.
- {"shift": operation, "shift_seconds": s}: after each answer, the server's clock is set forward by this time.

With {"repository": owner/name}, the faults happen only in requests that are about this repository alone.

{"rate": share, "seed": n} gives this share of the requests a fault that is chosen at random from RANDOM. With {"after": n}, the
first n faults do not happen. With {"times": n}, there are no more faults after n of them.
"""

import math
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from github_stand_in.call import Call, Reply

RANDOM = ("502", "504", "unfinished", "cut", "truncated", "secondary")
UNFINISHED = (
    "Something went wrong while executing your query. This may be the result of a timeout, or it could be a GitHub bug. "
    "Please include `0A1B:2C3D:4E5F` when reporting this issue."
)
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
TOO_SLOW = "We couldn't respond to your request in time. Sorry about that. Please try resubmitting your request."
NEW_STATE = "SOMETHING_NEW"
ONE_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Strike:
    """The fault of one request: a refusal in place of the answer, or damage to the answer's body. If both are empty, there is no fault."""

    name: str = ""
    refusal: Reply | None = None
    damage: str = ""


class Faults:
    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.random = random.Random(settings.get("seed", 7))
        self._lock = threading.Lock()

    @property
    def slow_seconds(self) -> float:
        return float(self.settings.get("slow_seconds", 0))

    @property
    def drip_seconds(self) -> float:
        return float(self.settings.get("drip_seconds", 1))

    def strike(self, call: Call, number: int) -> Strike:
        """Choose the fault of a request. `number`: how many requests there have been, including this one."""
        settings = self.settings
        if not self._concerns(call):
            return Strike()
        if self._is_meant("outage", call) and self._may():
            return Strike("outage", self._plain_refusal())
        if "every" in settings and number % settings["every"] == 0 and self._may():
            return Strike("every", self._plain_refusal())
        if "retry_after" in settings and self._may():
            return Strike("retry_after", _secondary(settings.get("status", 429), settings["retry_after"]))
        if _records(call) > settings.get("unfinished_above", math.inf) and self._may():
            return Strike("unfinished_above", Reply(502, b""))
        if self._is_meant("garbage", call) and self._may():
            return Strike("garbage", Reply(200, b"<html>half a pa"))
        if self._is_meant("instead", call) and self._may():
            return Strike("instead", Reply(200, settings["answer"]))
        if self._is_meant("echo", call) and self._may():
            return Strike("echo", _echo(call, settings["status"]))
        if self._is_meant("redirect", call) and self._may():
            return Strike("redirect", Reply(302, b"", {"Location": settings["to"]}))
        for damage in ("cut", "drip"):
            if self._is_meant(damage, call) and self._may():
                return Strike(damage, damage=damage)
        return self._at_random(call)

    def spoil(self, call: Call, answer: Any) -> None:
        """Change the records of an answer in place, if a setting requires it."""
        for name, change in (("bad_record", _bad_date), ("new_enum", _new_state), ("new_field", _new_field), ("new_ids", _new_ids)):
            if self._is_meant(name, call) and self._may():
                for _, nodes in _lists(answer):
                    change(nodes)
        if self._is_meant("null_nodes", call) and self._may():
            for path, nodes in list(_lists(answer)):
                if nodes:
                    nodes[-1] = None
                    kind = {"type": self.settings["error_type"]} if "error_type" in self.settings else {}
                    error = {**kind, "path": [*path, len(nodes) - 1], "message": "Could not load this record."}
                    answer.setdefault("errors", []).append(error)

        if self._is_meant("null_object", call) and self._may():
            answer["data"]["repository"]["object"] = None
            answer.setdefault("errors", []).append({"path": ["repository", "object"], "message": "Could not load this commit."})

    def shift(self, call: Call) -> timedelta:
        if self._is_meant("shift", call) and self._may():
            return timedelta(seconds=self.settings.get("shift_seconds", ONE_DAY_SECONDS))
        return timedelta(0)

    def _is_meant(self, name: str, call: Call) -> bool:
        return self._concerns(call) and (self.settings.get(name) is True or self.settings.get(name) in call.names)

    def _concerns(self, call: Call) -> bool:
        repository = self.settings.get("repository")
        return repository is None or call.repository.lower() == repository.lower()

    def _may(self) -> bool:
        with self._lock:
            if self.settings.get("after", 0) > 0:
                self.settings["after"] -= 1
                return False
            if "times" in self.settings:
                self.settings["times"] -= 1
                return bool(self.settings["times"] >= 0)
            return True

    def _plain_refusal(self) -> Reply:
        return Reply(self.settings.get("status", 502), b"")

    def _at_random(self, call: Call) -> Strike:
        with self._lock:
            if self.random.random() >= self.settings.get("rate", 0):
                return Strike()
            name = self.random.choice(RANDOM)
            status = self.random.choice((403, 429))
        if not self._may():
            return Strike()
        refusals = {"502": Reply(502, b""), "504": Reply(504, {"message": TOO_SLOW}), "secondary": _secondary(status, 0)}
        if name == "unfinished":
            return Strike(name, Reply(200, {"data": None, "errors": [{"message": UNFINISHED}]}) if call.is_query else Reply(502, b""))
        return Strike(name, refusals.get(name), damage="" if name in refusals else name)


def _records(call: Call) -> int:
    """Return how many records the call asks for: its page size, or the number of its ids."""
    if not call.is_query:
        return int(call.query.get("per_page", 0))
    return max(int(call.variables.get("first") or 0), len(call.variables.get("ids") or ()))


def _echo(call: Call, status: int) -> Reply:
    message = f"Refused: Authorization: {call.authorization}"
    return Reply(status, {"data": None, "errors": [{"message": message}]} if status == 200 else {"message": message})


def _secondary(status: int, after: float) -> Reply:
    return Reply(status, {"message": SECONDARY, "status": str(status)}, {"Retry-After": str(after)})


def _lists(answer: Any) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield the path and the nodes of each list of records in an answer."""
    if isinstance(answer.get("workflow_runs"), list):
        yield ["workflow_runs"], answer["workflow_runs"]
    elif "run_attempt" in answer:
        yield [], [answer]
    for name, value in (answer.get("data") or {}).items():
        if isinstance(value, list):
            yield [name], value
        elif isinstance(value, dict):
            yield from _connections([name], value)


def _connections(path: list[str], repository: dict[str, Any]) -> Iterator[tuple[list[str], list[Any]]]:
    for name, value in repository.items():
        if not isinstance(value, dict):
            continue
        if isinstance(value.get("nodes"), list):
            yield [*path, name, "nodes"], value["nodes"]
        elif name in {"object", "pullRequest"}:
            yield from _connections([*path, name], value)


def _last(nodes: list[Any]) -> dict[str, Any]:
    return next((node for node in reversed(nodes) if isinstance(node, dict)), {})


def _bad_date(nodes: list[Any]) -> None:
    for name in ("createdAt", "committedDate", "created_at"):
        if name in _last(nodes):
            _last(nodes)[name] = "not a date"


def _new_state(nodes: list[Any]) -> None:
    last = _last(nodes)
    if "state" in last:
        last["state"] = NEW_STATE
    if last.get("conclusion"):
        last["conclusion"] = NEW_STATE.lower()


def _new_ids(nodes: list[Any]) -> None:
    for node in nodes:
        if isinstance(node, dict) and "id" in node:
            node["id"] = f"new_{node['id']}"


def _new_field(nodes: list[Any]) -> None:
    for node in nodes:
        if isinstance(node, dict):
            node["somethingNew"] = {"deep": [1, None]}
