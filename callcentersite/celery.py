"""The Celery application. Its settings are in settings.py."""

import gc
import os

import click
from celery import Celery, Task
from celery.signals import import_modules, worker_process_init

from callcentersite.garbage_collection import collect_rarely

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")  # by its own default, Flower listens on every address
# At its start, a worker would run the system checks and drop their messages. They import every page, which a worker keeps in memory and never shows.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")
app = Celery("callcentersite")
app.config_from_object("callcentersite.celery_settings:values")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="beat_tasks")
app.autodiscover_tasks(related_name="replay_tasks")
app.autodiscover_tasks(related_name="settled_tasks")

# Of all tasks: those of a base class of their own do not inherit from app.Task.
Task.Strategy = "callcentersite.message_strategy:careful"


@worker_process_init.connect
def tune_garbage_collection(**_: object) -> None:
    """Collect garbage less often, and leave out the objects that exist when the process starts, because they are never deleted."""
    gc.collect()
    gc.freeze()
    collect_rarely()


@import_modules.connect
def refuse_flower_without_login(**_: object) -> None:
    """End Flower if it would listen on the network without a login, because its pages can stop workers.

    Flower sends this signal after it has read its options and before it listens.
    """
    command = click.get_current_context(silent=True)
    if command is None or command.info_name != "flower":
        return
    # Imported here because only the Flower process needs Flower's packages.
    from callcentersite.flower_login_check import missing_login

    if reason := missing_login():
        raise SystemExit(f"error: {reason}")
