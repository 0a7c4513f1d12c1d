"""The messages that tasks are sent with. A message that waits while workers are replaced must mean the same to those of the next version.

recorded_messages.json has the messages of each version that changed them. The tasks take the arguments of every version, and the newest
messages are what is sent now.
"""

import base64
import inspect
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from django.conf import settings

from callcentersite.celery import app
from etl_tasks import ledger, pipeline, tasks
from etl_tasks.models import ETLRun, Source
from etl_tasks.replay_tasks import replay_alike

app.loader.import_default_modules()
FILE = Path(__file__).with_name("recorded_messages.json")
RECORDED: dict[str, list[dict[str, Any]]] = json.loads(FILE.read_text())
# The ids that the recorded messages name.
RUN = {"extract": 4101, "transform": 4102, "load": 4103}
SOURCE = {"extract": 4201, "transform": 4202, "load": 4203}
SERVICE = {"extract": 4301, "transform": 4302, "load": 4303}
LETTER = 4401


def send_each(source: Source) -> None:
    """Send a message of every task, as the product does."""
    for stage in ledger.STAGES:
        pipeline.send(ETLRun(pk=RUN[stage], stage=stage, source=source))
    pipeline.send_settled([RUN["extract"], RUN["load"]])
    pipeline.send_deletion()
    tasks.recompute.delay(SERVICE["extract"])
    replay_alike.delay(LETTER, "ana")
    replay_alike.delay(LETTER, "ana", 4400)  # a part of the letters was replayed already
    tasks.check.apply_async((SOURCE["extract"], "en"), queue=source.extract_queue, expires=pipeline.CHECK_SECONDS)
    pattern = ("/var/log/none/*.log", "json", "", "UTC", "en")
    tasks.preview.apply_async(pattern, queue=source.extract_queue, expires=pipeline.CHECK_SECONDS)
    for name in ("etl.nightly", "etl.sweep", "etl.prune"):  # as beat does
        app.tasks[name].apply_async(args=[], kwargs={})


def body_of(message: dict[str, Any]) -> list[Any]:
    decoded: list[Any] = json.loads(base64.b64decode(message["body"]))
    return decoded


def meaning(entry: dict[str, Any]) -> str:
    """Return what a worker needs of a message: its queue, its task, the types of its arguments, and the tasks that follow."""
    arguments, keywords, embedded = body_of(entry["message"])
    following = [(task["task"], task["args"], task["options"].get("queue")) for task in embedded.get("chain") or ()]
    return json.dumps(
        [entry["queue"], entry["message"]["headers"]["task"], [type(value).__name__ for value in arguments], sorted(keywords), following]
    )


def take_raw() -> list[dict[str, Any]]:
    """Take the messages from the broker in memory, in the form in which Redis holds them."""
    found: list[dict[str, Any]] = []
    with app.connection_for_read() as connection:
        for name in app.amqp.queues:
            with suppress(Empty):
                while True:
                    found.append({"queue": name, "message": connection.default_channel._get(name)})
    return found


@pytest.mark.django_db
def test_what_is_sent_now_are_the_newest_recorded_messages(billing: Source, sent_messages: Callable[[], Any]) -> None:
    send_each(billing)
    sent = {meaning(entry) for entry in take_raw()}
    newest = list(RECORDED)[-1]
    assert sent == {meaning(entry) for entry in RECORDED[newest]}, (
        "A worker of the former version may get these messages, and a worker of this one the former messages: prefer a new task to a changed one, "
        f"and add what is sent now to {FILE.name} under this version"
    )


@pytest.mark.parametrize("version", RECORDED)
def test_a_recorded_message_has_a_task_that_takes_its_arguments(version: str) -> None:
    for entry in RECORDED[version]:
        arguments, keywords, embedded = body_of(entry["message"])
        called = [(entry["message"]["headers"]["task"], arguments, keywords)]
        called += [(task["task"], [1, *task["args"]], task["kwargs"]) for task in embedded.get("chain") or ()]
        for name, given, named in called:
            inspect.signature(app.tasks[name].run).bind(*given, **named)
        assert entry["queue"] in {queue.name for queue in settings.CELERY_TASK_QUEUES}


def test_every_task_has_a_recorded_message() -> None:
    newest = RECORDED[list(RECORDED)[-1]]
    assert {entry["message"]["headers"]["task"] for entry in newest} == {name for name in app.tasks if name.startswith("etl.")}
