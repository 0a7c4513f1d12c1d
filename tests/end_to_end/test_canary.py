"""Secrets go only where they are needed. Each is a text that occurs nowhere else, and is looked for in everything that is stored, sent or printed."""

import base64
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import requests
from django.apps import apps
from django.conf import settings
from django.db.models import BinaryField
from django_celery_beat.models import PeriodicTask

from callcentersite.celery import app
from dora_metrics.models import Service
from etl_tasks import pipeline
from etl_tasks.models import CleanBatch, DeadLetter, ETLRun, Source, StagedPage
from log_store.opening import open_log_store
from log_store.store import LogQuery
from tests.conftest import END
from tests.end_to_end.conftest import Stack

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
CANARY = "canary5eC7et"
NOBODY = "http://127.0.0.1:9"  # no server listens there
SECRETS = {
    "GITHUB_TOKEN": f"{CANARY}Token",
    "GITHUB_TOKEN_OTHER": f"{CANARY}OtherToken",
    "DJANGO_SECRET_KEY": f"{CANARY}Key",
    "METRICS_TOKEN": f"{CANARY}Metrics",
    "ALERT_WEBHOOK_URL": f"{NOBODY}/{CANARY}Webhook",
    "HEARTBEAT_URL": f"{NOBODY}/{CANARY}Heartbeat",
    "ALERT_EMAILS": "team@example.com",
    "EMAIL_URL": f"smtp://etl:{CANARY}Mail@127.0.0.1:9",
    "FLOWER_BASIC_AUTH": f"operator:{CANARY}Flower",
}
LINES = (
    '{{"time": "{time}", "message": "ran mysql -u root -p{secret} billing"}}\n'
    '{{"time": "{time}", "message": "curl -u ana:{secret} https://ana:{secret}@api.example", "password": "{secret}"}}\n'
    "this line is no JSON: backup --password {secret}\n"
    '{{"time": "never", "message": "Authorization: Bearer {secret}"}}\n'
)


class Tapped:
    """Everything that is sent to this test's Redis database while the block runs. The server has those of other test processes, too."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        with app.connection_for_write() as connection, connection.default_channel.client.monitor() as monitor:
            client = connection.default_channel.client
            database = int(client.connection_pool.connection_kwargs["db"])
            thread = threading.Thread(target=self._listen, args=(monitor, database), daemon=True)
            thread.start()
            yield
            client.echo("the end")
            thread.join(timeout=30)
            assert not thread.is_alive()

    def _listen(self, monitor: object, database: int) -> None:
        for heard in monitor.listen():  # type: ignore[attr-defined]
            if heard["db"] != database:
                continue
            self.commands.append(str(heard["command"]))
            bodies = re.findall(r'"body": "([A-Za-z0-9+/=]+)"', self.commands[-1].replace("\\", ""))  # kombu encodes the body of a message
            self.commands += [base64.b64decode(body).decode(errors="replace") for body in bodies]
            if heard["command"] == "ECHO the end":
                return


def stored_rows() -> str:
    """Return every value in the SQL database, and every log event."""
    found = []
    for model in apps.get_models():
        names = [field.name for field in model._meta.concrete_fields if not isinstance(field, BinaryField)]
        found += [f"{model._meta.label} {values}" for values in model._base_manager.values_list(*names)]
    found += [f"{type(row).__name__} {row.content!r}" for model in (StagedPage, CleanBatch) for row in model.objects.all()]
    source = Source.objects.get(kind="logs")
    found += map(str, open_log_store().read(LogQuery(source.name, END - timedelta(days=2), END), limit=1000).events)
    return "\n".join(found)


def said_by_flower(stack: Stack) -> str:
    login = ("operator", f"{CANARY}Flower")
    root = f"http://127.0.0.1:{stack.flower_port}"
    workers = requests.get(f"{root}/api/workers?refresh=1", auth=login, timeout=60)
    pages = ["tasks", "api/tasks", "api/queues/length", "broker", "workers", *(f"worker/{name}" for name in workers.json())]
    answers = [workers, *(requests.get(f"{root}/{page}", auth=login, timeout=60) for page in pages)]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    return "\n".join(answer.text for answer in answers)


def printed(stack: Stack, *words: str) -> str:
    command = [sys.executable, "manage.py", *words]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env={**os.environ, **stack.env(), **SECRETS}, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def run_all(stack: Stack) -> None:
    stack.wait(lambda: not ETLRun.objects.filter(status__in=ETLRun.ACTIVE).exists(), "nothing runs")
    for run in [pipeline.run_source(name) for name in Source.objects.values_list("name", flat=True)]:
        stack.wait_for(run)


def test_no_secret_is_in_redis_the_database_the_logs_flower_dead_letters_or_any_output(stack: Stack) -> None:
    """Before, an error page that repeated the Authorization header was stored with the token, and Flower showed the webhook's address."""
    stack.logs.write_text(LINES.format(time=(END - timedelta(hours=1)).isoformat(), secret=f"{CANARY}Line"))
    tapped = Tapped()
    found: dict[str, str] = {}
    PeriodicTask.objects.filter(name="etl nightly").update(enabled=False)  # this test starts the runs
    with tapped.listening(), stack.running("web", "worker", "beat", "flower", ETL_LOG_LEVEL="DEBUG", **SECRETS):
        faults = (
            {"instead": "Releases", "answer": {"Authorization": f"Bearer {CANARY}Token"}},
            {"echo": True, "status": 403},
            {"redirect": True, "to": f"{NOBODY}/?token={CANARY}Token"},
        )
        for stack.github.faults in faults:
            run_all(stack)
        other = Service.objects.create(name="other")
        Source.objects.create(name="other", service=other, kind="github", repository="acme/billing", credential="OTHER", overdue_alerted_at=END)
        for stack.github.faults in ({"echo": True, "status": 200, "times": 1}, {}):
            run_all(stack)
        found["flower"] = said_by_flower(stack)
        for page in ("readyz", "metrics"):
            found[page] = requests.get(f"{stack.web_url}/{page}", headers={"Authorization": f"Bearer {CANARY}Metrics"}, timeout=60).text
        for words in ("doctor", "etl_status", "check_source billing"):
            found[words] = printed(stack, *words.split())
    found["redis"] = "\n".join(tapped.commands)
    found["the database"] = stored_rows()
    found |= {path.name: path.read_text(errors="replace") for path in stack.folder.glob("*.log") if path != stack.logs}

    assert [text[at - 300 : at + 100] for text in found.values() if (at := text.find(CANARY)) >= 0] == []
    encoded = {base64.b64encode(secret.encode()).decode()[:-4] for secret in SECRETS.values() if CANARY in secret}
    assert {place for place, text in found.items() if any(secret in text for secret in encoded)} == set()

    # The secrets were used, and what was looked through is what was meant.
    hidden = "*" * len(f"{CANARY}Token")
    assert f"Bearer {hidden}" in found["the database"]
    assert DeadLetter.objects.filter(error__contains=hidden).exists()
    assert f"mysql -u root -p{'*' * len(f'{CANARY}Line')} billing" in found["the database"]
    assert ETLRun.objects.filter(source=Source.objects.get(name="other"), status="success").exists()
    expected = {
        "redis": "broker_url",
        "flower": "etl.extract",
        "worker.log": "dead_letter_written",
        "metrics": "etl_",
        "doctor": "billing",
        "readyz": "database",
    }
    assert {place for place, text in expected.items() if text not in found[place]} == set()
