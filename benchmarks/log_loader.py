"""Compare the cost of writing log events with the log store's loader and in two other ways. All write the same events, in turns.

    .venv/bin/python -m benchmarks.log_loader

Two Cassandra servers are started for this, one with `commitlog_sync: periodic` and one with `batch`. Client CPU is the CPU time of
the process that writes, server CPU that of the server's process. After a warm-up round, the medians of the rounds are printed.
"""

import gc
import multiprocessing
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.servers import PLAIN_TABLE, cpu_seconds

ROOT = Path(__file__).resolve().parent.parent
EVENTS, PARTS, ROUNDS = 200_000, 48, 5
START = datetime(2026, 3, 1, tzinfo=UTC)
MESSAGE = "order 1042 of customer 77 was refused by the payment provider after 3 attempts: card expired; the session goes on without it, trace kept"
COLUMNS = ("event_id", "source", "time", "level", "host", "logger", "message", "method", "path", "status")
KILLS = 3
# A program that writes one segment after the other, and prints the number of each segment that the server has acknowledged. The
# server is killed meanwhile.
LOADING = """
import django
django.setup()
from benchmarks.log_loader import parts
from log_store.opening import open_log_store
import sys
store = open_log_store()
for number, part in enumerate(parts(sys.argv[1], count=20_000_000, per_part=500)):
    store.write(part)
    print(number, flush=True)
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, cassandra(Path(folder) / "periodic") as periodic:
        os.environ |= {
            "CALLCENTERSITE_VAR": folder,
            "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
            "DJANGO_SETTINGS_MODULE": "callcentersite.settings",
            "ETL_LOG_LEVEL": "ERROR",
            "CASSANDRA_CONTACT_POINTS": "127.0.0.1",
            "CASSANDRA_KEYSPACE": "bench",
        }
        import django

        django.setup()
        with cassandra(Path(folder) / "batch", durable=True) as batch:
            compare(periodic, batch, Path(folder))
            lost_when_killed(batch, "batch")


# --- the servers ----------------------------------------------------------------------------------------------------


class Cassandra:
    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder = folder
        self.environment = os.environ | {"SVC_DIR": str(folder), "SVC_MODE": "native", "SVC_DURABLE": str(int(durable)), "SVC_BASE": "15300"}

    def tell(self, verb: str) -> str:
        return subprocess.run(
            [ROOT / "scripts/services", verb, "cassandra"], env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    @property
    def port(self) -> int:
        return int(self.tell("env").partition("CASSANDRA_PORT=")[2].split()[0])

    def cpu_seconds(self) -> float:
        return cpu_seconds(int((self.folder / "run/cassandra.pid").read_text()))


@contextmanager
def cassandra(folder: Path, *, durable: bool = False) -> Iterator[Cassandra]:
    server = Cassandra(folder, durable=durable)
    server.tell("start")
    try:
        yield server
    finally:
        server.tell("kill")


def store_on(server: Cassandra) -> Any:
    """Connect the log store to this server, create the tables, and return the log store."""
    from django.conf import settings

    from log_store.cassandra import connection as module
    from log_store.opening import open_log_store

    # On a busy machine a round may be slow, but must not fail.
    module.REQUEST_TIMEOUT_S = 120
    module.connection.drop()
    settings.CASSANDRA_PORT = server.port
    store = open_log_store()
    store.ensure_schema()
    module.connection.session().execute(PLAIN_TABLE.format(keyspace="bench"), timeout=60)
    return store


# --- the events -----------------------------------------------------------------------------------------------------


def parts(source: str, *, count: int = EVENTS, per_part: int = EVENTS // PARTS) -> Iterator[list[Any]]:
    """Yield lists of events. Each list has the events of one segment and one hour, like those that the follower of log files makes."""
    from log_store.event import SEGMENT_BYTES, LogEvent, event_id, file_key

    key = file_key(1, source)
    for first in range(0, count, per_part):
        number = first // per_part
        yield [
            LogEvent(
                event_id=event_id(key, number * SEGMENT_BYTES + index * 250),
                source=source,
                time=START + number * timedelta(hours=1) + index * timedelta(milliseconds=800),
                level="error" if index % 50 == 0 else "info",
                host=f"web-{index % 8}",
                logger="shop.payment",
                message=f"{MESSAGE} {first + index:08}",
                method="POST",
                path=f"/orders/{index}/payment",
                status=500 if index % 50 == 0 else 200,
            )
            for index in range(min(per_part, count - first))
        ]


# --- the loaders: each gets its input ready-made, before the clock starts ---------------------------------------------


def as_they_are(given: list[list[Any]]) -> list[list[Any]]:
    return given


def ours(prepared: list[list[Any]]) -> None:
    from log_store.opening import open_log_store

    for _ in open_log_store().write_each(prepared):
        pass


def as_arguments(given: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [(event.time.replace(minute=0, second=0, microsecond=0), "rival", *row(event)) for part in given for event in part]


def rival(rows: list[tuple[Any, ...]]) -> None:
    """Write the rows with execute_concurrent_with_args, the driver's own function for many rows, into a table with ten columns."""
    from cassandra.concurrent import execute_concurrent_with_args

    from log_store.cassandra.connection import connection

    names = ("hour", "segment", *COLUMNS)
    session = connection.session()
    insert = session.prepare(f"INSERT INTO bench.plain ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) USING TTL 7776000")
    execute_concurrent_with_args(session, insert, rows, concurrency=100)


def as_rows(given: list[list[Any]]) -> list[list[tuple[Any, ...]]]:
    return [[(*one[:2], one[2].isoformat(" "), *one[3:]) for one in map(row, part)] for part in given]


