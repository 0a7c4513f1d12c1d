"""Workers are replaced by those of a new version while a night runs, and get what the former version has left in the queues."""

import base64
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django_celery_results.models import TaskResult

from callcentersite.celery import app
from dora_metrics.models import Service
from etl_tasks import inline, ledger, pipeline
from etl_tasks.models import DeadLetter, ETLRun, Source
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.end_to_end.conftest import PATIENCE_SECONDS, Stack
from tests.end_to_end.test_night import stored_lines
from tests.etl_tasks.test_messages import LETTER, RECORDED, RUN, SERVICE, SOURCE, body_of
from tests.etl_tasks.test_stages import lines
from tests.tables import assert_equal_to_truth

# With SIGQUIT, which Docker Compose sets, a worker that has a stage takes a minute to end.
REMAP_SIGTERM = os.environ.get("REMAP_SIGTERM", "")
pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.django_db(transaction=True)]


def test_new_workers_end_the_night_and_the_messages_of_former_ones(stack: Stack, world: World) -> None:
    stack.logs.write_text(lines(0, 500))
    stack.github.latency_seconds = 0.2
    night = pipeline.open_night(pipeline.local_today())
    run = next(run for run in night if run.source.kind == "github")
    with stack.running("worker", GITHUB_PAGE_SIZE="20", REMAP_SIGTERM=REMAP_SIGTERM) as started:
        stack.wait(lambda: _steps(run) > 1, "extract has committed something")
        started["worker"].send_signal(signal.SIGTERM)
        assert started["worker"].wait(PATIENCE_SECONDS) == 0
    run.refresh_from_db()
    assert (run.stage, run.owner) == ("transform", ""), "the worker has given up its stage, or has begun another one"

    waiting, ids = _what_messages_name()
    with app.connection_for_write() as broker:
        for entry in _nonsense(RECORDED["0.1.0"][0]):
            _push(broker, entry)
        recorded = [_of_rows(entry, ids) for version in RECORDED.values() for entry in version]
        for entry in recorded:
            _push(broker, entry)
    stack.github.latency_seconds = 0
    with stack.running("worker") as started:
        for each in [*night, *waiting]:
            stack.wait_for(each)
            assert (each.status, each.error, each.resends) == ("success", "", 0)
            assert each.extracted == each.loaded + each.skipped
        results = {entry["message"]["headers"]["id"] for entry in recorded if not entry["message"]["headers"]["ignore_result"]}
        stack.wait(lambda: TaskResult.objects.filter(task_id__in=results, status="SUCCESS").count() == len(results), "each message has its result")
        assert started["worker"].poll() is None
    assert [each.attempt for each in night] == [3, 3], "a stage was run twice"
    assert_equal_to_truth(world, END, has_runs=False)
    assert stored_lines(Source.objects.filter(kind="logs").earliest("pk")) == sorted(f"line {i}" for i in range(500))
    assert not DeadLetter.objects.filter(state="open").exists()


def _steps(run: ETLRun) -> int:
    return ETLRun.objects.get(pk=run.pk).steps


# --- messages ---------------------------------------------------------------------------------------------------------


def _what_messages_name() -> tuple[list[ETLRun], dict[Any, int]]:
    """Create a run that waits for each stage, and a letter. Return the runs, and the ids of all these rows by the ids in the recorded messages."""
    path, runs, ids = Source.objects.get(kind="logs").path, list[ETLRun](), dict[Any, int]()
    for stage in ledger.STAGES:
        service = Service.objects.create(name=f"former-{stage}")
        source = Source.objects.create(name=f"{path}-{stage}"[-100:], service=service, kind="logs", path=path, log_format="json")
        # A run of this night, so that the recorded message of a night opens no other one.
        run = ledger.open_run(source, trigger="shell", logical_date=pipeline.local_today())
        assert run
        for earlier in ledger.STAGES[: ledger.STAGES.index(stage)]:
            inline.run_stage(run.pk, earlier)
        runs.append(run)
        ids |= {RUN[stage]: run.pk, SOURCE[stage]: source.pk, SERVICE[stage]: service.pk}
    letter = DeadLetter.objects.create(source=source, run=run, key="x", kind="record", stage="transform", error="x", state="discarded")
    return runs, {**ids, LETTER: letter.pk}


def _of_rows(entry: dict[str, Any], ids: dict[Any, int]) -> dict[str, Any]:
    """Return a recorded message that names these rows and does not expire while it waits."""

    def of_rows(argument: Any) -> Any:
        return [of_rows(one) for one in argument] if isinstance(argument, list) else ids.get(argument, argument)

    arguments, *rest = body_of(entry["message"])
    return _changed(entry, [of_rows(arguments), *rest], expires=None)


def _changed(entry: dict[str, Any], body: Any = None, **headers: Any) -> dict[str, Any]:
    message = entry["message"]
    text = base64.b64decode(message["body"]) if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return {**entry, "message": {**message, "body": base64.b64encode(text).decode(), "headers": {**message["headers"], **headers}}}


def _nonsense(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the message with its body or its headers damaged."""
    for text in (b"", b"no JSON", b"[]", b"[1, 2, 3]", b'[[], {}, {"chain": 7}]', b'[["x"], {}, {}]', b'[[null, 1], {"a": 1}, null]', b'{"id": 1}'):
        yield _changed(entry, text)
    for changed in ({"task": "etl.unknown"}, {"task": None}, {"task": 7}, {"id": None}, {"argsrepr": 5}, {"expires": "yesterday"}):
        yield _changed(entry, **changed)
    message = entry["message"]
    for damaged in ({"body": "%%%"}, {"content-type": "application/x-python-serialize"}, {"headers": {}}):
        yield {**entry, "message": {**message, **damaged}}


def _push(broker: Any, entry: dict[str, Any]) -> None:
    """Put the message into its queue, in the form in which Redis holds it."""
    broker.default_channel.client.lpush(entry["queue"], json.dumps(entry["message"]))
