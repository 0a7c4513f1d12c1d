"""etl_extract: open a run for each source and extract it, here and now, without a broker."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from dora_metrics.management.base_command import UsageError
from etl_tasks import inline
from etl_tasks.management.stage_command import StageCommand, opened_runs
from etl_tasks.models import ETLRun, Source


class Command(StageCommand):
    help = "Extract every enabled source (or one) here and now. Exit status 0, also where one is postponed, or 1 if one failed."
    stage = ETLRun.Stage.EXTRACT

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--source", action="append", metavar="NAME", help="may be repeated")

    def handle(self, *args: Any, **options: Any) -> None:
        if unknown := set(options["source"] or ()) - set(Source.objects.values_list("name", flat=True)):
            raise UsageError(f"there is no source {', '.join(map(repr, sorted(unknown)))}: `etl_status` lists them")
        if options["source"] and options["run"] is not None:
            raise UsageError("--run names one run: leave --source out")
        self.names: list[str] | None = options["source"]
        super().handle(*args, **options)

    def named_run(self, run_id: int) -> list[ETLRun]:
        runs = super().named_run(run_id)
        if elsewhere := [run for run in runs if not run.source.is_here]:
            raise CommandError(f"run {run_id} of {elsewhere[0].source}: {inline.on_another_host(elsewhere[0].source)}", returncode=self.status)
        return runs

    def standing(self) -> list[ETLRun]:
        """Of the sources whose files lie on another host, a command there takes care."""
        chosen = Source.objects.filter(name__in=self.names) if self.names else Source.objects.filter(is_enabled=True)
        elsewhere = [source for source in chosen if not source.is_here]
        sentences = [f"{source}: {inline.on_another_host(source)}" for source in elsewhere]
        if self.names:
            self.failed += sentences
        else:
            for sentence in sentences:
                self.stdout.write(sentence)
        runs, busy = opened_runs(source for source in chosen if source.is_here)
        self.failed += busy
        return runs
