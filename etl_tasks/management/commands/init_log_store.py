"""init_log_store: create the log store's tables, or bring them to the current version."""

from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from dora_metrics.management.base_command import BaseCommand
from log_store.opening import open_log_store
from log_store.store import LogStoreUnavailable


class Command(BaseCommand):
    help = (
        "Create the log store's tables, or bring them to the current version. It can be run any number of times. "
        "Exit status: 0, or 1 if the log store does not answer."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        store = open_log_store()
        try:
            store.ensure_schema()
        except LogStoreUnavailable as exc:
            raise CommandError(str(exc), returncode=1) from exc
        self.stdout.write(_("the log store is ready (%(store)s)") % {"store": type(store).__name__})
