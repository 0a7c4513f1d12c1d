"""Backup and restore, with the commands of docs/operate.md as they stand there. The night after a restore brings everything to today's state."""

import os
import re
import shutil
import sqlite3
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from dora_metrics.models import LogDeployment, LogTraffic, Service
from etl_tasks import inline, ledger
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Source
from etl_tasks.sources.adapter import PASSING_KEYS
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from log_store.opening import open_log_store
from log_store.store import LogQuery
from tests.conftest import END
from tests.end_to_end.conftest import database_url
from tests.etl_tasks.test_stages import lines
from tests.tables import assert_equal_to_truth, facts, rows

ROOT = Path(settings.BASE_DIR)
PAGE = (ROOT / "docs" / "operate.md").read_text()
# Stands for the Docker engine: it runs what would run inside a container here, with the variables that the container has.
DOCKER = """#!/bin/bash
echo "$*" >> "$CALLS"
[ "$1" = compose ] || exit 9
case $2 in
  exec) [ "$3" = -T ] || exit 9; shift 4; exec "$@" ;;
  up) exec "$PYTHON" manage.py migrate ;;
  stop) ;;
  *) exit 9 ;;
esac
"""
# Inside the container, the programs find their server without being told where it is.
PROGRAM = """#!/bin/bash
[[ "$1" = --defaults-extra-file=* ]] || set -- --defaults-extra-file={server} "$@"
exec {tool} "$@"
"""
REDIS_CLI = """#!/bin/bash
[ "$*" = FLUSHDB ] || exit 9
exec "$PYTHON" -c 'import os, redis; redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).flushdb()'
"""


def commands(heading: str) -> str:
    """Return the block of commands below a heading of docs/operate.md."""
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    [block] = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return block


class Shell:
    """Runs commands in a folder that looks like an installation."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder / "installation", folder / "programs"
        for made in (self.folder, self.programs):
            made.mkdir()
        for name in (".venv", "manage.py"):
            (self.folder / name).symlink_to(ROOT / name)
        self.env = {
            **os.environ,
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PYTHON": str(ROOT / ".venv/bin/python"),
            "CALLS": str(folder / "calls"),
        }
        self.env |= {"DATABASE_URL": database_url(), "CELERY_BROKER_URL": settings.CELERY_BROKER_URL, "PYTHONPATH": str(ROOT)}

    def program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def run(self, text: str, **env: str) -> subprocess.CompletedProcess[str]:
        connection.close()
        return subprocess.run(["bash", "-c", text], cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True, timeout=120)

    def do(self, heading: str) -> None:
        done = self.run(commands(heading))
        assert done.returncode == 0, f"{heading}\n{done.stdout}\n{done.stderr}"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell whose commands reach the database of the tests: as a server's, in place of Docker's, or as a laptop's file."""
    found, values = Shell(tmp_path), connection.settings_dict
    if connection.vendor == "sqlite":
        found.env["CALLCENTERSITE_VAR"] = str(tmp_path / "installation")
        (found.folder / "callcentersite.sqlite3").symlink_to(values["NAME"])
        return found
    tools = os.environ.get("MARIADB_CLIENT") or os.path.dirname(shutil.which("mariadb-dump") or "")
    if not tools:
        pytest.skip("no mariadb-dump: see the line at the end")
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[client]\nhost={values['HOST']}\nport={values['PORT']}\nuser={values['USER']}\npassword={values['PASSWORD']}\n")
    found.env |= {"CREDENTIALS": str(credentials), "DATABASE": values["NAME"]}
    found.env |= {"MYSQL_DATABASE": values["NAME"], "MYSQL_USER": values["USER"], "MYSQL_PASSWORD": values["PASSWORD"]}
    server = tmp_path / "server"
    server.write_text(f"[client]\nhost={values['HOST']}\nport={values['PORT']}\n")
    for name, tool in (("mysqldump", "mariadb-dump"), ("mysql", "mariadb")):
        found.program(name, PROGRAM.format(tool=f"{tools}/{tool}", server=server))
    found.program("docker", DOCKER)
    found.program("redis-cli", REDIS_CLI)
    return found


def ways() -> list[str]:
    return ["SQLite"] if connection.vendor == "sqlite" else ["with Docker Compose", "a server without Docker"]


def restore(shell: Shell, way: str) -> None:
    shell.do(f"Restore {way}")
    if connection.vendor == "sqlite":  # the tests' file has another place and name
        shutil.copy(shell.folder / "callcentersite.sqlite3", connection.settings_dict["NAME"])
        for ending in ("-wal", "-shm"):
            Path(f"{connection.settings_dict['NAME']}{ending}").unlink(missing_ok=True)


# --- what must be equal -----------------------------------------------------------------------------------------------


