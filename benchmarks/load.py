"""Measure a night with 1,000 sources on one machine: one worker with two children, beat, and a web server whose pages are asked for throughout.

    scripts/bench load [--sources 1000] [--folder DIR] [--store]

Every tenth source follows a log file, the others read repositories of the stand-in for GitHub, which is a process of its own. All sources
have had a first night. Tonight every tenth of each kind has news: a busy day of a repository, or 20,000 new lines of a log. The others are
quiet. The task `etl.nightly` starts the night, as beat does.

The row "wall time over the sum of the work" says how well the worker's processes are used: the wall time over the time that tasks ran,
divided by the number of processes. It is 1 if a process always had a task. A task's time is its runtime in Celery's events, so it includes what the
task waits for the database, GitHub or a core. It does not include the time between two tasks, in which a message is fetched, or waited for.

Database and broker are those of DATABASE_URL and CELERY_BROKER_URL, and the log store is the SQL database. THE DATABASE "load_bench" IS
DELETED AND CREATED AGAIN, and so is the content of the Redis database 9.
"""

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean, quantiles
from typing import Any, NamedTuple

from benchmarks import night_table
from benchmarks.installation import set_up
from benchmarks.night_table import Result
from benchmarks.servers import tree_cpu_seconds

ROOT = Path(__file__).resolve().parent.parent
SOURCES = 1000
EVERY_LOG = EVERY_BUSY = 10
FIRST_LINES, NEW_LINES = 50, 20_000
A_BUSY_DAY = {"changed": 150, "deployed": 12, "issues": 60, "releases": 4, "runs": 40}
A_SMALL_PAST = {"days": 30, "pull_requests": 4, "deployments": 3, "issues": 3, "releases": 1, "runs": 2, "commits": 8}
PAGES = ("/", "/operations/", "/operations/runs/")
PAUSE_S, SAMPLE_S = 0.5, 1.0
PATIENCE_S = 4 * 3600
MOST_QUIET_SHARE = 0.1
MOST_GROWTH = 1.1  # of a process's memory, from the first quarter of the night to the last one
MOST_PAGE_MS = 1000  # p95, while both children are busy
CHILDREN = 2
MOST_WALL = 1.2  # of the time that the work would take if both children were always busy
DATABASE, REDIS_DATABASE = "load_bench", 9


class Sample(NamedTuple):
    seconds: float  # since the beginning of the night
    role: str
    pid: int
    megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=SOURCES)
    parser.add_argument("--folder", type=Path, help="where the logs of the processes are kept")
    parser.add_argument("--store", action="store_true", help="store the row about the wall time in benchmarks/results.json and docs/performance.md")
    parser.add_argument("--stand-in", type=Path, help=argparse.SUPPRESS)  # in the process that is the stand-in: the file for its address
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench load: stopped"))  # so that its processes are stopped, too
    if options.stand_in:
        serve_github(options.sources, options.stand_in)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with github(folder, options.sources) as address:
            os.environ["ETL_LOG_LEVEL"] = "WARNING"
            set_up(folder, address, database=DATABASE, redis_database=REDIS_DATABASE)
            add_sources(folder, options.sources)
            result = measure(folder, address, options.sources)
    if options.store:
        night_table.store([result], {"rounds": 1, "scale": options.sources / SOURCES})


# --- the world --------------------------------------------------------------------------------------------------------


def is_log(number: int) -> bool:
    return number % EVERY_LOG == 0


def is_busy(number: int) -> bool:
    """Return whether the source has news tonight: a tenth of the repositories, and a tenth of the logs."""
    return number // EVERY_LOG % EVERY_BUSY == number % EVERY_BUSY