def sqlite(file: Path, prepared: list[list[tuple[Any, ...]]]) -> None:
    """Write the rows into a SQLite table with unique event ids, in one transaction for each part."""
    file.unlink(missing_ok=True)
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"CREATE TABLE events ({', '.join(COLUMNS)}, PRIMARY KEY (event_id))")
        insert = f"INSERT INTO events VALUES ({', '.join('?' * len(COLUMNS))})"
        for rows in prepared:
            database.executemany(insert, rows)
            database.commit()
    database.close()


def row(event: Any) -> tuple[Any, ...]:
    """Return the event's values in the order of COLUMNS."""
    return (
        event.event_id,
        event.source,
        event.time,
        event.level,
        event.host,
        event.logger,
        event.message,
        event.method,
        event.path,
        event.status,
    )


# --- measuring ------------------------------------------------------------------------------------------------------


class Cost:
    """The results of one loader. In each round, these are the events per second and the microseconds of CPU per event."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.client: list[float] = []
        self.server: list[float] = []

    def add(self, rate: float, client_us: float, server_us: float) -> None:
        self.rates.append(rate)
        self.client.append(client_us)
        self.server.append(server_us)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def client_us(self) -> float:
        return statistics.median(self.client)

    @property
    def total_us(self) -> float:
        return statistics.median(client + server for client, server in zip(self.client, self.server, strict=True))

    def __str__(self) -> str:
        return f"{self.rate:9,.0f} events/s, CPU {self.client_us:6.1f} client + {statistics.median(self.server):6.1f} server µs an event"


def measured(prepare: Callable[[list[list[Any]]], Any], way: Callable[[Any], None], server: Cassandra | None) -> tuple[float, float, float]:
    """Run a loader in its own process. The driver keeps a timer for each answered request, and these timers would cost the next loader CPU time."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=measure, args=(there, prepare, way, server))
    process.start()
    there.close()
    answer: tuple[float, float, float] = here.recv()
    process.join()
    return answer


def measure(pipe: Any, prepare: Callable[[list[list[Any]]], Any], way: Callable[[Any], None], server: Cassandra | None) -> None:
    prepared = prepare(list(parts(f"bench-{uuid.uuid4().hex[:8]}")))
    if server:
        store_on(server)
    # Without this, garbage collections that visit the input would count as the loader's cost.
    gc.collect()
    gc.freeze()
    server_before = server.cpu_seconds() if server else 0.0
    client_before, began = time.process_time(), time.monotonic()
    way(prepared)
    seconds, client_seconds = time.monotonic() - began, time.process_time() - client_before
    server_seconds = (server.cpu_seconds() if server else 0.0) - server_before
    pipe.send((EVENTS / seconds, client_seconds / EVENTS * 1e6, server_seconds / EVENTS * 1e6))


def compare(periodic: Cassandra, batch: Cassandra, folder: Path) -> None:
    ways: list[tuple[str, Callable[[list[list[Any]]], Any], Callable[[Any], None], Cassandra | None]] = [
        ("ours", as_they_are, ours, periodic),
        ("execute_concurrent_with_args(concurrency=100)", as_arguments, rival, periodic),
        ("SQLite executemany", as_rows, partial(sqlite, folder / "plain.sqlite3"), None),
        ("ours, commitlog_sync: batch", as_they_are, ours, batch),
    ]
    costs = [Cost() for _ in ways]
    # In the warm-up round, the server `batch` gets fewer loads than the other one, so it gets two before that round.
    for _ in range(2):
        measured(as_they_are, ours, batch)
    for number in range(ROUNDS + 1):
        for cost, (_, prepare, way, server) in zip(costs, ways, strict=True):
            told = measured(prepare, way, server)
            if number:  # round 0 is the warm-up
                cost.add(*told)
    print(f"{EVENTS:,} events of {len(COLUMNS)} columns in {PARTS} partitions, medians of {ROUNDS} rounds in turns")
    for cost, (name, *_) in zip(costs, ways, strict=True):
        print(f"{cost}  {name}")
    loader, concurrent, plain, durable = costs
    report("events/s against execute_concurrent_with_args", loader.rate / concurrent.rate, at_least=8)
    report("client + server CPU against the same", loader.total_us / concurrent.total_us, at_most=1 / 6)
    report("client CPU against SQLite executemany", loader.client_us / plain.client_us, at_most=3)
    report("events/s with commitlog_sync: batch against periodic", durable.rate / loader.rate, at_least=0.75)


def lost_when_killed(server: Cassandra, name: str) -> None:
    """Kill the server with SIGKILL while it is being loaded. After the restart, it must have every segment that it has acknowledged."""
    acknowledged = lost = 0
    for _ in range(KILLS):
        source = f"bench-{uuid.uuid4().hex[:8]}"
        environment = os.environ | {"CASSANDRA_PORT": str(server.port), "PYTHONPATH": str(ROOT)}
        loading = subprocess.Popen(
            [sys.executable, "-c", LOADING, source], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert loading.stdout
        told = [next(loading.stdout) for _ in range(100)]
        server.tell("kill")
        told += list(loading.stdout)
        loading.wait()
        server.tell("start")
        store = store_on(server)
        for number, part in enumerate(parts(source, count=len(told) * 500, per_part=500)):
            hour = START + number * timedelta(hours=1)
            acknowledged += len(part)
            lost += len(part) - store.count(source, hour, hour + timedelta(hours=1))
    report(f"acknowledged events lost in {KILLS} kill −9 with commitlog_sync: {name} (of {acknowledged:,})", lost, at_most=0)


def report(what: str, ratio: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
    target = f"at least {at_least:.2f}" if at_least is not None else f"at most {at_most:.2f}"
    print(f"{ratio:8.2f}   {target:>14}   {what}", flush=True)


if __name__ == "__main__":
    main()
