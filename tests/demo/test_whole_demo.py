"""The whole demo with --serve, as somebody uses it who has just cloned the repository: its nights, its address, its commands, its end."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings

from callcentersite.local_processes import left_behind
from demo.team.profiles import TEAM
from tests.waiting import wait_until

# One group, so that one process starts the demo, and not each.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("whole demo")]
START_SECONDS = 300  # forty seconds on two idle cores


@dataclass
class RunningDemo:
    process: "subprocess.Popen[bytes]"
    folder: Path
    output: Path

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def address(self) -> str:
        return re.search(r"^  (http://\S+)$", self.text, re.M)[1]

    def manage(self, *words: str, status: int = 0) -> str:
        # In another shell, which knows nothing of the demo.
        env = {"PATH": os.environ["PATH"], "DATABASE_URL": "mysql://somewhere/else"}
        done = subprocess.run([self.folder / "manage", *words], env=env, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == status, done.stderr
        return done.stdout

    def json(self, *words: str, status: int = 0) -> Any:
        return json.loads(self.manage(*words, status=status))


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Iterator[RunningDemo]:
    var = tmp_path_factory.mktemp("var")
    output = var / "output"
    heed_ctrl_c = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with output.open("wb") as file:
        command = [sys.executable, "-m", "demo", "--serve"]
        env = {**os.environ, "CALLCENTERSITE_VAR": str(var)}
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=env, stdout=file, stderr=file, preexec_fn=heed_ctrl_c)
    running = RunningDemo(process, var / "demo", output)
    try:
        is_up = lambda: "Ctrl-C stops everything" in running.text or process.poll() is not None  # noqa: E731
        wait_until(is_up, timeout_s=START_SECONDS, explain=lambda: running.text)
        assert process.poll() is None, running.text
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(90)
    assert (status, left_behind(var / "demo")) == (0, {})
    assert running.text.endswith("demo: everything is stopped\n")


@pytest.fixture(scope="module")
def reports(demo) -> dict[str, list[dict[str, Any]]]:
    """Return the periods of the last year's monthly report, by service."""
    since = (datetime.now(UTC) - timedelta(days=365)).date().isoformat()
    return {report["service"]: report["periods"] for report in demo.json("dora_report", "--from", since, "--by", "month", "--format", "json")}


def open_letters(demo: RunningDemo) -> list[tuple[str, str, int]]:
    """Return the source, kind and id of each open letter."""
    return sorted((row["source"], row["kind"], row["id"]) for row in demo.json("dead_letters", "list", "--json") if row["state"] == "open")


def test_one_failure_is_replayed_by_the_demo_and_the_one_that_it_leaves_by_a_person(demo):
    assert "billing failed: GitHub answered HTTP 502" in demo.text
    assert re.search(r"letter \d+: replayed", demo.text)
    letters = open_letters(demo)
    assert [letter[:2] for letter in letters] == [("billing", "record"), ("call-routing-logs", "record"), ("crm-sync", "stage")]
    assert "replayed" in demo.manage("dead_letters", "replay", str(letters[-1][2]))
    assert "11 of 11 sources succeeded" in demo.manage("etl_status", status=1)


def test_the_ledger_has_a_run_of_every_source_in_each_of_five_nights(demo):
    runs = demo.manage("shell", "--no-imports", "-c", _COUNT_RUNS)
    assert json.loads(runs) == [11] * 5


def test_the_services_fail_as_often_as_those_of_a_real_team(reports):
    shares = {}
    for service in TEAM:
        rates = [period["change_fail_rate"] for period in reports[service.name]]
        shares[service.name] = sum(rate["failed"] or 0 for rate in rates) / sum(rate["deployments"] or 0 for rate in rates)
    young = shares.pop("voice-bot")
    assert all(0.05 <= share <= 0.25 for share in shares.values()), shares
    assert 0 <= young <= 0.4


def test_lead_times_are_hours_to_days(reports):
    for service in TEAM:
        medians = [period["change_lead_time"]["p50"] for period in reports[service.name] if period["change_lead_time"]["p50"]]
        assert all(3600 < median < 30 * 86_400 for median in medians), (service.name, medians)


def test_the_errors_of_a_bad_deployment_are_in_the_logs_and_are_an_incident(demo):
    exported = [json.loads(line) for line in demo.manage("dora_export", "incidents", "--service", "agent-desktop").splitlines()]
    [incident] = [row for row in exported if row["external_id"].startswith("logs")]
    assert datetime.now(UTC) - timedelta(hours=12) < datetime.fromisoformat(incident["started_at"])
    assert incident["deployment"]
    assert incident["logs"]["errors"] > 200
    span = ("--from", incident["started_at"], "--to", incident["ended_at"])
    events = demo.manage("log_events", "--source", "agent-desktop-logs", *span, "--limit", "0").splitlines()
    assert len(events) >= incident["logs"]["events"]


def test_the_address_opens_the_pages_logged_in_and_only_once(demo):
    with requests.Session() as browser:
        opened = browser.get(demo.address, timeout=30)
        assert (opened.status_code, opened.url) == (200, re.sub(r"demo/.*", "", demo.address))
        assert browser.get(opened.url + "admin/", timeout=30, allow_redirects=False).status_code == 200
        logs = browser.get(opened.url + "logs/", params={"source": "call-routing-logs"}, timeout=30).text
        assert "answered after" in logs
    assert "/login/" in requests.get(demo.address, timeout=30).url


def test_the_commands_that_it_prints_work_in_another_shell(demo):
    [run] = demo.json("etl_run", "--source", "reporting", "--wait", "--json")
    assert run["status"] == "success"


def test_a_log_grows_and_is_read_between_the_nights(demo):
    between = "SELECT SUM(loaded) FROM etl_tasks_etlrun WHERE pipeline = 'call-routing-logs' AND logical_date IS NULL AND status = 'success'"
    with closing(sqlite3.connect(demo.folder / "callcentersite.sqlite3", timeout=20)) as database:
        wait_until(lambda: (database.execute(between).fetchone()[0] or 0) > 0, timeout_s=120)


_COUNT_RUNS = """
import json
from collections import Counter
from etl_tasks.models import ETLRun
nights = Counter(ETLRun.objects.exclude(logical_date=None).values_list("logical_date", flat=True))
print(json.dumps([count for _, count in sorted(nights.items())]))
"""
