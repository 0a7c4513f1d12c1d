"""The base class of etl_extract, etl_transform and etl_load: run one stage in this process, without a broker."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseFailed
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dora_metrics.management.arguments import add_json_argument, id_argument
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.management.live_display import Display, Item
from etl_tasks import inline, ledger
from etl_tasks.management.run_display import shown_while_running
from etl_tasks.management.run_output import run_line, run_row, status_text
from etl_tasks.management.stage_exit_status import EXIT_STATUS_OF_STAGE
from etl_tasks.models import ETLRun, Source


class StageCommand(BaseCommand):
    """Run `stage`, which a subclass sets, of every run that waits for it. If a run fails, the exit status is that of the stage.

    A postponed run is no failure: the next call continues it, and nobody has to act.
    """

    stage: str

    @property
    def failure_status(self) -> int:
        return EXIT_STATUS_OF_STAGE[self.stage]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--run", type=id_argument, metavar="ID", help=f"only this run, which must be waiting for {self.stage}")
        add_json_argument(parser, "print the runs as a JSON list")

    def handle(self, *args: Any, **options: Any) -> None:
        self.failures: list[str] = []
        runs = self.named_run(options["run"]) if options["run"] is not None else self.waiting_runs()
        is_json = options["json"]
        with self.live_display() as display:
            whole = display.add(_("all sources"), total=len(runs)) if len(runs) > 1 else Item()
            for run in runs:
                if run.is_waiting and not is_json:
                    self.stdout.write(run_line(run))
                elif not run.is_waiting:
                    self.run_stage(run, display, is_quiet=is_json)
                whole.advance()
            for run in self.resumed_runs() if options["run"] is None else ():
                runs.append(run)
                self.run_stage(run, display, is_quiet=is_json)
        if not runs and not self.failures and not is_json:
            self.stdout.write(_("no run stands at %(stage)s: nothing to do") % {"stage": self.stage})
        if is_json:
            self.write_json([run_row(run) for run in ETLRun.objects.filter(pk__in=[run.pk for run in runs]).order_by("pk")], indent=None)
        if self.failures:
            sentence = _("%(stage)s failed: %(reasons)s") % {"stage": self.stage, "reasons": "; ".join(self.failures)}
            raise CommandError(sentence, returncode=self.failure_status)

    def run_stage(self, run: ETLRun, display: Display, *, is_quiet: bool) -> None:
        """Run the stage of one run, and print what became of it. A failure is added to `failures`."""
        with shown_while_running(display, run.pk):
            try:
                inline.run_stage(run.pk, self.stage)
            except inline.Postponed as exc:
                if not is_quiet:
                    self.stdout.write(f"{run.pipeline}: {exc}")
            except (inline.StageFailed, inline.Interrupted) as exc:
                self.failures.append(f"{run.pipeline}: {exc}")
            except inline.EventsWait as exc:
                waits = _("its log events wait for the log store: %(reason)s") % {"reason": exc}
                self.failures.append(f"{run.pipeline}: {waits}")
            except ledger.LeaseNotHeld:
                held = _("run %(run)s is held by a worker; see etl_status") % {"run": run.pk}
                self.failures.append(f"{run.pipeline}: {held}")
            except DatabaseFailed as exc:  # the other runs may still succeed
                sentence = _("run %(run)s could not be taken or buried: %(error)s") % {"run": run.pk, "error": exc}
                self.failures.append(f"{run.pipeline}: {sentence}")
        if not is_quiet:
            self.stdout.write(run_line(ETLRun.objects.get(pk=run.pk), has_error=False))

    def resumed_runs(self) -> Iterator[ETLRun]:
        """Yield the ended runs that continue in this stage, once all others are done."""
        yield from ()

    def named_run(self, run_id: int) -> list[ETLRun]:
        run = ETLRun.objects.filter(pk=run_id).first()
        if run is None:
            raise UsageError(_("there is no run %(run)s: `etl_status` lists the latest") % {"run": run_id})
        if run.stage != self.stage or run.status not in ETLRun.ACTIVE:
            values = {"run": run_id, "status": status_text(run), "stage": run.stage, "expected": self.stage}
            sentence = _("run %(run)s is %(status)s at %(stage)s, not waiting for %(expected)s") % values
            raise CommandError(sentence, returncode=self.failure_status)
        return [run]

    def waiting_runs(self) -> list[ETLRun]:
        """Return the runs at this stage, except those that a worker holds and those that are postponed and not due."""
        held = Q(lease_until__gt=now()) & (Q(status=ETLRun.Status.POSTPONED) | ~Q(owner=""))
        return list(ETLRun.objects.filter(~held, status__in=ETLRun.ACTIVE, stage=self.stage, source__is_enabled=True).order_by("pk"))


def open_runs(sources: Iterable[Source]) -> tuple[list[ETLRun], list[str]]:
    """Return a run for each source, and a sentence for each source that has none.

    A source's run is a new one, or an active one that is at extract. A source whose active run is at a later stage has none.
    """
    runs, busy = [], []
    for source in sources:
        run = ledger.open_run(source, trigger=ETLRun.Trigger.COMMAND) or ETLRun.objects.filter(active_for=source, stage="extract").first()
        if run:
            runs.append(run)
        else:
            sentence = _("its last run has not ended; finish it with etl_transform and etl_load, or see etl_status")
            busy.append(f"{source}: {sentence}")
    return runs, busy
