"""The admin's action "Test connection" is run by a worker for a log source, because the web process may not see the log files."""

import os

import pytest
import redis
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from callcentersite.celery import app
from etl_tasks import pipeline
from etl_tasks.models import Source
from tests.end_to_end.conftest import Stack

pytestmark = pytest.mark.slow
LINE = '{"time": "2026-11-26T01:00:00Z", "message": "paid"}\n'


@pytest.fixture
def logs(stack: Stack, settings: Settings) -> Source:
    """Return a log source whose file the worker may read and this process may not."""
    stack.logs.write_text(LINE)
    settings.LOG_ROOTS = ["/nowhere"]
    return Source.objects.get(kind="logs")


def ask(client: Client, *sources: Source) -> str:
    form = {"action": "test_connection", "_selected_action": [source.pk for source in sources]}
    return client.post(reverse("admin:etl_tasks_source_changelist"), form, follow=True).content.decode()


def test_a_worker_answers_in_the_admin_with_what_it_sees(stack: Stack, logs: Source, admin_client: Client) -> None:
    with stack.running("worker", LOG_ROOTS=os.environ["LOG_ROOTS"]):
        stack.wait(lambda: "extract" in pipeline.served_queues(), "the worker takes its queue")
        page = ask(admin_client, logs, Source.objects.get(name="billing"))
        assert f"{logs.path} names 1 file; 1 can be read." in page
        assert "acme/billing" in page
        stack.logs.unlink()
        assert "No file matches" in ask(admin_client, logs)


def test_the_worker_of_the_sources_host_is_asked(stack: Stack, logs: Source, capsys: pytest.CaptureFixture[str]) -> None:
    Source.objects.filter(pk=logs.pk).update(host="web2")
    with stack.running("worker-of-web2", LOG_ROOTS=os.environ["LOG_ROOTS"]):
        stack.wait(lambda: "extract@web2" in pipeline.served_queues(), "the worker takes its queue")
        call_command("check_source", logs.name)
    assert f"{logs.path} names 1 file; 1 can be read." in capsys.readouterr().out


def test_the_workers_are_asked_although_redis_has_closed_all_connections(stack: Stack) -> None:
    with stack.running("worker"):
        stack.wait(lambda: "extract" in pipeline.served_queues(), "the worker takes its queue")
        with app.connection_for_write() as broker:
            client: redis.Redis = broker.default_channel.client
            database = client.connection_pool.connection_kwargs["db"]  # the server's other databases belong to other processes of the tests
            for kind in ("normal", "pubsub"):
                for other in client.client_list(_type=kind):
                    if other["db"] == str(database):
                        client.client_kill_filter(_id=other["id"], skipme=True)
        stack.wait(lambda: "extract" in pipeline.served_queues(), "the worker takes its queue again")


def test_where_no_worker_answers_it_says_so(stack: Stack, logs: Source, admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "CHECK_SECONDS", 1)  # a short wait for the worker's answer
    assert "No worker that takes the queue extract has answered within 1 seconds" in ask(admin_client, logs)
    Source.objects.filter(pk=logs.pk).update(host="web2")
    with pytest.raises(CommandError, match="cannot be read as it is set"):
        call_command("check_source", logs.name)
