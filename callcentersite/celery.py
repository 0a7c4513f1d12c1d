"""The Celery application; its settings, with their reasons, are in settings.py."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcentersite.settings")
app = Celery("callcentersite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
