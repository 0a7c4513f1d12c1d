"""Fixtures that send Celery messages to an in-memory broker, so that tests need no server."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from callcentersite.celery import app
from etl_tasks import crash_points, ledger, stages

IN_MEMORY = "memory://"
NOTHING_LISTENS = "redis://127.0.0.1:9/0"


def replace_crash_point(monkeypatch: pytest.MonkeyPatch, replacement: Callable[[str], None]) -> None:
    """Call `replacement` instead of `crash_point`, which kills the process."""
    for module in (crash_points, stages):
        monkeypatch.setattr(module, "crash_point", replacement)


def use_broker(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send messages to the broker at `url` for the rest of the test."""
    monkeypatch.setenv("CELERY_BROKER_URL", url)  # Celery reads this variable itself and prefers it to any setting
    _forget_connections()


def _forget_connections() -> None:
    app._pool = app.amqp._producer_pool = None


@pytest.fixture
def sent_messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[tuple[str, list[Any]]]]]:
    """Use an in-memory broker. Return a function that returns the task and arguments of each message sent since its last call."""
    former, app.conf.broker_transport_options = app.conf.broker_transport_options, {}  # the configured options are for Redis only
    use_broker(IN_MEMORY, monkeypatch)

    def take_all() -> list[tuple[str, list[Any]]]:
        found = []
        with app.connection_for_read() as connection:
            for name in app.amqp.queues:
                queue = connection.SimpleQueue(name)
                while len(queue):
                    message = queue.get(block=False)
                    found.append((message.headers["task"], json.loads(message.body)[0]))
                    message.ack()
        return found

    take_all()
    yield take_all
    app.conf.broker_transport_options = former
    _forget_connections()


@pytest.fixture
def sent_runs(sent_messages: Callable[[], list[tuple[str, list[Any]]]]) -> Callable[[], list[int]]:
    """Return a function that returns the ids of the runs whose task chain was sent since its last call."""
    stages = {f"etl.{stage}" for stage in ledger.STAGES}
    return lambda: [arguments[0] for task, arguments in sent_messages() if task in stages]


@pytest.fixture
def broker_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    use_broker(NOTHING_LISTENS, monkeypatch)
    yield
    _forget_connections()
