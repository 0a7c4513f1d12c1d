"""The Celery app as workers see it."""

import pickle
import subprocess
import sys

import pytest
from django.conf import settings
from kombu.exceptions import ContentDisallowed
from kombu.serialization import loads

from callcentersite.celery import app

ASK_A_WORKER = """
from callcentersite.celery import app
app.loader.import_default_modules()  # as a worker does when it starts
print(*sorted(name for name in app.tasks if name.startswith("etl.")))
"""


def test_a_pickled_message_is_refused_because_unpickling_runs_code() -> None:
    for accepted in (app.conf.accept_content, app.conf.result_accept_content):
        assert accepted == ["json"]
        with pytest.raises(ContentDisallowed):
            loads(pickle.dumps({"id": 1}), "application/x-python-serialize", "binary", accept=[f"application/{kind}" for kind in accepted])
    assert (app.conf.task_serializer, app.conf.result_serializer) == ("json", "json")


def test_celery_has_its_own_settings_only_and_hides_those_that_are_secret() -> None:
    """Flower shows them. Before, it showed all of Django's, with the address of the webhook and the password in the broker's address."""
    shown = app.conf.table(with_defaults=False)
    assert "broker_url" in shown
    assert [name for name in shown if name != name.lower()] == []


def test_a_worker_knows_every_task_that_is_sent() -> None:
    """The names are read in a new process, because in the tests' process some other import may have registered the tasks."""
    known = subprocess.run([sys.executable, "-c", ASK_A_WORKER], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True).stdout.split()
    names = ("check", "delete", "end_settled", "extract", "load", "nightly", "preview", "prune", "recompute", "replay", "sweep", "transform")
    assert known == [f"etl.{name}" for name in names]
