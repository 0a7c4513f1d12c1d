"""Measure a night of the product, and compare it with dlt, which loads the same lists of the same generated repositories.

    scripts/bench night [--row NAME …] [--rounds 5] [--scale 1.0] [--store] [--folder DIR] [--profile FILE]

Rival and product work in turns: a warm-up, then the rounds. A row shows the median, and of a comparison the median of the rounds' ratios.
CPU time is that of all processes of one side, with their starts. The product's side is worker, broker and whatever its tasks do: ledger,
staging, results. The database and the stand-in for GitHub are on neither side; their CPU time is printed.

--store writes the results to benchmarks/results.json, and the table of docs/performance.md. No figure is checked by a test.

THE DATABASES night_bench AND night_rival ARE DELETED AND CREATED AGAIN, and so is the content of the Redis database 8.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import installation, night_product, night_profile, night_rival, night_table
from benchmarks.bytecode import compile_bytecode
from benchmarks.night_github import GitHub, github
from benchmarks.night_product import ROOT, Spent
from benchmarks.night_table import Result

DATABASE, REDIS_DATABASE = "night_bench", 8
SIZE = {"pull_requests": 2000, "issues": 2000, "commits": 3000, "releases": 500, "deployments": 1000, "runs": 0}
A_DAYS_NEWS = {"changed": 10, "deployed": 2, "issues": 4, "releases": 1}
A_SMALL_PAST = {"days": 30, "pull_requests": 4, "deployments": 3, "issues": 3, "releases": 1, "runs": 0, "commits": 8}
PAIR, PART, ONE, TEN = ["acme/billing", "acme/calls"], ["acme/part-1", "acme/part-2"], "acme/one", "acme/ten"
NEWS, SMALL, IDLE = ["acme/news-1", "acme/news-2"], "acme/small", [f"acme/idle-{number:02}" for number in range(50)]
PART_OF_FACTS = 0.25  # the comparison of the same facts uses this share of the records, because dlt makes 10,000 requests for all of them
LATENCY_S = 0.1
MOST_LONG_ROUNDS = 3  # of the rows whose rounds take a minute, so that all rows together take less than 25 minutes
UNCHANGED_NIGHTS = 4  # in each round, after the first one without a change, because a clock tick is a large part of one


@dataclass(frozen=True)
class Bench:
    github: GitHub
    folder: Path
    rounds: int
    scale: float
    rows: frozenset[str]
    clock: datetime
    profile: Path | None

    def turns(self, *, most: int | None = None) -> Iterator[int]:
        """Yield 0 for the warm-up, then the number of each round. `most`: of a row whose rounds are long."""
        yield from range(min(self.rounds, most or self.rounds) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench night", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--row", action="append", choices=sorted(row for rows in SCENARIOS.values() for row in rows), help="only this; may be repeated"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the records, for a quick look")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results.json and the table of docs/performance.md")
    parser.add_argument("--folder", type=Path, help="where the logs of the processes are kept")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="of the rows metrics and stages: record the last night with py-spy")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench night: stopped"))  # so that its processes are stopped, too
    rows = frozenset(options.row or (row for rows in SCENARIOS.values() for row in rows))
    if options.profile:
        night_profile.recorder(options.profile)  # ends this program now, not after the other rows, if there is no py-spy
    compile_bytecode()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        clock = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1, hours=1)
        with github(folder, worlds(rows, options.scale), clock) as server:
            installation.set_up(folder, server.url, database=DATABASE, redis_database=REDIS_DATABASE)
            night_product.prepare()
            bench = Bench(server, folder, options.rounds, options.scale, rows, clock, options.profile)
            results: list[Result] = []
            for scenario, its_rows in SCENARIOS.items():
                if rows & set(its_rows):
                    found = scenario(bench)
                    for result in found:
                        night_table.show(result)
                    results += found
    if options.store:
        night_table.store(results, {"rounds": options.rounds, "scale": options.scale})


def sized(by: float) -> dict[str, int]:
    return {name: max(1, round(count * by)) if count else 0 for name, count in SIZE.items()}


def worlds(rows: frozenset[str], scale: float) -> dict[str, dict[str, Any]]:
    """Return the repositories that the rows need, by name, with their sizes."""
    found: dict[str, dict[str, Any]] = {SMALL: A_SMALL_PAST}
    if rows & {"lists", "unchanged", "commands", "start", "latency"}:
        found |= {name: sized(scale) for name in PAIR}
    if "facts" in rows:
        found |= {name: sized(PART_OF_FACTS * scale) for name in PART}
    if rows & {"growth", "memory"}:
        found |= {ONE: sized(scale), TEN: sized(10 * scale)}
    if "idle" in rows:
        found |= dict.fromkeys(IDLE, A_SMALL_PAST)
    if rows & {"metrics", "stages"}:
        found |= {name: {**sized(scale), "news": A_DAYS_NEWS} for name in NEWS}
    return found


# --- the scenarios ----------------------------------------------------------------------------------------------------


def lists(bench: Bench) -> list[Result]:
    """Measure the first night of two repositories, the same night again, and a first night through the commands, in turns with dlt."""
    rival: list[Spent] = []
    first: list[Spent] = []
    again: list[float] = []
    later: list[float] = []
    bare: list[float] = []
    commands: list[Spent] = []
    starts: list[float] = []
    records = 0
    with night_product.warm_worker(bench.github, bench.folder) as worker:
        for turn in bench.turns():
            if "lists" in bench.rows:
                rival.append(night_rival.load(bench.github, PAIR, bench.folder))
            night_product.begin_anew(PAIR)
            first.append(worker.night())
            records = night_product.loaded_records()
            if "unchanged" in bench.rows:
                again.append(unchanged_night(worker).cpu_s)
                later.append(mean_cpu(unchanged_night(worker) for _ in range(UNCHANGED_NIGHTS)))
                bare.append(mean_cpu(worker.bare_chains(len(PAIR)) for _ in range(UNCHANGED_NIGHTS)))
            if "commands" in bench.rows:
                night_product.begin_anew(PAIR)
                commands.append(night_product.night_by_commands(bench.github, bench.folder))
            if "start" in bench.rows:
                starts.append(mean_cpu(night_product.start_of_a_command(bench.github, bench.folder) for _ in range(3)))
            progress("lists", turn, {"dlt": rival, "first night": first, "commands": commands})
    rival, first, again, later, bare, commands, starts = ([*values[1:]] for values in (rival, first, again, later, bare, commands, starts))
    found: list[Result] = []
    if "lists" in bench.rows:
        detail = f"{records:,} records: {described('dlt', rival)}; {described('a warm worker', first)}"
        found.append(Result("lists", "the same lists: CPU of the first night over that of dlt", ratio(first, rival, cpu), "", 0.5, detail))
    if "unchanged" in bench.rows:
        work = "nothing changed: CPU above three bare tasks for each source, as a share of the first night"
        others = f"{len(PAIR)} bare chains of three tasks {1000 * median(bare):.0f} ms; the first night {median(map(cpu, first)):.2f} s"
        for name, which, nights in (("unchanged", "the same night again", again), ("unchanged-later", "the nights after that", later)):
            shares = [(one - chains) / night.cpu_s for one, chains, night in zip(nights, bare, first, strict=True)]
            found.append(Result(name, f"{which}, {work}", median(shares), "", 0.01, f"{1000 * median(nights):.0f} ms of CPU; {others}"))
    if "commands" in bench.rows:
        more = [one.cpu_s - night.cpu_s for one, night in zip(commands, first, strict=True)]
        detail = f"{described('the commands', commands)}; {described('a warm worker', first)}"
        found.append(
            Result("commands", "the first night through the three commands: CPU above that of a warm worker", median(more), "s", 1.5, detail)
        )
    if "start" in bench.rows:
        detail = "etl_load, which finds nothing to do"
        found.append(Result("start", "start of a command: CPU", median(starts), "s", 0.35, detail))
    return found


def unchanged_night(worker: night_product.Worker) -> Spent:
    night_product.move_nights_back()
    return worker.night()


def latency(bench: Bench) -> list[Result]:
    """Measure the time until the end of a first night if each answer of GitHub takes 100 ms."""
    rival: list[Spent] = []
    threads: list[Spent] = []
    first: list[Spent] = []
    bench.github.wait_before_answers(LATENCY_S)
    with night_product.warm_worker(bench.github, bench.folder) as worker:
        for turn in bench.turns():
            rival.append(night_rival.load(bench.github, PAIR, bench.folder))
            threads.append(night_rival.load(bench.github, PAIR, bench.folder, parallel=True))
            night_product.begin_anew(PAIR)
            first.append(worker.night())
            progress("latency", turn, {"dlt": rival, "dlt with threads": threads, "first night": first})
    bench.github.wait_before_answers(0)
    rival, threads, first = rival[1:], threads[1:], first[1:]
    work = f"the first night, {1000 * LATENCY_S:.0f} ms for each answer, a warm worker with two children: wall time over that of dlt's bare lists"
    return [
        Result("latency", work, ratio(first, rival, wall), "", 0.2, f"{described('dlt', rival)}; {described('a warm worker', first)}"),
        Result(
            "latency-threads",
            "the same, over that of dlt with parallelized=True",
            ratio(first, threads, wall),
            "",
            None,
            described("dlt with threads", threads),
        ),
    ]


def facts(bench: Bench) -> list[Result]:
    """Compare with dlt fetching what the product fetches: statuses of each deployment, reviews and commits of each pull request."""
    rival: list[Spent] = []
    first: list[Spent] = []
    bench.github.wait_before_answers(LATENCY_S)
    with night_product.warm_worker(bench.github, bench.folder) as worker:
        for turn in bench.turns(most=MOST_LONG_ROUNDS):
            rival.append(night_rival.load(bench.github, PART, bench.folder, facts=True, parallel=True))
            night_product.begin_anew(PART)
            first.append(worker.night())
            progress("facts", turn, {"dlt": rival, "first night": first})
    bench.github.wait_before_answers(0)
    rival, first = rival[1:], first[1:]
    share = f"{described('dlt with threads', rival)}; {described('a warm worker', first)}; {PART_OF_FACTS:.0%} of the records"
    return [
        Result("facts-cpu", "the same facts: CPU over that of dlt", ratio(first, rival, cpu), "", 0.1, share),
        Result("facts-requests", "the same facts: requests over those of dlt", ratio(first, rival, requests), "", 0.05, share),
        Result("facts-wall", f"the same facts: wall time at {1000 * LATENCY_S:.0f} ms over that of dlt", ratio(first, rival, wall), "", 0.1, share),
    ]


def growth(bench: Bench) -> list[Result]:
    """Compare a repository with another one that has ten times the records. Each night has a new worker with one child, warmed by a small one."""
    spent: dict[str, list[Spent]] = {ONE: [], TEN: []}
    peaks: dict[str, list[float]] = {ONE: [], TEN: []}
    for turn in bench.turns(most=MOST_LONG_ROUNDS):
        for name in (ONE, TEN):
            with night_product.warm_worker(bench.github, bench.folder, concurrency=1) as worker:
                night_product.begin_anew([SMALL])
                worker.night()
                night_product.begin_anew([name])
                spent[name].append(worker.night())
                peaks[name].append(worker.peak_megabytes())
        progress("growth", turn, {"one": spent[ONE], "ten": spent[TEN]})
    one, ten = spent[ONE][1:], spent[TEN][1:]
    small, large = max(peaks[ONE][1:]), max(peaks[TEN][1:])
    few, many = (f"{size['pull_requests']:,} pull requests" for size in (sized(bench.scale), sized(10 * bench.scale)))
    detail = f"{described(f'{few} and the rest', one)}; {described(many, ten)}"
    sizes = f"{small:.0f} MB with {few}, {large:.0f} MB with {many}"
    return [
        Result("growth", "ten times the records: CPU over that of the records", ratio(ten, one, cpu), "", 10.5, detail),
        Result("memory", f"peak memory of a worker's process, {many}", large, "MB", 130, sizes),
        Result("memory-growth", f"peak memory with {many} over that with {few}", large / small, "", 1.1, sizes),
    ]


def idle(bench: Bench) -> list[Result]:
    """Compare a night of settled sources with as many bare chains of three tasks in the same worker."""
    nights: list[Spent] = []
    bare: list[Spent] = []
    with night_product.warm_worker(bench.github, bench.folder) as worker:
        night_product.begin_anew(IDLE)
        worker.night()
        for _ in range(2):  # a source is settled when two nights have found nothing
            unchanged_night(worker)
        for turn in bench.turns():
            bare.append(worker.bare_chains(len(IDLE)))
            nights.append(unchanged_night(worker))
            progress("idle", turn, {"bare chains": bare, "night": nights})
    nights, bare = nights[1:], bare[1:]
    each = [1000 * (night.cpu_s - chains.cpu_s) / len(IDLE) for night, chains in zip(nights, bare, strict=True)]
    ours, theirs = (1000 * median(map(cpu, spent)) / len(IDLE) for spent in (nights, bare))
    broker, database = (1000 * median(getattr(one, name) for one in nights) / len(IDLE) for name in ("broker_cpu_s", "database_cpu_s"))
    servers = f"each also {database:.1f} ms in MariaDB; {broker:.1f} of the ms are Redis"
    detail = f"{len(IDLE)} sources: each {ours:.1f} ms, a bare chain {theirs:.1f} ms; {median(map(requests, nights)):.0f} requests in all; {servers}"
    return [Result("idle", "one settled source: CPU above that of a bare chain of three tasks", median(each), "ms", 15, detail)]


def metrics(bench: Bench) -> list[Result]:
    """Measure, stage by stage in one process, a first night and the night after a day with news."""
    found: list[dict[str, dict[str, float]]] = []
    next_day = (bench.clock + timedelta(days=1)).isoformat()
    command = [sys.executable, "-m", "benchmarks.night_stages", "--github", bench.github.url, "--pid", str(bench.github.pid), "--next", next_day]
    for turn in bench.turns(most=MOST_LONG_ROUNDS):
        bench.github.move_clock(bench.clock)
        night_product.begin_anew(NEWS)
        found.append(json.loads(output_of(command, bench.folder).splitlines()[-1]))
        print(f"  stages, turn {turn}: {found[-1]}", flush=True)
    if bench.profile:
        bench.github.move_clock(bench.clock)
        night_product.begin_anew(NEWS)
        output_of([*night_profile.recorder(bench.profile.resolve()), *command], bench.folder)
        print("\n".join(night_profile.lines(bench.profile)), flush=True)
    bench.github.move_clock(bench.clock)
    first, later = ({part: median(one[night][part] for one in found[1:]) for part in found[0][night]} for night in ("first", "ordinary"))
    shares = [one["ordinary"]["metrics"] / sum(one["ordinary"].values()) for one in found[1:]]
    news = ", ".join(f"{count} {name}" for name, count in A_DAYS_NEWS.items())
    return [
        Result("metrics", "metrics after an ordinary night: share of the night's CPU", median(shares), "", 0.05, f"{by_stage(later)}; news: {news}"),
        Result("stages", "the first night in one process, without a worker: CPU", sum(first.values()), "s", None, by_stage(first)),
    ]


def output_of(command: Sequence[str], folder: Path) -> str:
    with (folder / "stages.log").open("ab") as log:
        return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=log, text=True).stdout


def by_stage(seconds: dict[str, float]) -> str:
    whole = sum(seconds.values())
    return ", ".join(f"{part} {value:.2f} s ({value / whole:.0%})" for part, value in seconds.items())


SCENARIOS: dict[Callable[[Bench], list[Result]], tuple[str, ...]] = {
    lists: ("lists", "unchanged", "commands", "start"),
    latency: ("latency",),
    facts: ("facts",),
    growth: ("growth", "memory"),
    idle: ("idle",),
    metrics: ("metrics", "stages"),
}


# --- figures ----------------------------------------------------------------------------------------------------------


def cpu(spent: Spent) -> float:
    return spent.cpu_s


def wall(spent: Spent) -> float:
    return spent.wall_s


def requests(spent: Spent) -> float:
    return spent.requests


def ratio(ours: Sequence[Spent], others: Sequence[Spent], of: Callable[[Spent], float]) -> float:
    return median(of(one) / of(other) for one, other in zip(ours, others, strict=True))


def mean_cpu(spent: Iterator[Spent]) -> float:
    seconds = [one.cpu_s for one in spent]
    return sum(seconds) / len(seconds)


def described(who: str, spent: Sequence[Spent]) -> str:
    return f"{who} {median(map(cpu, spent)):.2f} s of CPU, {median(map(wall, spent)):.1f} s, {median(map(requests, spent)):,.0f} requests"


def progress(name: str, turn: int, sides: dict[str, list[Spent]]) -> None:
    """Print the last measurement of each side. Of database and stand-in it prints the CPU seconds, which are on neither side."""
    for side, spent in sides.items():
        if spent:
            one = spent[-1]
            others = f"database {one.database_cpu_s:.2f} s, GitHub {one.github_cpu_s:.2f} s"
            print(f"  {name}, turn {turn}: {side} {one.cpu_s:.2f} s of CPU, {one.wall_s:.2f} s, {one.requests} requests ({others})", flush=True)


if __name__ == "__main__":
    main()
