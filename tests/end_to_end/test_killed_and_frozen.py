"""A worker is frozen past its lease, and Redis is killed and emptied, in the middle of a night."""

import os
import signal
import time
from pathlib import Path

import pytest
import redis
from django_celery_results.models import TaskResult

from callcentersite.local_processes import beat_command, broker_command, processes, worker_command
from etl_tasks import pipeline
from etl_tasks.models import DeadLetter, ETLRun
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.end_to_end.conftest import Stack
from tests.end_to_end.test_night import every_second, stored_lines
from tests.etl_tasks.test_stages import lines
from tests.tables import assert_equal_to_truth
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.django_db(transaction=True)]


def test_a_worker_that_was_frozen_past_its_lease_writes_nothing_more(stack: Stack, world: World, elsewhere: Path) -> None:
    stack.logs.write_text(lines(0, 10))  # the sweep may start a run of this source, too
    stack.github.latency_seconds = 0.1
    run = pipeline.run_source("billing")
    with stack.running("worker", GITHUB_PAGE_SIZE="10") as frozen:
        stack.wait(lambda: run.pages.count() >= 4, "four pages staged")
        os.killpg(frozen["worker"].pid, signal.SIGSTOP)
        stack.github.latency_seconds = 0
        others = {"worker": worker_command(concurrency=1), "beat": beat_command(elsewhere)}
        with processes(others, folder=elsewhere, env={**os.environ, **stack.env(), "GITHUB_PAGE_SIZE": "10"}, cwd=Path.cwd()):
            stack.wait_for(run)
        assert (run.status, run.error) == ("success", "")
        pages = run.pages.count()
        os.killpg(frozen["worker"].pid, signal.SIGCONT)
        stack.wait(TaskResult.objects.filter(status="SUPERSEDED").exists, "the frozen worker has noticed that another one holds the run")
    run.refresh_from_db()
    assert (run.status, run.pages.count()) == ("success", pages)
    assert run.extracted == run.loaded + run.skipped
    assert_equal_to_truth(world, END)
    assert not DeadLetter.objects.exists()


def test_redis_killed_and_emptied_while_messages_wait_costs_no_run(stack: Stack, world: World, elsewhere: Path) -> None:
    stack.logs.write_text(lines(0, 100))
    stack.github.latency_seconds = 0.2
    socket = elsewhere / "broker.sock"
    command = {"redis": broker_command(elsewhere, socket)}
    with processes(command, folder=elsewhere, env={}, cwd=elsewhere) as started:
        wait_until(socket.exists)
        every_second("etl nightly")
        with stack.running("worker", "beat", CELERY_BROKER_URL=f"redis+socket://{socket}"):
            stack.wait(ETLRun.objects.filter(source__name="billing", status="running").exists, "the night has begun")
            os.kill(started["redis"].pid, signal.SIGKILL)
            started["redis"].wait()
            time.sleep(1)
            with processes(command, folder=elsewhere, env={}, cwd=elsewhere):
                stack.wait(lambda: _is_emptied(socket), "Redis is back, and emptied")
                stack.github.latency_seconds = 0
                stack.wait_for_end(2)
    assert set(ETLRun.objects.values_list("status", flat=True)) == {"success"}
    assert ETLRun.objects.count() == 2
    assert_equal_to_truth(world, END)
    assert stored_lines() == sorted(f"line {number}" for number in range(100))
    assert not DeadLetter.objects.exists()


def _is_emptied(socket: Path) -> bool:
    try:
        return bool(redis.Redis(unix_socket_path=str(socket)).flushall())
    except redis.RedisError:
        return False
