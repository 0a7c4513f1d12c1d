"""What a process imports: it costs CPU time at each start of a command, and memory as long as a worker lives. Counts, because seconds vary."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands

from callcentersite.installed_apps import ALL, COMMANDS_WITHOUT_PAGES, FACTS, STAGE_COMMANDS, TABLES, apps_of_process
from dora_metrics.models import Service
from etl_tasks.models import Source
from tests.end_to_end.conftest import database_url

PAGES = {
    "callcentersite.urls": "the addresses of all pages",
    "dashboard": "the pages",
    "ninja": "the API",
    "pydantic": "the API's schemas, which takes as long to import as all of Django's models",
    "csp": "a header of pages",
    "prometheus_client": "the page /metrics",
    "django.test": "the API's library imports it",
    "callcentersite.checks": "the system checks, which `check` and `doctor` run",
}
LIBRARIES = {
    "requests": "only sources on GitHub are read by HTTP",
    "cryptography": "only the key of a GitHub App needs it",
    "cassandra": "only an installation with Cassandra needs its driver",
    "rich": "only a terminal shows progress",
}
TASKS = {
    "celery": "a stage command sends no task",
    "kombu": "it sends no message",
    "django_celery_beat.models": "they import Celery",
    "django.contrib.admin": "it shows no page, and writes no audit row",
    "tenacity": "only HTTP requests are repeated by it",
}
# The most modules that a process may import. The numbers on Python 3.11 are 5 to 10 % lower. When every process had all apps, a command
# imported 1,130 modules before it did anything, and a worker 1,580.
MOST_OF_A_STAGE = 780
MOST_OF_A_COMMAND = 1000
MOST_OF_A_WORKER = 1050

A_COMMAND = """
import json, runpy, sys
sys.argv[0] = "manage.py"
try:
    runpy.run_path("manage.py", run_name="__main__")
except SystemExit as end:
    print(json.dumps({"status": end.code, "modules": sorted(sys.modules)}))
"""
A_WORKER = """
import json, sys
sys.argv = ["celery", "-A", "callcentersite", "worker"]
from celery.app.utils import find_app
app = find_app("callcentersite")
app.loader.import_default_modules()
from celery import current_app
from celery.apps import worker
from django.apps import apps
print(json.dumps({"status": current_app.main, "modules": sorted(sys.modules), "models": [model._meta.label for model in apps.get_models()]}))
"""


def run(code: str, *words: str, database: str = "", logs: Path | None = None) -> dict[str, object]:
    """Run the code in a new process, and return what it prints as its last line, with all its output."""
    env = {**os.environ, "DATABASE_URL": database, "CASSANDRA_CONTACT_POINTS": "", "LOG_ROOTS": str(logs or "/var/log")}
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "output": done.stdout}


def imported(found: dict[str, object], *unwanted: dict[str, str]) -> dict[str, str]:
    """Return which of the unwanted modules were imported, with the reason why they are not needed."""
    modules = found["modules"]
    assert isinstance(modules, list)
    return {name: reason for reasons in unwanted for name, reason in reasons.items() if name in modules}


@pytest.mark.slow
def test_the_stage_commands_import_what_they_work_with_and_no_more(transactional_db: None, tmp_path: Path) -> None:
    log = tmp_path / "shop.log"
    log.write_text('{"time": "2026-11-26T01:02:03Z", "level": "info", "message": "served"}\n' * 3)
    Source.objects.create(name="shop-logs", service=Service.objects.create(name="shop"), kind="logs", path=str(log), log_format="json")
    for command, says in (("etl_extract", "3 extracted"), ("etl_transform", "3 extracted"), ("etl_load", "success (load)")):
        found = run(A_COMMAND, command, database=database_url(), logs=tmp_path)
        assert (found["status"], says in str(found["output"])) == (0, True), found["output"]
        assert imported(found, PAGES, LIBRARIES, TASKS) == {}, command
        assert len(found["modules"]) <= MOST_OF_A_STAGE, command  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_command_about_the_nights_imports_no_page() -> None:
    found = run(A_COMMAND, "etl_run", "--help")
    assert imported(found, PAGES, LIBRARIES) == {}
    assert len(found["modules"]) <= MOST_OF_A_COMMAND  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_worker_has_all_tables_and_no_page() -> None:
    found = run(A_WORKER)
    assert found["status"] == "callcentersite"  # the application through which its tasks send messages
    assert imported(found, PAGES, LIBRARIES) == {}
    assert len(found["modules"]) <= MOST_OF_A_WORKER  # type: ignore[arg-type]
    assert set(found["models"]) == {model._meta.label for model in apps.get_models()}  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("argv", "installed"),
    [
        (["manage.py", "etl_load", "--json"], FACTS),
        (["manage.py", "etl_status"], (*TABLES, *FACTS)),
        (["/srv/app/.venv/bin/celery", "-A", "callcentersite", "worker", "-Q", "load"], (*TABLES, *FACTS)),
        (["/srv/app/.venv/lib/python3.11/site-packages/celery/__main__.py", "-A", "callcentersite", "beat"], (*TABLES, *FACTS)),
        (["/srv/app/.venv/bin/celery", "-A", "callcentersite", "flower"], ALL),
        (["manage.py", "migrate"], ALL),
        (["manage.py", "worker"], ALL),
        (["manage.py", "help", "etl_load"], ALL),
        (["manage.py"], ALL),
        (["gunicorn", "callcentersite.wsgi"], ALL),
        ([""], ALL),
        ([], ALL),
    ],
)
def test_a_process_that_is_not_known_to_need_less_has_all_apps(argv: list[str], installed: tuple[str, ...]) -> None:
    assert apps_of_process(argv) == list(installed)


def test_the_commands_with_fewer_apps_exist() -> None:
    assert get_commands().keys() >= STAGE_COMMANDS | COMMANDS_WITHOUT_PAGES


def test_no_deletion_of_a_stage_command_could_miss_rows_of_an_app_that_it_leaves_out() -> None:
    """Django deletes what refers to a deleted row only if it knows the table. The stage commands delete no users, groups and content types."""
    known = {app.removesuffix(".apps.CallCenterSiteConfig").rpartition(".")[2] for app in FACTS} - {"auth", "contenttypes"}
    for model in apps.get_models():
        if model._meta.app_label not in known:
            assert not {field.related_model._meta.app_label for field in model._meta.get_fields() if field.many_to_one or field.one_to_one} & known