def serve_github(sources: int, address: Path) -> None:
    """Serve the repositories until this process is stopped. Its clock is moved to the end of the busy day later."""
    from github_stand_in.server import StandIn
    from github_stand_in.worlds.exact_size import add_day, exact_world

    end = datetime.now(UTC) - timedelta(hours=1)
    worlds = {}
    for number in range(sources):
        if is_log(number):
            continue
        name = f"acme/source-{number:04}"
        worlds[name] = exact_world(name, end=end - timedelta(days=1), **A_SMALL_PAST)
        add_day(worlds[name], end, **(A_BUSY_DAY if is_busy(number) else {}))
    server = StandIn(worlds, clock=end - timedelta(days=1), limit=1_000_000)
    partial = address.with_suffix(".partial")
    partial.write_text(server.url)
    partial.rename(address)
    server.serve_forever()


@contextmanager
def github(folder: Path, sources: int) -> Iterator[str]:
    address = folder / "github-address"
    address.unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.load", "--sources", str(sources), "--stand-in", str(address)], cwd=ROOT)
    try:
        wait_until(address.exists, "the stand-in answers", patience_s=600)
        yield address.read_text()
    finally:
        process.terminate()
        process.wait()


def lines(first: int, count: int, day: datetime) -> Iterator[str]:
    for number in range(first, first + count):
        moment = day + timedelta(seconds=4 * (number - first))
        level = "error" if number % 97 == 0 else "info"
        message = f"call {number} was answered by agent {number % 900} after {number % 89} s"
        yield json.dumps({"timestamp": moment.isoformat(), "level": level, "host": "pbx-1", "logger": "calls.router", "message": message}) + "\n"


def add_sources(folder: Path, sources: int) -> None:
    """Create the tables and the sources. A service has ten sources: nine repositories and a log."""
    from django.core.management import call_command
    from django_celery_beat.models import PeriodicTask

    from dora_metrics.models import Service
    from etl_tasks.models import Source
    from log_store.opening import open_log_store

    call_command("migrate", verbosity=0)
    open_log_store().ensure_schema()
    for entry in PeriodicTask.objects.filter(task="etl.nightly"):  # this program starts the nights
        entry.enabled = False
        entry.save()
    yesterday = datetime.now(UTC) - timedelta(days=1, hours=1)
    for number in range(sources):
        if number % EVERY_LOG == 0:
            service = Service.objects.create(name=f"service-{number:04}")
            path = folder / f"source-{number:04}.log"
            path.write_text("".join(lines(0, FIRST_LINES, yesterday)))
            Source.objects.create(name=f"source-{number:04}", service=service, kind="logs", path=str(path), log_format="json")
        else:
            Source.objects.create(name=f"source-{number:04}", service=service, kind="github", repository=f"acme/source-{number:04}")


def bring_news(folder: Path, github_address: str, sources: int) -> None:
    """Write the new lines, and move GitHub's clock to the end of the busy day."""
    began = datetime.now(UTC) - timedelta(days=1)
    for number in filter(lambda number: is_log(number) and is_busy(number), range(sources)):
        with (folder / f"source-{number:04}.log").open("a") as log:
            log.writelines(lines(FIRST_LINES, NEW_LINES, began))
    connection = http.client.HTTPConnection(github_address.removeprefix("http://"), timeout=60)
    connection.request("POST", "/_stand_in/clock", json.dumps({"now": (datetime.now(UTC)).isoformat()}))
    connection.getresponse().read()


# --- the nights -------------------------------------------------------------------------------------------------------


