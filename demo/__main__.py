"""The demo (`scripts/demo`): run two nights of the pipeline with an embedded broker and SQLite, and print each step."""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callcentersite.local_processes import (
    STOP_SIGNALS,
    CannotStart,
    beat_command,
    broker_command,
    keep_running,
    listener,
    processes,
    sole_owner,
    web_command,
    worker_command,
)
from dora_metrics.terminal_escaping import one_line

PROJECT = Path(__file__).resolve().parent.parent
REPOSITORY = "acme/billing"
WEB_HOST, WEB_PORT = "127.0.0.1", 8000
OUTPUT_KEPT = 3000


class DemoFailed(Exception):
    """The demo cannot go on. The message says what failed."""


class Demo:
    """The demo's folder, environment and steps. Each demo starts from an empty folder and uses its own database and broker."""

    def __init__(self, folder: Path, repository: str | None) -> None:
        self.folder, self.repository = folder, repository or REPOSITORY
        self.is_real = repository is not None
        self.began = time.monotonic()
        self.logs = folder / "billing.log"
        self.socket = folder / "broker.sock"
        self.github = ""
        self.env = {
            "CALLCENTERSITE_VAR": str(folder),
            # The shell may export production's servers. An empty value means the default: SQLite, and log events in it.
            "DATABASE_URL": "",
            "DATABASE_URL_FILE": "",
            "CASSANDRA_CONTACT_POINTS": "",
            "CELERY_BROKER_URL": f"redis+socket://{self.socket}",
            "LOG_ROOTS": f"/var/log,{folder}",
            "ETL_LOG_LEVEL": "INFO",
            # With these values retries follow within a second. With the default values, a stage would be retried for half an hour before it fails.
            "ETL_BACKOFF_SECONDS": "0",
            "ETL_BACKOFF_MAX_SECONDS": "0",
            "ETL_STAGE_RETRIES": "1",
            "ETL_STAGE_BACKOFF_SECONDS": "1",
            "ETL_STAGE_BACKOFF_MAX_SECONDS": "1",
            "ETL_SWEEP_SECONDS": "5",
        }

    def say(self, text: str) -> None:
        print(one_line(f"[{time.monotonic() - self.began:4.1f} s] {text}"), flush=True)

    def manage(self, *words: str, may_fail: bool = False) -> str:
        command = [sys.executable, "manage.py", *words]
        env = {**os.environ, **self.env, "ETL_LOG_LEVEL": "ERROR"}
        done = subprocess.run(command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)
        if done.returncode and not may_fail:
            raise DemoFailed(f"`manage.py {' '.join(words)}` ended with status {done.returncode}:\n{(done.stdout + done.stderr)[-OUTPUT_KEPT:]}")
        return done.stdout.strip()

    def tell_github(self, what: str, body: dict[str, object]) -> None:
        request = urllib.request.Request(f"{self.github}/_stand_in/{what}", data=json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def write_log(self, day: datetime, count: int) -> None:
        with self.logs.open("a") as file:
            for number in range(count):
                line = {
                    "time": (day + timedelta(minutes=number)).isoformat(),
                    "level": "info",
                    "logger": "billing",
                    "message": f"invoice {number} sent",
                }
                file.write(json.dumps(line) + "\n")

    def commands(self) -> dict[str, list[str]]:
        commands = {"broker": broker_command(self.folder, self.socket)}
        if not self.is_real:
            stand_in = [sys.executable, "-m", "github_stand_in", "--repository", self.repository, "--port", "0"]
            commands = {"github": [*stand_in, "--port-file", str(self.folder / "github.url")], **commands}
        return commands

    def wait_for(self, path: Path, what: str) -> None:
        deadline = time.monotonic() + 15
        while not path.exists():
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what} did not start; see the logs in {self.folder}")
            time.sleep(0.05)

    def night(self, *, may_fail: bool = False) -> None:
        for row in json.loads(self.manage("etl_run", "--wait", "--json", may_fail=may_fail)):
            counts = f"{row['extracted']} extracted, {row['loaded']} loaded, {row['skipped']} unchanged, {row['dead_lettered']} dead letters"
            reason = f": {row['error']}" if row["error"] else ""
            self.say(f"  {row['source']}: {row['status']}, {counts}{reason}")


