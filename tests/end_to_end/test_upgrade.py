"""Workers are replaced by those of a new version while a night runs, and get the messages that the old version has sent."""

import base64
import json
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
from tests.end_to_end.conftest import Stack
from tests.end_to_end.test_night import stored_lines
from tests.etl_tasks.test_messages import LETTER, RECORDED, RUN, SERVICE, SOURCE
from tests.etl_tasks.test_stages import lines
from tests.tables import assert_equal_to_truth

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.mark.chaos
def test_workers_that_are_restarted_in_mid_night_end_their_stages_and_lose_nothing(stack: Stack, world: World) -> None:
    stack.logs.write_text(lines(0, 2000))
    stack.github.latency_seconds = 0.2
    runs = pipeline.run_all()
    run = next(run for run in runs if run.source.kind == "github")
    for remapped in ("", "SIGQUIT"):  # Docker Compose sets REMAP_SIGTERM, so that a worker ends within a minute
        with stack.running("worker", GITHUB_PAGE_SIZE="10", REMAP_SIGTERM=remapped) as started:
            before = run.pages.count(), ETLRun.objects.get(pk=run.pk).stage
            stack.wait(lambda before=before: (run.pages.count(), ETLRun.objects.get(pk=run.pk).stage) != before, "the worker has done something")
            started["worker"].send_signal(signal.SIGTERM)
            assert started["worker"].wait(60) == 0
        assert not ETLRun.objects.exclude(owner="").exists(), "a stage was given up"
    assert ETLRun.objects.filter(status__in=ETLRun.ACTIVE).exists(), "the night was over before the second restart"
    stack.github.latency_seconds = 0
    with stack.running("worker"):
        for each in runs:
            stack.wait_for(each)
    for each in runs:
        assert (each.status, each.attempt, each.resends) == ("success", 3, 0), each.error
        assert each.extracted == each.loaded + each.skipped
    assert_equal_to_truth(world, END)
    assert stored_lines() == sorted(f"line {i}" for i in range(2000))
    assert not DeadLetter.objects.exists()


# --- messages ---------------------------------------------------------------------------------------------------------


def prepare(stack: Stack) -> list[ETLRun]:
    """Create what the recorded messages name: a run that waits for each stage, a service, a source and a letter."""
    stack.logs.write_text(lines(0, 30))
    runs = []
    for stage, number in RUN.items():
        service = Service.objects.create(pk=SERVICE[stage], name=f"upgraded-{stage}")
        values = (
            {"kind": "github", "repository": "acme/billing"}
            if stage == "extract"
            else {"kind": "logs", "path": str(stack.logs), "log_format": "json"}
        )
        source = Source.objects.create(pk=SOURCE[stage], name=f"upgraded-{stage}-{stack.folder.name}", service=service, **values)
        run = ledger.open_run(source, trigger="shell")
        assert run
        # The sweep must not send the run: only the recorded message may.
        ETLRun.objects.filter(pk=run.pk).update(pk=number)
        runs.append(ETLRun.objects.get(pk=number))
        for earlier in ledger.STAGES[: ledger.STAGES.index(stage)]:
            inline.run_stage(number, earlier)
    DeadLetter.objects.create(pk=LETTER, source=source, run=runs[0], key="x", kind="record", stage="transform", error="x", state="discarded")
    return runs


def nonsense(message: dict[str, Any]) -> Iterator[Any]:
    """Yield the message with its body, headers or name damaged."""
    for body in (b"", b"no JSON", b"[]", b"[1, 2, 3]", b'[[], {}, {"chain": 7}]', b'[["x"], {}, {}]', b'[[null, 1], {"a": 1}, null]', b'{"id": 1}'):
        yield {**message, "body": base64.b64encode(body).decode()}
    yield {**message, "body": "%%%"}
    yield {**message, "content-type": "application/x-python-serialize"}
    yield {**message, "headers": {}}
    for changed in ({"task": "etl.unknown"}, {"task": None}, {"task": 7}, {"id": None}, {"argsrepr": 5}, {"expires": "yesterday"}):
        yield {**message, "headers": {**message["headers"], **changed}}


def test_messages_of_former_versions_work_and_nonsense_holds_nothing_up(empty_stack: Stack) -> None:
    stack = empty_stack
    runs = prepare(stack)
    recorded = [entry for version in RECORDED.values() for entry in version]
    with app.connection_for_write() as broker:
        client = broker.default_channel.client
        for entry in recorded:
            for damaged in nonsense(entry["message"]):
                client.lpush(entry["queue"], json.dumps(damaged))
        for entry in recorded:
            # They expire while they wait; these were recorded long ago.
            fresh = {**entry["message"], "headers": {**entry["message"]["headers"], "expires": None}}
            client.lpush(entry["queue"], json.dumps(fresh))
    with stack.running("worker") as started:
        for run in runs:
            stack.wait_for(run)
            assert (run.status, run.error) == ("success", "")
        ids = {entry["message"]["headers"]["id"] for entry in recorded if not entry["message"]["headers"].get("ignore_result")}
        stack.wait(lambda: TaskResult.objects.filter(task_id__in=ids, status="SUCCESS").count() == len(ids), "every recorded message has its result")
        assert started["worker"].poll() is None
    assert not DeadLetter.objects.filter(state="open").exists()
