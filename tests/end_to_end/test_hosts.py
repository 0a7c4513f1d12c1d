"""Log files of a host are read by the worker on that host. There is one alert when a host has no worker, and one when it has one again."""

import time

import pytest
from django.core import mail
from pytest_django import Settings

from etl_tasks import host_watch, pipeline
from etl_tasks.models import ETLRun, Source
from tests.end_to_end.conftest import Stack

pytestmark = pytest.mark.slow
LINE = '{{"time": "2026-11-26T01:00:{:02}Z", "message": "call {}"}}\n'
MAY_WAIT_SECONDS = 3


@pytest.fixture
def calls(stack: Stack) -> Source:
    stack.logs.write_text("".join(LINE.format(number, number) for number in range(10)))
    Source.objects.filter(kind="logs").update(host="web2")
    return Source.objects.get(kind="logs")


def test_its_files_wait_for_the_worker_of_their_host_and_the_rest_runs_anywhere(stack: Stack, calls: Source) -> None:
    with stack.running("worker"):
        waiting, other = pipeline.run_source(calls.name), pipeline.run_source("billing")
        stack.wait_for(other)
        time.sleep(MAY_WAIT_SECONDS)  # a fixed wait: the test is that nothing happens, so there is no condition to wait for
        assert (ETLRun.objects.get(pk=waiting.pk).attempt, other.status) == (0, "success")
        assert pipeline.served_queues() == {"extract", "transform", "load", "sweep"}
    with stack.running("worker-of-web2"):
        stack.wait(lambda: ETLRun.objects.get(pk=waiting.pk).stage == "transform", "the files were read")
    with stack.running("worker"):
        stack.wait_for(waiting)
    assert (waiting.status, waiting.loaded) == ("success", 10)


def test_a_host_without_a_worker_is_told_once_and_once_that_it_is_over(stack: Stack, calls: Source, settings: Settings) -> None:
    settings.ALERT_EMAILS = ["team@example.com"]
    host_watch.watch()
    calls.refresh_from_db()
    assert (calls.host_silent_since is not None, mail.outbox) == (True, [])

    settings.ETL_GRACE_SECONDS = 0
    host_watch.watch()
    host_watch.watch()
    assert [letter.subject for letter in mail.outbox] == [
        f"[callcentersite] critical: {calls.name}: no worker reads the files of web2: start one there, with -Q extract@web2"
    ]
    with stack.running("worker-of-web2"):
        stack.wait(lambda: "extract@web2" in pipeline.served_queues(), "the worker takes its queue")
        host_watch.watch()
        host_watch.watch()
    assert [letter.subject for letter in mail.outbox[1:]] == ["[callcentersite] warning: web2: over: a worker takes its log sources again"]
    calls.refresh_from_db()
    assert (calls.host_silent_since, calls.host_alerted_at) == (None, None)


def test_a_source_that_names_no_host_any_more_has_no_episode(stack: Stack, calls: Source) -> None:
    host_watch.watch()
    Source.objects.update(host="")
    host_watch.watch()
    assert Source.objects.get(pk=calls.pk).host_silent_since is None
