"""etl_extract: open a run for each source and extract it in this process, without a broker."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from dora_metrics.management.base_command import UsageError
from etl_tasks import inline
from etl_tasks.management.source_arguments import check_source_names
from etl_tasks.management.stage_command import StageCommand, open_runs
from etl_tasks.models import ETLRun, Source


class Command(StageCommand):
    help = (
        "Open a run for every enabled source, or for the named ones, and extract it in this process, without a broker. "
        "Exit status: 0, even if a source is postponed; 1 if an extraction failed; 2 for wrong arguments."
    )
    stage = ETLRun.Stage.EXTRACT

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", action="append", metavar="NAME", help="only this source; may be repeated; default: every enabled source")

    def handle(self, *args: Any, **options: Any) -> None:
        check_source_names(options["source"] or ())
        if options["source"] and options["run"] is not None:
            raise UsageError(_("--run names one run: leave --source out"))
        self.names: list[str] | None = options["source"]
        self.is_json: bool = options["json"]
        super().handle(*args, **options)

    def named_run(self, run_id: int) -> list[ETLRun]:
        [run] = super().named_run(run_id)
        if not run.source.is_here:
            values = {"run": run_id, "source": run.source, "reason": inline.on_another_host(run.source)}
            raise CommandError(_("run %(run)s of %(source)s: %(reason)s") % values, returncode=self.failure_status)
        return [run]

    def waiting_runs(self) -> list[ETLRun]:
        """Open a run for each chosen source that this host can read, and return the runs.

        A source on another host is a failure only if it was named. Otherwise it is extracted by the same command on that host.
        """
        chosen = Source.objects.filter(name__in=self.names) if self.names else Source.objects.filter(is_enabled=True)
        elsewhere = [f"{source}: {inline.on_another_host(source)}" for source in chosen if not source.is_here]
        if self.names:
            self.failures += elsewhere
        else:
            for sentence in elsewhere if not self.is_json else ():
                self.stdout.write(sentence)
        runs, busy = open_runs(source for source in chosen if source.is_here)
        self.failures += busy
        return runs