def everything() -> dict[str, Any]:
    """Return what an installation knows, without the ids and the times at which it was found out."""
    logs = Source.objects.get(kind="logs")
    cursors = Cursor.objects.order_by("source__name", "stream").values_list("source__name", "stream", "version", "position")
    events = open_log_store().read(LogQuery(logs.name, END - timedelta(days=3), END + timedelta(days=1)), limit=10_000).events
    return {
        **facts(),
        "log_deployments": rows(LogDeployment, "event_id"),
        "log_traffic": rows(LogTraffic, "segment", "hour"),
        "log_events": [(event.event_id, event.time, event.message) for event in events],
        "log_counts": open_log_store().counts(logs.name, END - timedelta(days=3), END + timedelta(days=1)),
        "cursors": [(*key, {name: value for name, value in position.items() if name not in PASSING_KEYS}) for *key, position in cursors],
        "letters": list(DeadLetter.objects.order_by("key").values_list("source__name", "key", "kind", "stage", "state", "data", "error", "attempts")),
        "runs": list(
            ETLRun.objects.order_by("logical_date", "pipeline").values_list(
                "pipeline", "logical_date", "trigger", "status", "stage", "extracted", "loaded", "skipped", "dead_lettered"
            )
        ),
    }


def night(of: date) -> None:
    for source in Source.objects.order_by("kind"):
        run = ledger.open_run(source, trigger="beat", logical_date=of)
        assert run
        inline.run_remaining_stages(run.pk)


def different(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {name: (value, other[name]) for name, value in one.items() if value != other[name]}


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("broker")
def test_the_night_after_a_restore_of_yesterday_s_backup_brings_today_s_state(shell: Shell, github: StandIn, world: World, tmp_path: Path) -> None:
    service = Service.objects.create(name="billing")
    Source.objects.create(name="billing", service=service, kind="github", repository="acme/billing")
    path = tmp_path / "app.log"
    name = f"logs-{os.urandom(4).hex()}"
    Source.objects.create(
        name=name, service=service, kind="logs", path=f"{path}*", log_format="json", is_strict=True, deploy_pattern="line 1?5 .*|line 15$"
    )
    open_log_store().ensure_schema()

    github.clock = END - timedelta(days=1)
    path.write_text(lines(0, 100) + "bad yesterday\n")
    github.faults = {"bad_record": "Deployments", "times": 1}
    night(END.date() - timedelta(days=1))
    github.faults = {}
    for way in ways():
        shell.do(f"Back up {way}")
        shutil.move(shell.folder / "backups", shell.folder / way)
    yesterday = everything()

    # Today: new facts, a rotation, a new bad line.
    with path.open("a") as file:
        file.write(lines(100, 130))
    path.rename(f"{path}.1")
    path.write_text(lines(130, 180) + "bad today\n")
    github.clock = END
    night(END.date())
    today = everything()
    assert_equal_to_truth(world, END, has_runs=False, has_deployments=False)
    assert {"changes", "commits", "metrics", "log_events", "cursors", "letters", "runs"} <= set(different(yesterday, today))

    for way in ways():
        shutil.copytree(shell.folder / way, shell.folder / "backups", dirs_exist_ok=True)
        restore(shell, way)
        shutil.rmtree(shell.folder / "backups")
        log_names = ("log_events", "log_counts") if settings.CASSANDRA_CONTACT_POINTS else ()  # Cassandra was not restored
        assert {name: pair for name, pair in different(yesterday, everything()).items() if name not in log_names} == {}

    night(END.date())
    assert different(today, everything()) == {}
    if connection.vendor != "sqlite":
        calls = (tmp_path / "calls").read_text().splitlines()
        assert [call for call in calls if call.startswith("compose stop")] == ["compose stop web beat worker worker-extract"]


@pytest.mark.django_db(transaction=True)
def test_a_copy_that_is_not_whole_is_neither_kept_nor_restored(shell: Shell) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("the commands of MySQL only")
    shell.program("mysqldump", "#!/bin/bash\necho half a table; exit 2\n")
    shell.program("mysql", "#!/bin/bash\ntouch touched\n")
    for way in ways():
        assert shell.run(commands(f"Back up {way}")).returncode != 0
        assert list((shell.folder / "backups").glob("*.gz")) == []
        half = shell.run("echo half a table | gzip > backups/2026-01-01.sql.gz")
        assert half.returncode == 0, half.stderr
        assert shell.run(commands(f"Restore {way}")).returncode != 0
        assert not (shell.folder / "touched").exists()
        shutil.rmtree(shell.folder / "backups")


def test_the_commands_for_sqlite_copy_a_file_that_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("back up", "restore"):
        assert commands(f"{name.capitalize()} SQLite")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "manage.py").write_text("")
    file = tmp_path / "callcentersite.sqlite3"
    env = {**os.environ, "CALLCENTERSITE_VAR": str(tmp_path)}
    writer = sqlite3.connect(file, isolation_level=None)
    writer.executescript("PRAGMA journal_mode=WAL; CREATE TABLE x (n); INSERT INTO x VALUES (1); BEGIN IMMEDIATE; INSERT INTO x VALUES (2);")
    subprocess.run(["bash", "-c", commands("Back up SQLite")], cwd=tmp_path, env=env, check=True, timeout=60)
    writer.execute("COMMIT")
    writer.close()
    subprocess.run(["bash", "-c", commands("Restore SQLite")], cwd=tmp_path, env=env, check=True, timeout=60)
    assert sqlite3.connect(file).execute("SELECT n FROM x").fetchall() == [(1,)]
