"""etl_run: start the Celery chain of every enabled source, or of the named ones."""

import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import close_old_connections
from django.utils.translation import gettext as _

from dora_metrics.calculators.periods import start_of
from dora_metrics.management.arguments import add_json_argument, check_order, date_argument
from dora_metrics.management.base_command import BaseCommand, UsageError
from etl_tasks import pipeline
from etl_tasks.management.run_display import RunLines
from etl_tasks.management.run_output import run_line, run_row, stage_text, status_text
from etl_tasks.management.source_arguments import check_source_names
from etl_tasks.management.stage_exit_status import EXIT_STATUS_OF_STAGE
from etl_tasks.models import ETLRun, Source
from etl_tasks.run_progress import progress_of

POLL_SECONDS = 0.3
SHOWN_EVERY = 2  # polls; the display needs further queries


class Command(BaseCommand):
    help = (
        "Send the stages of every enabled source, or of the named ones, to the workers. "
        "Exit status: 0; with --wait 1, 2 or 3 if extract, transform or load failed; 1 also if the broker does not answer or a source is busy; "
        "4 for wrong arguments."
    )
    usage_error_status = 4

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--source", action="append", metavar="NAME", help="only this source; may be repeated; default: every enabled source")
        parser.add_argument(
            "--since", type=date_argument, metavar="DATE", help="read everything since this local date again, even if it was collected before"
        )
        parser.add_argument(
            "--until", type=date_argument, metavar="DATE", help="backfill: read nothing from this local date on, and leave the cursors where they are"
        )
        parser.add_argument("--full", action="store_true", help="read everything again, as in the first run")
        parser.add_argument("--wait", action="store_true", help="print progress, and wait until the runs end")
        add_json_argument(parser, "print the runs as a JSON list")

    def handle(self, *args: Any, **options: Any) -> None:
        names = options["source"] or list(Source.objects.filter(is_enabled=True).values_list("name", flat=True))
        check_source_names(names)
        if not names:
            raise UsageError(_("no source is enabled: add one with add_service"))
        check_order(options["since"], options["until"], names=("--since", "--until"))
        since, until = (start_of(options[name], settings.ETL_TIME_ZONE) if options[name] else None for name in ("since", "until"))
        try:
            pipeline.check_broker()
        except pipeline.BrokerAway as exc:
            sentence = _("%(error)s; etl_extract, etl_transform and etl_load need none") % {"error": exc}
            raise CommandError(sentence, returncode=1) from exc
        runs, busy = [], []
        for name in names:
            try:
                runs.append(pipeline.run_source(name, trigger=ETLRun.Trigger.COMMAND, since=since, until=until, is_full=options["full"]))
            except pipeline.SourceBusy as exc:
                busy.append(str(exc))
        if options["wait"]:
            self._wait(runs, is_quiet=options["json"])
        runs = list(ETLRun.objects.filter(pk__in=[run.pk for run in runs]).order_by("pk"))
        if options["json"]:
            self.write_json([run_row(run) for run in runs], indent=None)
        else:
            for run in runs:
                self.stdout.write(run_line(run, has_error=False))
        failed = [run for run in runs if run.status in (ETLRun.Status.FAILED, ETLRun.Status.CANCELLED)]
        if failed:
            reasons = [_("%(source)s failed in %(stage)s") % {"source": run.pipeline, "stage": stage_text(run)} + f": {run.error}" for run in failed]
            raise CommandError("; ".join([*reasons, *busy]), returncode=min(EXIT_STATUS_OF_STAGE[run.stage] for run in failed))
        if busy:
            raise CommandError("; ".join(busy), returncode=1)

    def _wait(self, runs: list[ETLRun], *, is_quiet: bool) -> None:
        with self.live_display() as display:
            lines = RunLines(display, count=len(runs))
            for number, waiting in enumerate(self._until_ended(runs, is_quiet=is_quiet)):
                if display.is_live and number % SHOWN_EVERY == 0:
                    lines.show(progress_of(waiting), ended=len(runs) - len(waiting))

    def _until_ended(self, runs: list[ETLRun], *, is_quiet: bool) -> Iterator[set[int]]:
        """Print each change of a run's state, and yield the ids of the runs that have not ended, until all have."""
        shown: dict[int, str] = {}
        waiting = {run.pk for run in runs}
        while waiting:
            for run in ETLRun.objects.filter(pk__in=waiting).order_by("pk"):
                state = status_text(run) if run.status not in ETLRun.ACTIVE else f"{stage_text(run)} {status_text(run)}"
                if shown.get(run.pk) != state and not is_quiet:
                    self.stdout.write(f"{run.pipeline}: {state}")
                    self.stdout.flush()
                shown[run.pk] = state
                # A run whose stage used up its time limit is postponed, too, but is due at once: keep waiting, because the sweeper continues it.
                if run.status not in ETLRun.ACTIVE or run.is_waiting:
                    waiting.discard(run.pk)
            yield waiting
            if waiting:
                time.sleep(POLL_SECONDS)
                close_old_connections()
