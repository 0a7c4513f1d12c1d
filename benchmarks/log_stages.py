"""Compare the cost of all three stages of a log source with the cost of loading rows that are already parsed.

    scripts/bench logs                                            # everything
    scripts/bench logs --only cassandra --rounds 3 --store        # also writes the rows of benchmarks/results.json and docs/performance.md

One process follows, masks, stages, parses and writes the lines, on the servers of `scripts/services`. The rival is DSBulk, which
loads the same rows from CSV, into two tables. Both run in turns; time and CPU are those of whole processes, including the start of
Python, with compiled bytecode, and of the JVM. Then the same lines are written into SQLite, by the stages and by a plain loop. Last,
the memory of a process is measured with few and with many lines.
"""

import argparse
import csv
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks import night_table
from benchmarks.bytecode import compile_bytecode
from benchmarks.night_table import Result
from benchmarks.servers import PLAIN_TABLE, cassandra_cpu_seconds, jars_of, java

ROOT = Path(__file__).resolve().parent.parent
BEGIN = datetime(2026, 11, 20, tzinfo=UTC)
EVENTS = 1_000_000
SQL_EVENTS = 200_000
FEW, MANY = 100_000, 5_000_000
ROUNDS = 2
LEAST_RATIO = 1.5  # of our events/s to those of the faster rival
PATHS = ("/api/calls", "/api/calls/{}/recording", "/agents/{}/queue", "/reports/daily?day={}", "/static/app.{}.js", "/healthz")
AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "curl/8.9.1",
)
# The complete DSBulk is not on Maven Central. These are its modules for loading CSV, with its default (reactive) executor.
DSBULK = (
    *(f"com.datastax.oss:dsbulk-{part}:1.10.0" for part in ("runner", "connectors-csv", "workflow-load", "executor-reactor", "batcher-reactor")),
    "ch.qos.logback:logback-classic:1.2.13",
)
RIVALS = {"plain": "a column each", "log": "our own table, an event one value"}
COMBINED = re.compile(
    r'(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d{3}) (?P<size>\S+)'
    r' "(?P<referrer>[^"]*)" "(?P<agent>[^"]*)"'
)


