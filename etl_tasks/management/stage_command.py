"""What etl_extract, etl_transform and etl_load share: one stage, here and now, without a broker."""

from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseFailed
from django.db.models import Q
from django.utils.timezone import now

from dora_metrics.management.arguments import id_argument
from dora_metrics.management.base_command import BaseCommand, UsageError
from etl_tasks import inline, ledger
from etl_tasks.management.run_output import run_line
from etl_tasks.models import ETLRun, Source


class StageCommand(BaseCommand):
    """Runs `stage` of every run that stands there; the exit status is the stage's number if one failed.

    A postponement is no failure: nobody has to do anything, and the next call goes on.
    """

    stage: str

    @property
    def status(self) -> int:
        return ledger.STAGES.index(self.stage) + 1

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--run", type=id_argument, metavar="ID", help=f"this run only; it must stand at {self.stage}")

    def handle(self, *args: Any, **options: Any) -> None:
        self.failed: list[str] = []
        runs = self.named_run(options["run"]) if options["run"] is not None else self.standing()
        if not runs:
            self.stdout.write(f"no run stands at {self.stage}: nothing to do")
        for run in runs:
            if run.is_waiting:
                self.stdout.write(run_line(run))
                continue
            try:
                inline.run_stage(run.pk, self.stage)
            except inline.Postponed as exc:
                self.stdout.write(f"{run.pipeline}: {exc}")
            except inline.StageFailed as exc:
                self.failed.append(f"{run.pipeline}: {exc}")
            except ledger.LeaseNotHeld:
                self.failed.append(f"{run.pipeline}: run {run.pk} is held by a worker; see etl_status")
            except DatabaseFailed as exc:  # of this run: its neighbours may still go on
                self.failed.append(f"{run.pipeline}: run {run.pk} could not be taken or buried: {exc}")
            self.stdout.write(run_line(ETLRun.objects.get(pk=run.pk), has_error=False))
        if self.failed:
            raise CommandError(f"{self.stage} failed: " + "; ".join(self.failed), returncode=self.status)

    def named_run(self, run_id: int) -> list[ETLRun]:
        run = ETLRun.objects.filter(pk=run_id).first()
        if run is None:
            raise UsageError(f"there is no run {run_id}: `etl_status` lists the latest")
        if run.stage != self.stage or run.status not in ETLRun.ACTIVE:
            raise CommandError(f"run {run_id} is {run.status} at {run.stage}, not waiting for {self.stage}", returncode=self.status)
        return [run]

    def standing(self) -> list[ETLRun]:
        """Neither what a worker holds nor what waits for GitHub."""
        held = Q(lease_until__gt=now()) & (Q(status=ETLRun.Status.POSTPONED) | ~Q(owner=""))
        return list(ETLRun.objects.filter(~held, status__in=ETLRun.ACTIVE, stage=self.stage, source__is_enabled=True).order_by("pk"))


def opened_runs(sources: Iterable[Source]) -> tuple[list[ETLRun], list[str]]:
    """A run for each source, new or waiting for extract; and a sentence for each that is busy elsewhere."""
    runs, busy = [], []
    for source in sources:
        run = ledger.open_run(source, trigger=ETLRun.Trigger.COMMAND) or ETLRun.objects.filter(active_for=source, stage="extract").first()
        if run:
            runs.append(run)
        else:
            busy.append(f"{source}: its last run has not ended; finish it with etl_transform and etl_load, or see etl_status")
    return runs, busy