def measure(folder: Path, github_address: str, sources: int) -> Result:
    from callcentersite.local_processes import beat_command, listener, processes, web_command, worker_command
    from etl_tasks import pipeline
    from etl_tasks.beat_tasks import nightly

    web = listener("127.0.0.1", 0)
    commands = {"web": web_command(web), "worker": worker_command(concurrency=CHILDREN), "beat": beat_command(folder)}
    with web, processes(commands, folder=folder, env={}, cwd=ROOT, sockets={"web": web}) as running, Work() as work:
        wait_until(lambda: "sweep" in pipeline.served_queues(), "the worker answers")
        for days, name in ((2, "first night"), (1, "quiet night")):  # the second one finds the repositories settled
            began = time.monotonic()
            pipeline.open_night(pipeline.local_today() - timedelta(days=days))
            wait_for_runs((3 - days) * sources)
            say(f"{sources} sources; their {name} took {time.monotonic() - began:.0f} s")
        bring_news(folder, github_address, sources)
        roles = {name: process.pid for name, process in running.items()}
        with Watch(roles, port=web.getsockname()[1]) as watch:
            cpu_before = tree_cpu_seconds(roles["worker"])
            nightly.apply_async()
            wait_for_runs(3 * sources)
            cpu_s = tree_cpu_seconds(roles["worker"]) - cpu_before
        night_s = report(watch, sources)
    result = wall_over_work(work.tasks, watch.began_at.timestamp(), night_s=night_s, cpu_s=cpu_s, sources=sources)
    night_table.show(result)
    return result


def wait_for_runs(count: int) -> None:
    from etl_tasks.models import ETLRun

    wait_until(lambda: ETLRun.objects.filter(completed_at__isnull=False).count() >= count, f"{count} runs have ended", pause_s=0.5)


def wait_until(is_done: Callable[[], bool], what: str, *, patience_s: float = PATIENCE_S, pause_s: float = 0.2) -> None:
    ends_at = time.monotonic() + patience_s
    while not is_done():
        if time.monotonic() > ends_at:
            sys.exit(f"bench load: not in time: {what}")
        time.sleep(pause_s)


class Work:
    """While it is open, it collects from Celery's events which tasks the worker has finished, and how long each one took."""

    def __init__(self) -> None:
        from callcentersite.celery import app

        self.tasks: list[tuple[float, float]] = []  # when a task ended, as seconds since 1970, and how many seconds it took
        self._connection = app.connection_for_read()
        self._receiver = app.events.Receiver(self._connection, handlers={"task-succeeded": self._add})
        self._thread = threading.Thread(target=self._receiver.capture, kwargs={"wakeup": False}, daemon=True)

    def _add(self, event: dict[str, Any]) -> None:
        self.tasks.append((event["timestamp"], event["runtime"]))

    def __enter__(self) -> "Work":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.should_stop = True
        self._thread.join()
        self._connection.release()


