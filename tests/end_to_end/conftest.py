"""Start real web, worker and beat processes that use the test database and the servers that this test run was given."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection

from callcentersite.celery import app
from callcentersite.local_processes import beat_command, broker_command, left_behind, listener, processes, web_command, worker_command
from dora_metrics.models import Service
from etl_tasks.models import ETLRun, Source
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from log_store.opening import open_log_store
from tests.conftest import END
from tests.waiting import wait_until

PATIENCE_SECONDS = 90


class Stack:
    """One service with its stand-in for GitHub, its log file and the processes of a test."""

    def __init__(self, folder: Path, github: StandIn, logs: Path) -> None:
        self.folder, self.github, self.logs = folder, github, logs
        self.web = listener("127.0.0.1", 0)
        self.web_url = f"http://127.0.0.1:{self.web.getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.flower_port = free.getsockname()[1]

    @contextmanager
    def running(self, *names: str, **env: str) -> Iterator[dict[str, Any]]:
        commands = {
            "web": web_command(self.web),
            "worker": worker_command(concurrency=1),
            "busy-worker": worker_command(concurrency=3),
            "extract-worker": worker_command(concurrency=1, queues="extract"),
            "worker-of-web2": [*worker_command(concurrency=1, queues="extract@web2"), "--hostname", "celery@web2"],
            "beat": beat_command(self.folder),
            "flower": [sys.executable, "-m", "celery", "-A", "callcentersite", "flower", "--address=127.0.0.1", f"--port={self.flower_port}"],
        }
        chosen = {name: commands[name] for name in names or ("worker", "beat")}
        with processes(chosen, folder=self.folder, env={**self.env(), **env}, cwd=settings.BASE_DIR, sockets={"web": self.web}) as started:
            yield started
        self.wait(lambda: not left_behind(self.folder), "the last child is gone")  # the child of a killed worker may outlive its parent for a moment

    def env(self) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url(),
            "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
            "GITHUB_API_URL": self.github.url,
            "ETL_CRASH_FOLDER": str(self.folder),
            "ETL_LOG_LEVEL": "INFO",
        }

    def wait(self, is_done: Callable[[], bool], what: str, *, timeout_s: float = PATIENCE_SECONDS) -> None:
        def explain() -> str:
            log = "".join(path.read_text(errors="replace")[-6000:] for path in sorted(self.folder.glob("*worker.log")))
            return f"{what}: not in time\n{list(ETLRun.objects.values())}\n{log}"

        wait_until(is_done, timeout_s=timeout_s, explain=explain)

    def wait_for(self, run: ETLRun) -> None:
        """Wait until this run has ended. Meanwhile the sweeper may start a run of the other source."""
        self.wait(lambda: ETLRun.objects.exclude(status__in=ETLRun.ACTIVE).filter(pk=run.pk).exists(), f"run {run.pk} ended")
        run.refresh_from_db()

    def wait_for_end(self, count: int = 1) -> None:
        self.wait(lambda: ETLRun.objects.exclude(status__in=ETLRun.ACTIVE).count() >= count, f"{count} runs ended")


def database_url() -> str:
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{values['NAME']}"
    return f"mysql://{values['USER']}:{values['PASSWORD']}@{values['HOST']}:{values['PORT']}/{values['NAME']}"


@pytest.fixture(scope="session")
def broker() -> Iterator[None]:
    """Use the Redis server of CELERY_BROKER_URL. If that is not set, start a private one ("embedded") on a Unix socket."""
    if not settings.BROKER_IS_EMBEDDED:
        yield
        return
    folder = settings.VAR / "broker"
    folder.mkdir()
    with processes({"broker": broker_command(folder, settings.BROKER_SOCKET)}, folder=folder, env={}, cwd=folder):
        wait_until(settings.BROKER_SOCKET.exists)
        yield


@pytest.fixture
def empty_stack(transactional_db: None, broker: None, tmp_path: Path, world: World) -> Iterator[Stack]:
    """Return a stack as it is after the first migrate: there is no service and no source yet."""
    with app.connection_for_write() as connection_to_broker:
        client: redis.Redis = connection_to_broker.default_channel.client
        client.flushdb()
    open_log_store().ensure_schema()
    with StandIn({"acme/billing": world}, clock=END) as github:
        started = Stack(tmp_path, github, tmp_path / "billing.log")
        with started.web:
            yield started


@pytest.fixture
def stack(empty_stack: Stack) -> Stack:
    service = Service.objects.create(name="billing")
    Source.objects.create(name="billing", service=service, kind="github", repository="acme/billing")
    Source.objects.create(name=f"logs-{os.urandom(4).hex()}", service=service, kind="logs", path=str(empty_stack.logs), log_format="json")
    Source.objects.update(created_at=END - timedelta(days=400), overdue_alerted_at=END)
    return empty_stack


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a folder for processes that are not the stack's own."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder
