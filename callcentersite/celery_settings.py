"""Celery's part of the settings, under Celery's own names.

Flower and `celery inspect conf` show all that Celery was given, and hide only what Celery knows to be secret. If it was given Django's settings as
a whole, this showed the address of the webhook, and with the prefix CELERY_ also the broker's password.
"""

from django.conf import settings
from kombu import Queue

PREFIX = "CELERY_"

values = {name.removeprefix(PREFIX).lower(): getattr(settings, name) for name in dir(settings) if name.startswith(PREFIX)}
values["task_queues"] = [Queue(queue.name) for queue in settings.CELERY_TASK_QUEUES]
