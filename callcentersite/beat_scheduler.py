"""Beat's schedule from the database. An entry that cannot be used is left out and logged; the others, the sweep among them, go on."""

import logging

from celery.schedules import schedstate
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

logger = logging.getLogger(__name__)

SECONDS_TO_THE_NEXT_LOOK = 300.0


class Entry(ModelEntry):
    def is_due(self) -> schedstate:
        try:
            return super().is_due()
        except Exception:  # an interval of a million years, say: beat would end, and end again after each restart
            logger.exception("entry_unusable", extra={"entry": self.name})
            return schedstate(is_due=False, next=SECONDS_TO_THE_NEXT_LOOK)


class Scheduler(DatabaseScheduler):
    Entry = Entry

    def all_as_schedule(self) -> dict[str, ModelEntry]:
        entries = {}
        for model in self.enabled_models():
            try:
                entries[model.name] = self.Entry(model, app=self.app)
            except Exception:  # the stock scheduler foresees ValueError only: the sun without its library ends it
                logger.exception("entry_unusable", extra={"entry": model.name})
        return entries
