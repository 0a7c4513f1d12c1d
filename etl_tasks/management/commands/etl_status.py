"""etl_status: did last night work; if not, what to do."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db.models import Count, OuterRef, Q, Subquery
from django.utils.timezone import now

from dora_metrics.management.arguments import id_argument
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import MetricRevision
from etl_tasks import host_watch
from etl_tasks.loaders import log_facts
from etl_tasks.management.run_output import moment, run_line, run_row, times
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Source, StreamProgress
from etl_tasks.night_report import NightReport, report_last_night
from etl_tasks.sources.github.wanted import LONGEST_WAIT_FOR_AN_END, given_up

MOST_REVISIONS = 20
MOST_GIVEN_UP = 5


class Command(BaseCommand):
    help = "Whether last night worked; then runs, counts and what is due. Exit status 0; 1 if something needs a person; 2 for bad input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--run", type=id_argument, metavar="ID")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["run"] is not None:
            self.about_run(options["run"], is_json=options["json"])
            return
        night = report_last_night(now())
        report = self.everything(night)
        if options["json"]:
            self.write_json(report)
        else:
            self.show(night, report)
        if count := len(night.needs_a_person):
            where = '"needs_a_person" says what' if options["json"] else "the lines above say what"
            raise CommandError(f"{count} thing{'s need' if count > 1 else ' needs'} a person: {where}", returncode=1)

    def about_run(self, run_id: int, *, is_json: bool) -> None:
        report = self.one_run(run_id)
        if is_json:
            self.write_json(report)
        else:
            self.show_run(run_id)
        if any(letter["state"] == DeadLetter.State.OPEN for letter in report["dead_letters"]):
            raise CommandError(f"run {run_id} has open dead letters: `dead_letters show ID`, then replay or discard", returncode=1)

    def one_run(self, run_id: int) -> dict[str, Any]:
        run = ETLRun.objects.filter(pk=run_id).first()
        if run is None:
            raise UsageError(f"there is no run {run_id}: `etl_status` lists the latest")
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
        self.stdout.write(f"  {times(run)}; attempt {run.attempt}, {run.pages.count()} pages")
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

    def everything(self, night: NightReport) -> dict[str, Any]:
        latest = ETLRun.objects.filter(source=OuterRef("pk")).order_by("-pk").values("pk")[:1]
        success = ETLRun.objects.filter(source=OuterRef("pk"), status__in=ETLRun.GOOD).order_by("-pk").values("completed_at")[:1]
        open_letters = Count("dead_letters", filter=Q(dead_letters__state=DeadLetter.State.OPEN))
        found = Source.objects.select_related("service").annotate(last_run_id=Subquery(latest), success=Subquery(success), open_letters=open_letters)
        sources = list(found.order_by("name"))
        runs = ETLRun.objects.in_bulk([source.last_run_id for source in sources if source.last_run_id])
        cursors: dict[int, dict[str, Any]] = {}
        for source_id, stream, position in Cursor.objects.values_list("source_id", "stream", "position"):
            cursors.setdefault(source_id, {})[stream] = position
        return {
            "time_zone": settings.ETL_TIME_ZONE,
            "last_night": {
                "sentence": night.sentence,
                "sources": len(night.outcomes),
                "succeeded": night.succeeded,
                "outcomes": [{"source": one.source.name, "outcome": one.state, "run": one.run and one.run.pk} for one in night.outcomes],
            },
            "night_was_due_at": night.due.isoformat() if night.due else None,
            "needs_a_person": night.needs_a_person,
            "next_night_due_at": night.next_due.isoformat() if night.next_due else None,
            "sources": [
                {
                    "source": source.name,
                    "service": source.service.name,
                    "kind": source.kind,
                    "is_enabled": source.is_enabled,
                    "host": source.host,
                    "no_worker_since": source.host_silent_since and source.host_silent_since.isoformat(),
                    "last_run": run_row(runs[source.last_run_id]) if source.last_run_id else None,
                    "last_success_at": source.success.isoformat() if source.success else None,
                    "cursors": cursors.get(source.pk, {}),
                    "given_up": given_up_row(source) if source.facts_repository_id else [],
                    "open_dead_letters": source.open_letters,
                }
                for source in sources
            ],
        }

    def show(self, night: NightReport, report: dict[str, Any]) -> None:
        write = self.stdout.write
        if not report["sources"]:
            write("no sources yet: add one with `add_service NAME --repository owner/name`")
        else:
            write(night.sentence)
        for sentence in night.needs_a_person:
            write(f"needs a person: {sentence}")
        said = {one.run.pk for one in night.outcomes if one.state == "failed" and one.run}
        runs = ETLRun.objects.in_bulk([row["last_run"]["run"] for row in report["sources"] if row["last_run"]])
        for row in report["sources"]:
            on_host = f", on {row['host']}" if row["host"] else ""
            write(f"{row['source']} ({row['kind']}{'' if row['is_enabled'] else ', disabled'}{on_host})")
            if row["no_worker_since"]:
                since = moment(datetime.fromisoformat(row["no_worker_since"]))
                write(f"  {host_watch.no_worker_message(row['host'])}; none has taken this queue since {since}")
            if row["last_run"] is None:
                write("  never ran")
                continue
            run = runs[row["last_run"]["run"]]
            write(f"  {run_line(run, has_error=run.pk not in said)}")
            success = row["last_success_at"]
            write(f"  {times(run)}; last success {moment(datetime.fromisoformat(success)) if success else 'never'}")
            if row["given_up"]:
                few = ", ".join(f"{one['id']} ({one['environment']}, {one['created_at'][:10]})" for one in row["given_up"][:MOST_GIVEN_UP])
                more = len(row["given_up"]) - MOST_GIVEN_UP
                write(
                    f"  deployments without an outcome for {LONGEST_WAIT_FOR_AN_END.days} days, not asked for any more: {few}"
                    + (f" and {more} more" if more > 0 else "")
                )
        write(f"the next night is due at {moment(night.next_due)}" if night.next_due else "no next night is due: see periodic tasks in the admin")


def given_up_row(source: Source) -> list[dict[str, Any]]:
    rows = given_up(source.ensure_facts_repository()).values_list("external_id", "environment", "created_at")
    return [{"id": number, "environment": environment, "created_at": created_at.isoformat()} for number, environment, created_at in rows]


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
