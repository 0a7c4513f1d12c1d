"""The Celery application; its settings, with their reasons, are in settings.py."""

import gc
import os

import click
from celery import Celery
from celery.signals import import_modules, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")  # by itself Flower listens everywhere
app = Celery("callcentersite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(related_name="beat_tasks")

# Of the containers made and not freed; a page of log lines makes thousands that die at once. Python's own 700 costs a sixth of a stage.
COLLECTOR_THRESHOLDS = (20_000, 20, 50)


@worker_process_init.connect
def spare_the_collector(**_: object) -> None:
    """What is loaded by now stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)


@import_modules.connect
def refuse_an_open_flower(**_: object) -> None:
    """Whoever reaches Flower may stop workers. It sends this signal once it has read its options, and before it listens."""
    command = click.get_current_context(silent=True)
    if command is None or command.info_name != "flower":
        return
    from callcentersite.flower_login_check import fault

    if wrong := fault():
        raise SystemExit(f"error: {wrong}")
