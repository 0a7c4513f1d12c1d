"""Concurrent requests. The store sends a request again if the driver could not send it, but not if a server refused it. Results stay in order."""

from collections.abc import Iterator

import pytest
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy

from log_store.cassandra.connection import REQUESTS_IN_FLIGHT, in_flight


class Session:
    """A session that returns each statement as its own result. `refusals`: the errors that a statement raises first."""

    def __init__(self, refusals: dict[int, list[Exception]]) -> None:
        self.refusals = refusals
        self.sent: list[int] = []

    def execute_async(self, statement: int, execution_profile: object) -> "Future":
        self.sent.append(statement)
        left = self.refusals.get(statement)
        return Future(statement, left.pop() if left else None)


class Future:
    def __init__(self, statement: int, refusal: Exception | None) -> None:
        self.statement, self.refusal = statement, refusal

    def result(self) -> int:
        if self.refusal:
            raise NoHostAvailable("nobody", {"127.0.0.1": self.refusal})
        return self.statement


def test_a_full_socket_is_waited_for_and_the_answers_stay_in_order() -> None:
    session = Session({3: [ConnectionBusy("full"), ConnectionBusy("full")], 7: [ConnectionBusy("full")]})
    assert list(in_flight(session, range(20))) == list(range(20))
    assert session.sent.count(3) == 3


def test_no_more_are_under_way_than_allowed() -> None:
    session = Session({})

    answered: list[int] = []

    def given() -> Iterator[int]:
        for number in range(20):
            assert number - len(answered) <= REQUESTS_IN_FLIGHT
            yield number

    for answer in in_flight(session, given()):
        answered.append(answer)


def test_another_refusal_is_not_hidden() -> None:
    with pytest.raises(NoHostAvailable):
        list(in_flight(Session({1: [OSError("gone")]}), range(3)))