def run(demo: Demo, *, serve: bool) -> None:
    with ExitStack() as started:
        servers = demo.commands()
        running = started.enter_context(processes(servers, folder=demo.folder, env=demo.env, cwd=PROJECT))
        if not demo.is_real:
            demo.wait_for(demo.folder / "github.url", "the stand-in for GitHub")
            demo.github = (demo.folder / "github.url").read_text()
            demo.env |= {"GITHUB_API_URL": demo.github, "GITHUB_TOKEN": "token-for-the-stand-in"}
            demo.say(f"a stand-in for GitHub serves {demo.repository}: 120 days of a team's work")
        demo.wait_for(demo.socket, "the broker")
        demo.manage("migrate", "--verbosity", "0")
        demo.manage("add_service", "billing", "--repository", demo.repository)
        if not demo.is_real:
            demo.manage("add_log_source", "billing-logs", "--service", "billing", "--path", str(demo.logs), "--format", "json")
        demo.say("database, broker, one service: ready")

        workers = {"worker": worker_command(), "beat": beat_command(demo.folder)}
        running = started.enter_context(processes(workers, folder=demo.folder, env=demo.env, cwd=PROJECT))
        nights(demo)
        print(demo.manage("dora_report", "--service", "billing", "--by", "month"))
        if serve:
            serve_until_stopped(demo, started, workers, running)
        else:
            where_next(demo)


def nights(demo: Demo) -> None:
    now = datetime.now(UTC)
    if demo.is_real:
        demo.say("a night on the real GitHub: extract, transform, load by a real worker")
        demo.night()
        return
    demo.tell_github("clock", {"now": (now - timedelta(days=1)).isoformat()})
    demo.write_log(now - timedelta(days=2), 300)
    demo.say("first night: extract, transform, load by a real worker")
    demo.night()
    demo.tell_github("clock", {"now": now.isoformat()})
    demo.write_log(now - timedelta(days=1), 40)
    demo.tell_github("faults", {"outage": True})
    demo.say("second night: only what is new; GitHub answers 502 to everything")
    demo.night(may_fail=True)
    demo.say("the failure is a dead letter:")
    print(demo.manage("dead_letters", "list"))
    demo.tell_github("faults", {})
    demo.say("GitHub is back; the letter is replayed from where it stood:")
    print(demo.manage("dead_letters", "replay", "--all"))
    print(demo.manage("etl_status", may_fail=True))


def where_next(demo: Demo) -> None:
    print(f"""
Where to look next
  scripts/demo --serve                                the admin in a browser, worker and beat running
  GITHUB_TOKEN=… scripts/demo --repository owner/name the same on a real repository
  CALLCENTERSITE_VAR={demo.folder} .venv/bin/python manage.py dora_report --by week
  README.md, docs/metrics.md (what each number means)""")
    demo.say("done; everything that was started is stopped")


def serve_until_stopped(demo: Demo, started: ExitStack, workers: dict[str, list[str]], running: dict[str, subprocess.Popen[bytes]]) -> None:
    password = secrets.token_urlsafe(9)
    demo.env["DJANGO_SUPERUSER_PASSWORD"] = password
    demo.manage("createsuperuser", "--noinput", "--username", "demo", "--email", "demo@example.com")
    del demo.env["DJANGO_SUPERUSER_PASSWORD"]
    held = started.enter_context(listener(WEB_HOST, WEB_PORT))
    port = held.getsockname()[1]
    web, sockets = {"web": web_command(held)}, {"web": held}
    running |= started.enter_context(processes(web, folder=demo.folder, env=demo.env, cwd=PROJECT, sockets=sockets))
    if port != WEB_PORT:
        demo.say(f"port {WEB_PORT} is taken by another program: the admin is on {port}")
    demo.say(f"the admin: http://{WEB_HOST}:{port}/admin/ (user demo, password {password}); Ctrl-C stops everything")
    keep_running(running, {**workers, **web}, folder=demo.folder, env=demo.env, cwd=PROJECT, sockets=sockets)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Two nights of the pipeline on the embedded defaults.")
    parser.add_argument("--serve", action="store_true", help="leave web, worker and beat running")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="a real repository; needs GITHUB_TOKEN")
    options = parser.parse_args()
    if options.repository and not os.environ.get("GITHUB_TOKEN"):
        print("error: --repository needs GITHUB_TOKEN, a token that may read the repository", file=sys.stderr)
        return 2
    folder = Path(os.environ.get("CALLCENTERSITE_VAR") or PROJECT / "var") / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    for number in STOP_SIGNALS:  # each then raises KeyboardInterrupt, so that the started processes are stopped
        signal.signal(number, signal.default_int_handler)
    try:
        with sole_owner(folder, what="a demo"):
            clear(folder)
            run(Demo(folder, options.repository), serve=options.serve)
    except (DemoFailed, CannotStart) as exc:
        print(f"demo: failed: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped")
        return 130
    return 0


def clear(folder: Path) -> None:
    """Delete the files of the previous demo. Only the lock, which this demo holds, stays."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path != folder / "owner.lock":
            path.rmdir() if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit(main())
