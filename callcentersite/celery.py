"""The Celery application; its settings, with their reasons, are in settings.py."""

import gc
import os

from celery import Celery
from celery.signals import worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
app = Celery("callcentersite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# Of the containers made and not freed; a page of log lines makes thousands that die at once. Python's own 700 costs a sixth of a stage.
COLLECTOR_THRESHOLDS = (20_000, 20, 50)


@worker_process_init.connect
def spare_the_collector(**_: object) -> None:
    """What is loaded by now stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
