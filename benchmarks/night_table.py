"""The results of the benchmarks of nights and logs: benchmarks/results.json, and the table in docs/performance.md that is made from it."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks" / "results.json", ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- scripts/bench night writes this table -->", "<!-- end of the table -->"


@dataclass(frozen=True)
class Result:
    """One row of the table. `found`: None if there is nothing to compare.

    `limit`: the most that is allowed, or the least if `is_least`; None if the row only tells.
    """

    name: str
    work: str
    found: float
    unit: str
    limit: float | None
    detail: str
    is_least: bool = False

    @property
    def allowed(self) -> str:
        return "at least " * self.is_least + text(self.limit, self.unit)

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        return "yes" if self.found == self.limit or (self.found > self.limit) == self.is_least else "**no**"


def text(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def show(result: Result) -> None:
    allowed = "" if result.limit is None else f"{'at most ' * (not result.is_least)}{result.allowed}: {result.verdict.strip('*')}"
    print(f"{result.name:<16} {text(result.found, result.unit):>9}   {allowed:<24} {result.work}\n{'':<29}{result.detail}", flush=True)


def store(results: list[Result], how: dict[str, Any]) -> None:
    """Replace these rows in the results and in the table; the others stay as they were measured. `how`: rounds and scale."""
    stored = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}
    measured = {"at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "commit": commit(), **how}
    stored |= {result.name: {**asdict(result), "measured": measured} for result in results}
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": stored}, indent=1) + "\n")
    write_table(stored)


def write_table(rows: dict[str, dict[str, Any]]) -> None:
    lines = ["| row | work | at most | measured | kept | in detail |", "| --- | --- | --- | --- | --- | --- |"]
    for stored in rows.values():
        row = Result(**{name: value for name, value in stored.items() if name != "measured"})
        values = (row.name, row.work, row.allowed, text(row.found, row.unit), row.verdict, row.detail)
        lines.append(f"| {' | '.join(values)} |")
    last = max((stored["measured"] for stored in rows.values()), key=lambda measured: measured["at"])
    part = "" if last["scale"] == 1 else f"{last['scale']:g} of the records, "
    told = f"Last measured at commit {last['commit']}, {last['at']}, rounds: {last['rounds']} after the warm-up, {part}on {machine()}."
    if len({stored["measured"]["commit"] for stored in rows.values()}) > 1:
        told += f" Other rows are older: {RESULTS.name} has the commit and time of each."
    page = PAGE.read_text()
    before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    PAGE.write_text("\n".join([before, *lines, "", told, ""]) + after)


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = [line for line in git("status", "--porcelain").splitlines() if not line.endswith((str(PAGE.name), str(RESULTS.name)))]
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def machine() -> str:
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return f"{os.cpu_count()} cores of {model or platform.machine()}, Python {platform.python_version()}"
