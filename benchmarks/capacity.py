"""Compute from measured costs how many sources one worker, MySQL, Redis, Cassandra and token carry, and how the tables grow in five years.

    scripts/bench capacity [--store]

--store writes the tables of docs/performance.md. Everything is computed: nothing is started. Each constant says which command measured it.
Change it after a new measurement, and run this again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- scripts/bench capacity writes these tables -->", "<!-- end of the tables of capacity -->"

NIGHT_S = 5 * 3600  # 01:00 to 06:00
BUSY = 0.7  # the share of a server's time that may be used, so that pages and retries still find room
ACTIVE = 0.1  # the share of the sources that have news in a night
YEARS, MANY = 5, 10_000
DAYS = 365 * YEARS


@dataclass(frozen=True)
class Night:
    """What one source costs in one night. CPU seconds of a core; requests to GitHub and the points that it charges; lines of a log."""

    worker_s: float
    mysql_s: float
    redis_s: float
    requests: float = 0.0
    points: float = 0.0
    cassandra_events: float = 0.0

    @property
    def process_s(self) -> float:
        """How long a process of a worker is taken: it works, or waits for the database and for GitHub."""
        return self.worker_s + self.mysql_s + self.requests * ANSWER_S


ANSWER_S = 0.3  # an answer of GitHub to a query of a page; an assumption
# scripts/bench night --row idle: CPU of worker, MariaDB and Redis for each of 50 sources without news. Points: scripts/bench github, the night of
# 1,000 repositories: the survey of 25 repositories costs one.
IDLE = Night(worker_s=0.027, mysql_s=0.008, redis_s=0.0001, requests=0.04, points=0.04)
# scripts/bench night --row metrics: a night with 10 changed pull requests, 2 deployments, 4 issues and a release, and the idle row for what its
# three tasks and the database cost besides. Points: scripts/bench github, the night with 10 changed pull requests.
ACTIVE_REPOSITORY = Night(worker_s=0.35, mysql_s=0.1, redis_s=0.002, requests=4, points=4)
# scripts/bench logs, row logs-json: CPU per event of all stages, into Cassandra. 20,000 lines a night.
LINES = 20_000
ACTIVE_LOG = Night(worker_s=0.121 + LINES * 17e-6, mysql_s=0.039, redis_s=0.002, cassandra_events=LINES)
LOGS = 0.1  # the share of the sources that are logs, as in scripts/bench load
# The same row: events a second that one process stores in one Cassandra, both on two cores.
CASSANDRA_EVENTS_A_SECOND = 34_800
# scripts/bench night --row idle, the time of the task etl.nightly in the worker's log: it opens the runs and sends them. Its survey waits besides.
OPENING_S, SURVEYED_AT_ONCE = 0.02, 25
NIGHTLY_LIMIT_S = 600  # ETL_STAGE_SOFT_LIMIT_SECONDS, which ends the task; the sweeper sends the runs that it had opened
FIRST_POINTS = 217  # scripts/bench github: the first collection of a repository with 2,000 pull requests
PROCESSES = 2  # of one worker, each on a core of its own
MYSQL_CORES, REDIS_CORES = 4, 1  # Redis executes commands in one thread
POINTS_AN_HOUR, RESERVED = 5000, 0.1  # of a token; GITHUB_RESERVE_PERCENT


@dataclass(frozen=True)
class Carrier:
    """A machine or token. `amount`: how much of `unit` it has in a night. `a_source`: how much a source of the usual mixture needs."""

    name: str
    amount: float
    a_source: float
    unit: str

    @property
    def sources(self) -> float:
        return self.amount / self.a_source if self.a_source else float("inf")

    def needed_for(self, sources: int) -> int:
        return -int(-sources * self.a_source // self.amount)


def mixture(idle: Night, repository: Night, log: Night, *, active: float = ACTIVE, logs: float = LOGS) -> Night:
    """Return what a source costs on average. `active`: the share of the sources with news. `logs`: the share of the sources that are logs."""
    shares = ((idle, 1 - active), (repository, active * (1 - logs)), (log, active * logs))
    return Night(*(sum(getattr(night, field) * share for night, share in shares) for field in Night.__dataclass_fields__))


def carriers(night: Night) -> list[Carrier]:
    """Return what one of each carries, the one that is full first in front."""
    found = [
        Carrier("task that starts the night", NIGHTLY_LIMIT_S, OPENING_S + ANSWER_S / SURVEYED_AT_ONCE, "s"),
        Carrier("worker with two processes", NIGHT_S * PROCESSES, night.process_s, "s of a process"),
        Carrier(f"MySQL with {MYSQL_CORES} cores", NIGHT_S * MYSQL_CORES * BUSY, night.mysql_s, "CPU s"),
        Carrier("Redis", NIGHT_S * REDIS_CORES * BUSY, night.redis_s, "CPU s"),
        Carrier("Cassandra node", NIGHT_S * BUSY * CASSANDRA_EVENTS_A_SECOND, night.cassandra_events, "events"),
        Carrier("GitHub token", NIGHT_S / 3600 * POINTS_AN_HOUR * (1 - RESERVED), night.points, "points"),
    ]
    return sorted(found, key=lambda carrier: carrier.sources)


# --- the tables -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """The rows that a source adds to a table. `kept_days`: after how many days they are deleted (ETL_KEEP_… and docs/operate.md); None: never.

    `a_night`, `an_active_night`: rows per source. `bytes_a_row`: with indexes.
    """

    name: str
    a_night: float
    an_active_night: float
    bytes_a_row: int
    kept_days: int | None
    what_then: str

    def rows(self, sources: int, days: int, *, active: float = ACTIVE) -> float:
        nights = days if self.kept_days is None else min(days, self.kept_days)
        return sources * nights * (self.a_night + active * self.an_active_night)

    def gigabytes(self, sources: int, days: int) -> float:
        return self.rows(sources, days) * self.bytes_a_row / 1e9


# Rows: estimated from what a run writes. Bytes of facts and metrics: data_length + index_length of information_schema.tables over the rows, after
# scripts/bench night --row lists. Bytes of the other tables: estimated.
TABLES = (
    Table("runs", 1, 0, 1300, 180, "by month of logical_date"),
    Table("progress of runs", 6, 1, 420, 30, "no need"),
    Table("task results", 3, 0, 1500, 30, "by week of date_done"),
    Table("staged pages", 0, 5, 15_000, 30, "by week; by far the widest rows"),
    Table("clean batches", 0, 5, 15_000, 7, "no need"),
    Table("changes and their deliveries", 0, 5, 1150, None, "by repository, not by time: they are read by service"),
    Table("commits", 0, 12, 740, None, "by repository"),
    Table("deployments and their attempts", 0, 2, 2080, None, "by repository"),
    Table("issues, releases and incidents", 0, 4, 600, None, "by repository"),
    Table("metrics", 5.8, 0, 490, None, "by year of period_start"),
    Table("counts of log lines", 0, 24 * LOGS, 900, None, "by year of hour"),
)


# --- output -----------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench capacity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", action="store_true", help="write the tables of docs/performance.md")
    options = parser.parse_args(arguments)
    text = "\n".join([*carrier_lines(), "", first_collection(), "", *table_lines()])
    print(text)
    if options.store:
        page = PAGE.read_text()
        PAGE.write_text(f"{page[: page.index(BEGIN) + len(BEGIN)]}\n{text}\n{page[page.index(END) :]}")


def carrier_lines() -> list[str]:
    usual = carriers(mixture(IDLE, ACTIVE_REPOSITORY, ACTIVE_LOG))
    quiet = {carrier.name: carrier for carrier in carriers(IDLE)}
    busy = {carrier.name: carrier for carrier in carriers(mixture(IDLE, ACTIVE_REPOSITORY, ACTIVE_LOG, active=1))}
    lines = ["| one | carries, no source has news | a tenth has news | all have news | for 10,000 sources, a tenth with news |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for carrier in usual:
        counts = [_count(one.sources) for one in (quiet[carrier.name], carrier, busy[carrier.name])]
        lines.append(f"| {carrier.name} | {' | '.join(counts)} | {carrier.needed_for(MANY)} |")
    return lines


def first_collection() -> str:
    hours = MANY * (1 - LOGS) * FIRST_POINTS / (POINTS_AN_HOUR * (1 - RESERVED))
    return (
        f"The first collection of {MANY:,} sources with 2,000 pull requests each needs {hours:,.0f} hours of one token's budget: "
        f"{-int(-hours // 24)} days and nights. Organisations that do not share a token have a budget each."
    )


def table_lines() -> list[str]:
    lines = [
        f"| table | rows after {YEARS} years | GB | kept | without deletion, GB | partition, if it must be |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for table in TABLES:
        kept = "for ever" if table.kept_days is None else f"{table.kept_days} days"
        endless = Table(table.name, table.a_night, table.an_active_night, table.bytes_a_row, None, "")
        sizes = f"{table.gigabytes(MANY, DAYS):,.0f} | {kept} | {endless.gigabytes(MANY, DAYS):,.0f}"
        lines.append(f"| {table.name} | {table.rows(MANY, DAYS) / 1e6:,.1f} million | {sizes} | {table.what_then} |")
    whole = sum(table.gigabytes(MANY, DAYS) for table in TABLES)
    return [*lines, f"| all | {sum(table.rows(MANY, DAYS) for table in TABLES) / 1e6:,.0f} million | {whole:,.0f} | | | |"]


def _count(sources: float) -> str:
    return "any number" if sources == float("inf") else f"{float(f'{sources:.2g}'):,.0f}"


if __name__ == "__main__":
    main()