class Cost(NamedTuple):
    cpu_s: float
    wall_s: float
    server_cpu_s: float
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench logs")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--many", type=int, default=MANY)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", choices=["cassandra", "sql", "memory"])
    parser.add_argument("--store", action="store_true", help="store the comparisons with DSBulk")
    parser.add_argument("--night", metavar="SOURCE", help=argparse.SUPPRESS)
    parser.add_argument("--plain-loop", metavar="PATH", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.night:
        one_night(asked.night)
    elif asked.plain_loop:
        plain_loop(Path(asked.plain_loop))
    else:
        measure(asked)


def measure(asked: argparse.Namespace) -> None:
    if not os.environ.get("CASSANDRA_CONTACT_POINTS"):
        sys.exit('bench logs: needs the real servers: scripts/services start, then eval "$(scripts/services env)"')
    compile_bytecode()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if asked.only in (None, "cassandra"):
            results = [against_dsbulk(work, log_format, events=asked.events, rounds=asked.rounds) for log_format in ("combined", "json")]
            if asked.store:
                night_table.store(results, {"rounds": asked.rounds, "scale": asked.events / EVENTS})
        if asked.only in (None, "sql"):
            against_a_plain_loop(work, rounds=asked.rounds + 1)
        if asked.only in (None, "memory"):
            memory(work, many=asked.many)


# --- three stages into Cassandra, against DSBulk ----------------------------------------------------------------------


def against_dsbulk(work: Path, log_format: str, *, events: int, rounds: int) -> Result:
    environment = cassandra_environment(work)
    lines = write_lines(work / f"{log_format}.log", log_format, events)
    night(work, environment, write_lines(work / "warm-up.log", log_format, 50_000), log_format, "warm-up")
    rows = write_rows(work, environment, lines, log_format)
    ours: list[Cost] = []
    theirs: dict[str, list[Cost]] = {table: [] for table in rows}
    for turn in range(rounds):
        ours.append(night(work, environment, lines, log_format, f"turn-{turn}"))
        for table, path in rows.items():
            theirs[table].append(dsbulk(environment, path, table))
    mine, per_event = middle(ours), 1e6 / events
    for table, costs in theirs.items():
        rival = middle(costs)
        say(f"{log_format}: {events:,} events, all three stages, against DSBulk loading them parsed into {RIVALS[table]} ({rounds} turns, medians)")
        row("client CPU", mine.cpu_s * per_event, rival.cpu_s * per_event, "us/event", "at most 1.0", mine.cpu_s / rival.cpu_s)
        row("events/s", events / mine.wall_s, events / rival.wall_s, "", f"at least {LEAST_RATIO}", ratio(costs, ours))
        row("server CPU", mine.server_cpu_s * per_event, rival.server_cpu_s * per_event, "us/event", "", mine.server_cpu_s / rival.server_cpu_s)
    for path in (*rows.values(), lines):
        path.unlink()
    rates = ", ".join(f"{events / middle(costs).wall_s:,.0f} into {RIVALS[table]}" for table, costs in theirs.items())
    result = Result(
        f"logs-{log_format}",
        f"lines in the format {log_format}, all three stages into Cassandra: events/s over those of DSBulk with the parsed lines",
        min(ratio(costs, ours) for costs in theirs.values()),
        "",
        LEAST_RATIO,
        f"{events:,} lines: {events / mine.wall_s:,.0f} events/s, {mine.cpu_s * per_event:.1f} µs of CPU each; DSBulk {rates}",
        is_least=True,
    )
    night_table.show(result)
    return result


def ratio(theirs: list[Cost], ours: list[Cost]) -> float:
    """Return the median of the turns' ratios of wall time."""
    return median(rival.wall_s / mine.wall_s for rival, mine in zip(theirs, ours, strict=True))


def cassandra_environment(work: Path) -> dict[str, str]:
    """Create a keyspace and a database for the benchmark, and return the environment that names them."""
    name = f"bench_{os.getpid()}"
    environment = {
        **os.environ,
        "CALLCENTERSITE_VAR": str(work),
        "DATABASE_URL": re.sub(r"/[^/]*$", f"/{name}", os.environ["DATABASE_URL"]),
        "CASSANDRA_KEYSPACE": name,
        "DJANGO_SETTINGS_MODULE": "callcentersite.settings",
        "DJANGO_DEBUG": "0",
        "DJANGO_SECRET_KEY": "of-the-benchmark",
        "LOG_ROOTS": str(work),
        "ETL_LOG_LEVEL": "ERROR",
    }
    if not (work / "is-made").exists():
        make_database(os.environ["DATABASE_URL"], name)
        manage(environment, "migrate", "--verbosity", "0")
        manage(environment, "init_log_store")
        manage(environment, "add_service", "bench", "--repository", "acme/bench")
        (work / "is-made").touch()
    return environment


def make_database(url: str, name: str) -> None:
    import environ
    import MySQLdb

    to = environ.Env.db_url_config(url)
    with MySQLdb.connect(host=to["HOST"], port=int(to["PORT"]), user=to["USER"], password=to["PASSWORD"]) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")


def night(work: Path, environment: Mapping[str, str], lines: Path, log_format: str, name: str) -> Cost:
    """Collect the file as a new log source, in another process, and return the cost of that process."""
    source = f"{lines.stem}-{name}"
    manage(environment, "add_log_source", source, "--service", "bench", "--path", str(lines), "--format", log_format)
    return process([sys.executable, "-m", "benchmarks.log_stages", "--night", source], environment)


def one_night(name: str) -> None:
    """Run the stages with the Celery application loaded, as in a worker."""
    import django

    django.setup()
    from callcentersite.celery import app, tune_garbage_collection
    from etl_tasks import ledger
    from etl_tasks.inline import run_remaining_stages
    from etl_tasks.models import ETLRun, Source

    app.loader.import_default_modules()
    tune_garbage_collection()
    run = ledger.open_run(Source.objects.get(name=name), trigger=ETLRun.Trigger.COMMAND)
    if run is None:
        sys.exit(f"{name} has a run under way")
    run_remaining_stages(run.pk)
    run.refresh_from_db()
    if run.loaded != run.extracted or run.unparsed or not run.loaded:
        sys.exit(f"not all is well: {run.extracted} extracted, {run.loaded} loaded, {run.unparsed} unparsed")


def write_rows(work: Path, environment: Mapping[str, str], lines: Path, log_format: str) -> dict[str, Path]:
    """Write the CSV files that the rival loads, one for each table. They contain the same events, parsed, under another source name."""
    os.environ |= environment
    import django

    django.setup()
    from etl_tasks.sources.logs.following import follow
    from etl_tasks.sources.logs.formats.interface import BodyOrigin, FormatOptions
    from etl_tasks.sources.logs.formats.known_formats import format_of
    from log_store.cassandra.connection import connection
    from log_store.cassandra.reading import FIELDS
    from log_store.event import file_key, segment_of

    connection.session().execute(PLAIN_TABLE.format(keyspace=environment["CASSANDRA_KEYSPACE"]), timeout=60)
    connection.drop()
    read = format_of(FormatOptions(log_format)).read
    paths = {table: work / f"{log_format}-{table}.csv" for table in RIVALS}
    with paths["plain"].open("w", newline="") as plain, paths["log"].open("w", newline="") as log:
        key = ("source", "hour", "segment", "time", "event_id")
        columns, whole = csv.writer(plain), csv.writer(log)
        columns.writerow((*key, *FIELDS))
        whole.writerow((*key, "event"))
        for chunk in follow.chunks(str(lines), {}):
            if isinstance(chunk, follow.Unreadable):
                sys.exit(chunk.reason)
            place = BodyOrigin("rival", file_key(0, chunk.identity), chunk.start, chunk.written_at, lambda: None)
            for one in read(chunk.body, place):
                event = one.fact  # type: ignore[union-attr]  # every generated line is valid
                hour = event.time.replace(minute=0, second=0, microsecond=0)
                times = (moment.isoformat(timespec="milliseconds") for moment in (hour, event.time))
                of_key = (event.source, next(times), segment_of(event.event_id), next(times), event.event_id)
                fields = {name: getattr(event, name) or None for name in FIELDS}
                whole.writerow((*of_key, json.dumps(fields)))
                columns.writerow((*of_key, *(json.dumps(value) if isinstance(value, dict) else value for value in fields.values())))
    return paths


def dsbulk(environment: Mapping[str, str], rows: Path, table: str) -> Cost:
    jars = jars_of("dsbulk", DSBULK)
    command = [java(), "-cp", f"{jars}/*", "com.datastax.oss.dsbulk.runner.DataStaxBulkLoader", "load"]
    options = {
        "-url": rows,
        "-header": "true",
        "-k": environment["CASSANDRA_KEYSPACE"],
        "-t": table,
        "-h": f"{environment['CASSANDRA_CONTACT_POINTS']}",
        "-port": environment["CASSANDRA_PORT"],
        "-dc": environment.get("CASSANDRA_LOCAL_DC", "datacenter1"),
        "-cl": "LOCAL_QUORUM",
        "--codec.nullStrings": '[""]',
        "--connector.csv.escape": r'"\""',
        "--connector.csv.maxCharsPerColumn": "-1",
        "--log.directory": rows.parent / "dsbulk",
        "--log.verbosity": "quiet",
        "--log.maxErrors": "0",
    }
    return process([*command, *(str(part) for pair in options.items() for part in pair)], environment)


# --- three stages into SQLite, against a plain loop -------------------------------------------------------------------


def against_a_plain_loop(work: Path, *, rounds: int) -> None:
    ours, theirs = [], []
    for turn in range(rounds):
        lines = write_lines(work / f"sql-{turn}.log", "combined", SQL_EVENTS)
        mine = sqlite_environment(work, f"ours-{turn}")
        ours.append(night(work, mine, lines, "combined", "night"))
        theirs.append(
            process([sys.executable, "-m", "benchmarks.log_stages", "--plain-loop", str(lines)], sqlite_environment(work, f"theirs-{turn}"))
        )
        lines.unlink()
    mine_, rival = middle(ours), middle(theirs)
    say(f"combined: {SQL_EVENTS:,} events, all three stages into SQLite, against one regex and bulk_create of 1,000 ({rounds} turns, medians)")
    per_event = 1e6 / SQL_EVENTS
    row("CPU", mine_.cpu_s * per_event, rival.cpu_s * per_event, "us/event", "at most 0.6", mine_.cpu_s / rival.cpu_s)


def sqlite_environment(work: Path, name: str) -> dict[str, str]:
    folder = work / name
    folder.mkdir()
    environment = {
        **os.environ,
        "CALLCENTERSITE_VAR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
        "CASSANDRA_CONTACT_POINTS": "",
        "DJANGO_SETTINGS_MODULE": "callcentersite.settings",
        "DJANGO_SECRET_KEY": "of-the-benchmark",
        "LOG_ROOTS": str(work),
        "ETL_LOG_LEVEL": "ERROR",
    }
    manage(environment, "migrate", "--verbosity", "0")
    manage(environment, "add_service", "bench", "--repository", "acme/bench")
    return environment


def plain_loop(path: Path) -> None:
    """Load the file with a plain loop. The loop neither masks nor stages, and cannot be resumed."""
    import django

    django.setup()
    from log_store.models import LogEventRow

    rows: list[Any] = []
    with path.open() as file:
        for number, line in enumerate(file):
            match = COMBINED.match(line)
            if match is None:
                continue
            rows.append(
                LogEventRow(
                    event_id=f"{path.name}:{number}",
                    source="plain",
                    time=datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z"),
                    level="error" if match["status"] >= "500" else "warning" if match["status"] >= "400" else "info",
                    host=match["host"],
                    message=f"{match['method']} {match['path']}",
                    method=match["method"],
                    path=match["path"],
                    status=int(match["status"]),
                    extra={"size": match["size"], "referrer": match["referrer"], "user_agent": match["agent"]},
                )
            )
            if len(rows) == 1000:
                LogEventRow.objects.bulk_create(rows)
                rows = []
    LogEventRow.objects.bulk_create(rows)


# --- memory -----------------------------------------------------------------------------------------------------------


def memory(work: Path, *, many: int) -> None:
    environment = cassandra_environment(work)
    peaks = {}
    for events in (FEW, many):
        lines = write_lines(work / f"memory-{events}.log", "combined", events)
        peaks[events] = night(work, environment, lines, "combined", "memory").peak_mb
        lines.unlink()
    say("memory of one process through all three stages into Cassandra, its peak")
    row(f"{many:,} lines", peaks[many], peaks[FEW], f"MB, against {FEW:,}", "at most 1.1, under 130 MB", peaks[many] / peaks[FEW])


# --- lines, processes, output -----------------------------------------------------------------------------------------


def write_lines(path: Path, log_format: str, count: int) -> Path:
    with path.open("w") as file:
        file.writelines(LINES[log_format](count))
    return path


def combined_lines(count: int) -> Iterator[str]:
    dice = random.Random(6)
    for number in range(count):
        at = BEGIN + timedelta(milliseconds=50 * number)
        path = dice.choice(PATHS).format(dice.randrange(10_000))
        status = dice.choices((200, 304, 404, 500), (90, 6, 3, 1))[0]
        host = f"10.{dice.randrange(256)}.{dice.randrange(256)}.7"
        yield (
            f'{host} - - [{at:%d/%b/%Y:%H:%M:%S} +0000] "GET {path} HTTP/1.1" {status} {dice.randrange(100, 90_000)} '
            f'"https://calls.example.org{path}" "{dice.choice(AGENTS)}"\n'
        )


def json_lines(count: int) -> Iterator[str]:
    dice = random.Random(6)
    for number in range(count):
        at = BEGIN + timedelta(milliseconds=50 * number)
        message = (
            f"call {dice.randrange(1_000_000)} of queue {dice.randrange(40)} was answered by agent {dice.randrange(900)} after {number % 97} s and "
        )
        fields = {
            "timestamp": at.isoformat(),
            "level": dice.choices(("info", "warning", "error"), (95, 4, 1))[0],
            "host": f"pbx-{dice.randrange(8)}",
            "logger": "calls.router",
            "message": message + "handed over to the recording service without loss of a single frame",
            "method": "POST",
            "path": "/api/calls",
            "status": 201,
            "duration_ms": dice.randrange(9000) / 10,
            "trace_id": f"{dice.getrandbits(64):016x}",
        }
        yield json.dumps(fields) + "\n"


LINES = {"combined": combined_lines, "json": json_lines}


def process(command: Iterable[str], environment: Mapping[str, str]) -> Cost:
    """Run a command to its end and return its cost. Ends the benchmark if the command fails."""
    server_before = cassandra_cpu_seconds()
    began = time.perf_counter()
    running = subprocess.Popen(list(command), env=dict(environment), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = running.stdout.read() if running.stdout else ""
    _, status, used = os.wait4(running.pid, 0)
    wall = time.perf_counter() - began
    if status:
        sys.exit(f"bench logs: {' '.join(list(command)[:6])} failed:\n{output[-3000:]}")
    return Cost(used.ru_utime + used.ru_stime, wall, cassandra_cpu_seconds() - server_before, used.ru_maxrss / 1024)


def manage(environment: Mapping[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], env=dict(environment), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def middle(costs: list[Cost]) -> Cost:
    return Cost(*(median(values) for values in zip(*costs, strict=True)))


def say(text: str) -> None:
    print(text, flush=True)


def row(what: str, ours: float, theirs: float, unit: str, target: str, ratio: float) -> None:
    print(f"  {what:<18} ours {ours:>10,.1f}  rival {theirs:>10,.1f} {unit:<24} ratio {ratio:.2f}{f' ({target})' if target else ''}", flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
