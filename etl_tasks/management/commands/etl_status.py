"""etl_status: did last night work; if not, what to do."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils.timezone import now

from dora_metrics.management.arguments import Command as Base
from dora_metrics.management.arguments import Refusal, row_id
from dora_metrics.models import MetricRevision
from etl_tasks import sweeper
from etl_tasks.loaders import log_facts
from etl_tasks.management.presenting import moment, run_line, run_row
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Fault, Source, StreamProgress

MOST_REVISIONS = 20


class Command(Base):
    help = "Runs, stages, counts, cursors, dead letters, and what is due."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--run", type=row_id, metavar="ID")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        report = self.one_run(options["run"]) if options["run"] is not None else self.everything()
        if options["json"]:
            self.write_json(report)
        elif options["run"] is not None:
            self.show_run(options["run"])
        else:
            self.show(report)

    def one_run(self, run_id: int) -> dict[str, Any]:
        run = ETLRun.objects.filter(pk=run_id).first()
        if run is None:
            raise Refusal(f"there is no run {run_id}: `etl_status` lists the latest")
        streams = [{"stream": p.stream, "is_done": p.is_done, "cursor": p.cursor} for p in run.progress.order_by("stream")]
        letters = list(run.dead_letters.order_by("pk").values("pk", "kind", "stage", "state", "error"))
        return {
            **run_row(run),
            "pages": run.pages.count(),
            "task_ids": run.task_ids,
            "streams": streams,
            "dead_letters": letters,
            "revisions": [revision_row(one) for one in MetricRevision.objects.filter(run_id=run.pk).order_by("pk")],
        }

    def show_run(self, run_id: int) -> None:
        run = ETLRun.objects.get(pk=run_id)
        self.stdout.write(run_line(run))
        self.stdout.write(
            f"  started {moment(run.started_at)}, completed {moment(run.completed_at)} UTC; attempt {run.attempt}, {run.pages.count()} pages"
        )
        for progress in run.progress.order_by("stream"):
            self.stdout.write(f"  {stream_line(progress)}")
        for letter in run.dead_letters.order_by("pk"):
            self.stdout.write(f"  {letter.state} letter {letter.pk}, {letter.stage}: {letter.error}")
        revisions = MetricRevision.objects.filter(run_id=run.pk).order_by("pk")
        if revisions:
            self.stdout.write("  values of periods that were over have changed, by facts that came late or by a setting:")
        for one in revisions[:MOST_REVISIONS]:
            row = revision_row(one)
            self.stdout.write(f"    {row['metric']} {row['period']} {row['start']}: {row['before']} -> {row['after']} ({row['what']})")
        if (more := revisions.count() - MOST_REVISIONS) > 0:
            self.stdout.write(f"    and {more} more: `etl_status --run {run.pk} --json`, or the admin's metric revisions")

    def everything(self) -> dict[str, Any]:
        due, trouble = None, [f"{fault}: failing since {moment(fault.began_at)} UTC: {fault.error}" for fault in Fault.objects.all()]
        try:
            due = sweeper.night_due_at(now())
        except sweeper.UnusableSchedule as exc:
            trouble += [] if any(str(exc) in sentence for sentence in trouble) else [str(exc)]
        sources = []
        for source in Source.objects.select_related("service"):
            last = source.runs.order_by("-pk").first()
            sources.append(
                {
                    "source": source.name,
                    "service": source.service.name,
                    "kind": source.kind,
                    "is_enabled": source.is_enabled,
                    "last_run": run_row(last) if last else None,
                    "last_success_at": self.last_success(source),
                    "cursors": dict(Cursor.objects.filter(source=source).values_list("stream", "position")),
                    "open_dead_letters": source.dead_letters.filter(state=DeadLetter.State.OPEN).count(),
                }
            )
        return {"night_was_due_at": due.isoformat() if due else None, "trouble": trouble, "sources": sources}

    def last_success(self, source: Source) -> str | None:
        run = source.runs.filter(status__in=ETLRun.GOOD).order_by("-pk").first()
        return run.completed_at.isoformat() if run and run.completed_at else None

    def show(self, report: dict[str, Any]) -> None:
        if not report["sources"]:
            self.stdout.write("no sources yet: add one with `add_service NAME --repository owner/name`")
        for row in report["sources"]:
            last = ETLRun.objects.get(pk=row["last_run"]["run"]) if row["last_run"] else None
            self.stdout.write(f"{row['source']} ({row['kind']}{'' if row['is_enabled'] else ', disabled'})")
            self.stdout.write(f"  {run_line(last)}" if last else "  never ran")
            if row["open_dead_letters"]:
                self.stdout.write(f"  {row['open_dead_letters']} open dead letters: `dead_letters list --source {row['source']}`")
        if report["night_was_due_at"]:
            self.stdout.write(f"tonight's run was due at {report['night_was_due_at']}")
        for sentence in report["trouble"]:
            self.stdout.write(f"trouble: {sentence}")


def stream_line(progress: StreamProgress) -> str:
    """A log's file is known by its inode, and is never read for good: its path, and how far, say more."""
    if "path" in progress.cursor:
        return f"{progress.cursor['path']}: read up to byte {progress.cursor['offset']}"
    if progress.stream == log_facts.READ:
        return "all files: read"
    return f"{progress.stream}: {'read' if progress.is_done else 'being read'}"


def revision_row(revision: MetricRevision) -> dict[str, Any]:
    """`what`: the numbers that differ, since a value may stand while what it is made of has changed."""
    before, after = revision.before, revision.after
    return {
        "metric": revision.metric,
        "period": revision.period,
        "start": revision.period_start.isoformat(),
        "before": before.get("value"),
        "after": after.get("value"),
        "what": ", ".join(name for name in before if before[name] != after.get(name)),
    }
