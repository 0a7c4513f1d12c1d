"""init_log_store: the log store's schema; run it twice, it does nothing twice."""

from typing import Any

from django.core.management.base import CommandError

from dora_metrics.management.base_command import BaseCommand
from log_store.opening import open_log_store
from log_store.store import LogStoreUnavailable


class Command(BaseCommand):
    help = "Create the log store's schema. Exit status 0, or 1 if the store cannot be reached."

    def handle(self, *args: Any, **options: Any) -> None:
        store = open_log_store()
        try:
            store.ensure_schema()
        except LogStoreUnavailable as exc:
            raise CommandError(str(exc), returncode=1) from exc
        self.stdout.write(f"the log store is ready ({type(store).__name__})")