class Watch:
    """While it is open, it samples the memory of the processes and asks for the pages, each in a thread of its own."""

    def __init__(self, roles: dict[str, int], *, port: int) -> None:
        from benchmarks.pages import log_in

        self.roles, self.port, self.session = roles, port, log_in()
        self.samples: list[Sample] = []
        self.times: dict[str, list[float]] = defaultdict(list)
        self.bad: list[str] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._sample, self._ask)]

    def __enter__(self) -> "Watch":
        self.began_at, self._began = datetime.now(UTC), time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _sample(self) -> None:
        while not self._end.wait(SAMPLE_S):
            for role, pid in self.roles.items():
                for one, name in [(pid, role), *((child, f"{role}'s child") for child in children(pid))]:
                    if (size := megabytes(one)) is not None:
                        self.samples.append(Sample(time.monotonic() - self._began, name, one, size))

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while True:
            for page in PAGES:
                if self._end.wait(PAUSE_S):
                    return
                began = time.perf_counter()
                try:
                    connection.request("GET", page, headers={"Cookie": f"sessionid={self.session}", "Accept-Language": "en"})
                    response = connection.getresponse()
                    response.read()
                    status = response.status
                except (OSError, http.client.HTTPException) as exc:
                    connection.close()
                    self.bad.append(f"{page}: {exc!r}")
                    continue
                self.times[page].append(1000 * (time.perf_counter() - began))
                if status != 200:
                    self.bad.append(f"{page}: {status}")


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def megabytes(pid: int) -> float | None:
    """Return the resident memory of a process; None if it has just ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError):
        return None


# --- the figures ------------------------------------------------------------------------------------------------------


def report(watch: Watch, sources: int) -> float:
    """Print what the night was like, and return how many seconds it took."""
    from django.conf import settings

    from etl_tasks import pipeline
    from etl_tasks.models import ETLRun

    runs = list(ETLRun.objects.filter(created_at__gte=watch.began_at).order_by("completed_at").values_list("pipeline", "completed_at", "status"))
    night_s = (runs[-1][1] - watch.began_at).total_seconds()
    quiet = [ended for name, ended, _ in runs if not is_busy(int(name[-4:]))]
    quiet_s = (quiet[-1] - watch.began_at).total_seconds()
    good = sum(status == "success" for _, _, status in runs)
    say(f"the night took {night_s:.0f} s: {len(quiet)} sources were quiet, {sources - len(quiet)} had news")
    row("runs in success", good, f"{sources}", is_kept=good == sources)
    row(
        "the last quiet source ended after",
        quiet_s / night_s,
        f"at most {MOST_QUIET_SHARE} of the night",
        is_kept=quiet_s <= MOST_QUIET_SHARE * night_s,
    )
    say(f"  that is {quiet_s:.1f} s; the median of the quiet sources ended after {(quiet[len(quiet) // 2] - watch.began_at).total_seconds():.1f} s")
    left = sum(pipeline.queue_lengths(queue.name for queue in settings.CELERY_TASK_QUEUES).values())
    row("messages left in the queues", left, "0", is_kept=left == 0)
    for role in sorted({sample.role for sample in watch.samples}):
        report_memory([sample for sample in watch.samples if sample.role == role], role, watch.seconds)
    for page, times in sorted(watch.times.items()):
        later = quantiles(times, n=20, method="inclusive")
        what = f"{page}, {len(times)} requests, p50 {later[9]:.0f} ms, p95"
        row(what, later[18], f"at most {MOST_PAGE_MS} ms", is_kept=later[18] <= MOST_PAGE_MS)
    row("pages that failed", len(watch.bad), "0", is_kept=not watch.bad)
    for sentence in watch.bad[:5]:
        say(f"    {sentence}")
    return night_s


def wall_over_work(tasks: Iterable[tuple[float, float]], began: float, *, night_s: float, cpu_s: float, sources: int) -> Result:
    """Compare the night's wall time with the time that its tasks ran, for each child. `tasks`: as in `Work`. `began`: in seconds since 1970."""
    runtimes = [runtime for ended, runtime in tasks if began <= ended <= began + night_s]
    busy_s = sum(runtimes)
    active = sum(map(is_busy, range(sources)))
    return Result(
        "load",
        f"{sources:,} sources, {active} active, one worker with {CHILDREN} processes: wall time over the sum of the work",
        night_s * CHILDREN / busy_s,
        "",
        MOST_WALL,
        f"{night_s:.0f} s; {len(runtimes):,} tasks ran for {busy_s:.0f} s, {busy_s / CHILDREN:.0f} s a process; CPU of the worker {cpu_s:.0f} s",
    )


def report_memory(samples: Sequence[Sample], role: str, seconds: float) -> None:
    first = mean(sample.megabytes for sample in samples if sample.seconds <= seconds / 4)
    last = mean(sample.megabytes for sample in samples if sample.seconds >= 3 * seconds / 4)
    peak = max(sample.megabytes for sample in samples)
    what = f"memory of {role}, MB: first quarter {first:.0f}, last {last:.0f}, peak {peak:.0f}, growth"
    row(what, last / first, f"at most {MOST_GROWTH}", is_kept=last <= MOST_GROWTH * first)


def say(text: str) -> None:
    print(text, flush=True)


def row(what: str, found: float, promised: str, *, is_kept: bool) -> None:
    print(f"  {what:<88}{found:>9.2f}   promised: {promised}{'' if is_kept else '  !'}", flush=True)


if __name__ == "__main__":
    main()
