"""Celery beat's scheduler, which reads its entries from the database.

It logs an entry that cannot be used and leaves it out. The other entries, such as the sweep, keep running.
"""

import logging

from celery.schedules import schedstate
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

logger = logging.getLogger(__name__)

RETRY_SECONDS = 300.0


class Entry(ModelEntry):
    def is_due(self) -> schedstate:
        try:
            return super().is_due()
        except Exception:  # for example, for an interval of a million years; such an error would end beat after each restart
            logger.exception("entry_unusable", extra={"entry": self.name})
            return schedstate(is_due=False, next=RETRY_SECONDS)


class Scheduler(DatabaseScheduler):
    Entry = Entry

    def all_as_schedule(self) -> dict[str, ModelEntry]:
        entries = {}
        for model in self.enabled_models():
            try:
                entries[model.name] = self.Entry(model, app=self.app)
            except Exception:  # DatabaseScheduler catches ValueError only, but a solar schedule without its library raises another error
                logger.exception("entry_unusable", extra={"entry": model.name})
        return entries
