"""The demo's folder, environment and server processes."""

import json
import os
import re
import shlex
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callcentersite.local_processes import broker_command
from dora_metrics.terminal_escaping import one_line

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 30
# Settings of a real installation, which the shell may export. An empty value means the default.
PREFIXES = ("ALERT_", "CASSANDRA_", "CELERY_", "DATABASE_", "DJANGO_", "EMAIL_", "ETL_", "FLOWER_", "HEARTBEAT_", "LOG_")
KEPT = ("ETL_TIME_ZONE", "FLOWER_ADDRESS", "LOG_MASK_RULES", "LOG_MASK_PATTERNS")


class DemoFailed(Exception):
    """The demo cannot go on. The message says what failed."""


class Demo:
    """The demo's folder and environment. Each demo starts from an empty folder and uses its own database and broker.

    `repository`: a real repository to collect; None for the generated team.
    """

    def __init__(self, folder: Path, repository: str | None) -> None:
        self.folder, self.repository = folder, repository
        self.is_real = repository is not None
        self.began, self.now = time.monotonic(), datetime.now(UTC).replace(microsecond=0)
        self.logs = folder / "logs"
        self.socket = folder / "broker.sock"
        self.github = ""
        prefixes = PREFIXES if self.is_real else (*PREFIXES, "GITHUB_")
        self.foreign = re.compile(f"^({'|'.join(prefixes)})")
        self.env = {name: "" for name in os.environ if self.foreign.match(name) and name not in KEPT} | {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            "DATABASE_URL": "",
            "DATABASE_URL_FILE": "",
            "CASSANDRA_CONTACT_POINTS": "",
            "DJANGO_SETTINGS_MODULE": "demo.settings",
            "CALLCENTERSITE_VAR": str(folder),
            "CELERY_BROKER_URL": f"redis+socket://{self.socket}",
            "LOG_ROOTS": f"/var/log,{folder}",
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

    def clock_of(self, days_ago: int) -> datetime:
        return self.now - timedelta(days=days_ago)

    def tell_github(self, what: str, body: dict[str, object]) -> None:
        request = urllib.request.Request(f"{self.github}/_stand_in/{what}", data=json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def commands(self) -> dict[str, list[str]]:
        commands = {"broker": broker_command(self.folder, self.socket)}
        if not self.is_real:
            github = [sys.executable, "-m", "demo.github", "--now", self.now.isoformat(), "--port-file", str(self.folder / "github.url")]
            commands = {"github": github, **commands}
        return commands

    def wait_for(self, path: Path, what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not path.exists():
            if time.monotonic() > deadline:
                raise DemoFailed(f"{what} did not start; see the logs in {self.folder}")
            time.sleep(0.05)

    def write_manage(self) -> str:
        """Write a script that calls manage.py with the demo's environment, and return its path as it is typed.

        It works in every shell, whatever that exports.
        """
        path = self.folder / "manage"
        env = {**self.env, "ETL_LOG_LEVEL": "ERROR"}
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(env.items()))
        path.write_text(
            "#!/bin/sh\n# manage.py with the settings of the demo in this folder.\n"
            f"for name in $(env | grep -oE '{self.foreign.pattern}[A-Za-z0-9_]*'); do unset \"$name\"; done\n"
            f"{exports}cd {shlex.quote(str(PROJECT))} || exit\n"
            f'exec {shlex.quote(sys.executable)} manage.py "$@"\n'
        )
        path.chmod(0o700)
        return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)
