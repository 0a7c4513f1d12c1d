"""The product's side of the benchmark of a night: nights of a warm worker, through the three commands, and stage by stage."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import servers
from benchmarks.night_github import GitHub

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S, PAUSE_S, REST_S = 900.0, 0.02, 0.1
# Tables with what a migration or Django has written, which a new night needs.
KEPT = ("auth_group", "auth_group_permissions", "auth_permission", "django_content_type", "django_migrations")
KEPT_PREFIXES = ("django_celery_beat_", "log_store_")


@dataclass(frozen=True)
class Spent:
    """What a night has cost. `cpu_s`: of all processes of one side, without the database and GitHub's stand-in; of the product, with the broker."""

    cpu_s: float
    wall_s: float
    requests: int
    database_cpu_s: float
    github_cpu_s: float
    broker_cpu_s: float = 0.0  # a part of cpu_s


class Meter:
    """Measure what happens between `begin` and `end`. `worker`, `broker`: running processes. A program that ends is counted by its rusage."""

    def __init__(self, github: GitHub, *, worker: int | None = None, broker: int | None = None) -> None:
        self.github, self.worker, self.broker = github, worker, broker
        self.database = servers.listener(urlsplit(os.environ["DATABASE_URL"]).port or 3306)

    def begin(self) -> None:
        self.github.take_counts()
        self._before, self._began = self._now(), time.monotonic()

    def stop_clock(self) -> None:
        self.wall_s = time.monotonic() - self._began

    def end(self, *, rusage_s: float = 0.0) -> Spent:
        worker, broker, database, github = (after - before for after, before in zip(self._now(), self._before, strict=True))
        requests = self.github.take_counts().get("requests", 0)
        return Spent(rusage_s + worker + broker, self.wall_s, requests, database, github, broker)

    def _now(self) -> tuple[float, ...]:
        return tuple(servers.tree_cpu_seconds(pid) if pid else 0.0 for pid in (self.worker, self.broker, self.database, self.github.pid))


def run_measured(github: GitHub, command: Sequence[str], env: dict[str, str], log: Path) -> Spent:
    """Run a program to its end, and return what it and the processes below it have cost."""
    meter = Meter(github)
    meter.begin()
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    meter.stop_clock()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"bench night: {' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return meter.end(rusage_s=usage.ru_utime + usage.ru_stime)


# --- the database -----------------------------------------------------------------------------------------------------


def prepare() -> None:
    from django.core.management import call_command
    from django_celery_beat.models import PeriodicTask

    call_command("migrate", verbosity=0)
    PeriodicTask.objects.update(enabled=False)  # this program starts the nights


def begin_anew(repositories: Sequence[str]) -> None:
    """Empty the tables, and add a source for each repository."""
    from django.db import connection

    from dora_metrics.models import Service
    from etl_tasks.models import Source

    with connection.cursor() as cursor:
        cursor.execute("SET FOREIGN_KEY_CHECKS = 0")
        for table in connection.introspection.table_names(cursor):
            if table not in KEPT and not table.startswith(KEPT_PREFIXES):
                cursor.execute(f"TRUNCATE TABLE `{table}`")
        cursor.execute("SET FOREIGN_KEY_CHECKS = 1")
    for name in repositories:
        service = Service.objects.create(name=name.partition("/")[2])
        Source.objects.create(name=service.name, service=service, kind="github", repository=name)


def move_nights_back() -> None:
    """Let every run be one of the night before its own, so that tonight's can start again."""
    from django.db import connection

    from etl_tasks.models import ETLRun

    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {ETLRun._meta.db_table} SET logical_date = DATE_SUB(logical_date, INTERVAL 1 DAY) ORDER BY logical_date")


def loaded_records() -> int:
    from django.db.models import Sum

    from etl_tasks.models import ETLRun

    return int(ETLRun.objects.aggregate(total=Sum("loaded", default=0))["total"])


# --- a warm worker ----------------------------------------------------------------------------------------------------


class Worker:
    """A worker that runs, with its broker. `pid`: of the worker's main process."""

    def __init__(self, github: GitHub, pid: int) -> None:
        broker = servers.listener(urlsplit(os.environ["CELERY_BROKER_URL"]).port or 6379)
        self.pid, self.meter = pid, Meter(github, worker=pid, broker=broker)

    def night(self) -> Spent:
        """Start a night as beat does, and wait for its end."""
        from etl_tasks.beat_tasks import nightly
        from etl_tasks.models import ETLRun

        self.meter.begin()
        nightly.apply_async().get(timeout=PATIENCE_S, interval=PAUSE_S)
        wait_until(lambda: not ETLRun.objects.filter(completed_at=None).exists(), "the night has ended")
        self.meter.stop_clock()
        self._wait_for_results()
        spent = self.meter.end()
        if bad := list(ETLRun.objects.exclude(status="success").values_list("pipeline", "status", "error")):
            sys.exit(f"bench night: runs that are not successful: {bad[:3]}")
        return spent

    def bare_chains(self, count: int) -> Spent:
        from django_celery_results.models import TaskResult

        from benchmarks.bare_tasks import send_bare_chains

        done = TaskResult.objects.filter(task_name="bench.bare", status="SUCCESS")
        before = done.count()
        self.meter.begin()
        send_bare_chains.apply_async((count,)).get(timeout=PATIENCE_S, interval=PAUSE_S)
        wait_until(lambda: done.count() >= before + 3 * count, "the bare chains have ended")
        self.meter.stop_clock()
        self._wait_for_results()
        return self.meter.end()

    def _wait_for_results(self) -> None:
        from django_celery_results.models import TaskResult

        wait_until(lambda: not TaskResult.objects.filter(status="STARTED").exists(), "the results are stored")
        time.sleep(REST_S)  # until the worker's main process has handled the last events

    def peak_megabytes(self) -> float:
        return max(map(servers.peak_megabytes, servers.descendants(self.pid)))


@contextmanager
def warm_worker(github: GitHub, folder: Path, *, concurrency: int = 2) -> Iterator[Worker]:
    from callcentersite.local_processes import processes, worker_command
    from etl_tasks import pipeline

    command = [*worker_command(concurrency=concurrency), "--include", "benchmarks.bare_tasks"]
    with processes({"worker": command}, folder=folder, env={}, cwd=ROOT, sockets={}) as running:
        wait_until(lambda: "sweep" in pipeline.served_queues(), "the worker answers")
        yield Worker(github, running["worker"].pid)


def wait_until(is_done: Callable[[], bool], what: str) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not is_done():
        if time.monotonic() > ends_at:
            sys.exit(f"bench night: not in time: {what}")
        time.sleep(PAUSE_S)


# --- the three commands -----------------------------------------------------------------------------------------------


def night_by_commands(github: GitHub, folder: Path) -> Spent:
    return run_measured(github, ["scripts/run_etl_pipeline.sh"], {**os.environ, "PYTHON": sys.executable}, folder / "commands.log")


def start_of_a_command(github: GitHub, folder: Path) -> Spent:
    """Run a command that finds nothing to do."""
    return run_measured(github, [sys.executable, "manage.py", "etl_load"], dict(os.environ), folder / "commands.log")
