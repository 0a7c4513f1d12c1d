"""etl_status: print whether the runs of last night succeeded and, if not, what to do."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dora_metrics.display import instant_text
from dora_metrics.management.arguments import add_json_argument, id_argument
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import Deployment, MetricRevision
from etl_tasks import host_watch, intervals, selectors
from etl_tasks.log_coverage import READ_STREAM
from etl_tasks.management.run_output import pages_text, run_line, run_row, run_times
from etl_tasks.models import DeadLetter, ETLRun, StreamProgress
from etl_tasks.night_report import NightReport, report_last_night

MOST_REVISIONS = 20
MOST_GIVEN_UP = 5


class Command(BaseCommand):
    help = (
        "Print whether last night worked, what needs a person, and each source's last run with its times, counts and last success. "
        "Exit status: 0; 1 if something needs a person; 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--run", type=id_argument, metavar="ID", help="print one run instead: its streams, its dead letters, and the past metrics that it changed"
        )
        add_json_argument(parser, "print one JSON object, which also has the cursors")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["run"] is not None:
            self.report_run(options["run"], is_json=options["json"])
            return
        night = report_last_night(now())
        report = status_report(night)
        if options["json"]:
            self.write_json(report)
        else:
            self.write_status(night, report)
        if count := len(night.needs_a_person):
            where = _('"needs_a_person" says what') if options["json"] else _("the lines above say what")
            needs = ngettext("%(count)s thing needs a person", "%(count)s things need a person", count) % {"count": count}
            raise CommandError(f"{needs}: {where}", returncode=1)

    def report_run(self, run_id: int, *, is_json: bool) -> None:
        run = ETLRun.objects.filter(pk=run_id).first()
        if run is None:
            raise UsageError(_("there is no run %(run)s: `etl_status` lists the latest") % {"run": run_id})
        if is_json:
            self.write_json(run_report(run))
        else:
            self.write_run(run)
        if run.dead_letters.filter(state=DeadLetter.State.OPEN).exists():
            sentence = _("run %(run)s has open dead letters: `dead_letters show ID`, then replay or discard") % {"run": run_id}
            raise CommandError(sentence, returncode=1)

    def write_run(self, run: ETLRun) -> None:
        self.stdout.write(run_line(run))
        values = {"times": run_times(run), "attempt": run.attempt, "pages": pages_text(run.pages.count())}
        self.stdout.write("  " + _("%(times)s; attempt %(attempt)s, %(pages)s") % values)
        for progress in run.progress.order_by("stream"):
            self.stdout.write(f"  {stream_line(progress)}")
        for letter in run.dead_letters.order_by("pk"):
            values = {"state": _(letter.state), "letter": letter.pk, "stage": str(letter.get_stage_display()).lower()}
            self.stdout.write("  " + _("%(state)s letter %(letter)s, %(stage)s") % values + f": {letter.error}")
        revisions = MetricRevision.objects.filter(run_id=run.pk).order_by("pk")
        if revisions:
            self.stdout.write("  " + _("values of periods that were over have changed, by facts that came late or by a setting:"))
        for revision in revisions[:MOST_REVISIONS]:
            row = revision_row(revision)
            self.stdout.write(f"    {row['metric']} {row['period']} {row['start']}: {row['before']} -> {row['after']} ({row['what']})")
        if (more := revisions.count() - MOST_REVISIONS) > 0:
            sentence = _("and %(count)s more: `etl_status --run %(run)s --json`, or the admin's metric revisions") % {"count": more, "run": run.pk}
            self.stdout.write("    " + sentence)

    def write_status(self, night: NightReport, report: dict[str, Any]) -> None:
        write = self.stdout.write
        if not report["sources"]:
            write(_("no sources yet: add one with `add_service NAME --repository owner/name`"))
        else:
            write(night.sentence)
        for sentence in night.needs_a_person:
            write(_("needs a person: %(sentence)s") % {"sentence": sentence})
        # The errors of these runs are already in the sentence about the night.
        reported = {outcome.run_id for outcome in night.outcomes if outcome.state == "failed"}
        runs = ETLRun.objects.in_bulk([row["last_run"]["run"] for row in report["sources"] if row["last_run"]])
        for row in report["sources"]:
            on_host = ", " + _("on %(host)s") % {"host": row["host"]} if row["host"] else ""
            every = f", {intervals.describe_interval(row['every_minutes'])}" if row["every_minutes"] else ""
            disabled = "" if row["is_enabled"] else ", " + _("disabled")
            write(f"{row['source']} ({row['kind']}{every}{disabled}{on_host})")
            next_run = next_run_sentence(row)
            if row["no_worker_since"]:
                since = instant_text(datetime.fromisoformat(row["no_worker_since"]))
                none = _("none has taken this queue since %(time)s") % {"time": since}
                write(f"  {host_watch.no_worker_sentence(row['host'])}; {none}")
            if row["last_run"] is None:
                write("  " + _("never ran") + next_run)
                continue
            run = runs[row["last_run"]["run"]]
            write(f"  {run_line(run, has_error=run.pk not in reported)}")
            success = row["last_success_at"]
            last = _("last success %(time)s") % {"time": instant_text(datetime.fromisoformat(success))} if success else _("last success never")
            write(f"  {run_times(run)}; {last}{next_run}")
            if row["given_up"]:
                write("  " + given_up_sentence(row["given_up"]))
        if night.next_due:
            write(_("the next night is due at %(time)s") % {"time": instant_text(night.next_due)})
        else:
            write(_("no next night is due: see periodic tasks in the admin"))


def given_up_sentence(given_up: list[dict[str, Any]]) -> str:
    shown = ", ".join(f"{given['id']} ({given['environment']}, {given['created_at'][:10]})" for given in given_up[:MOST_GIVEN_UP])
    if (more := len(given_up) - MOST_GIVEN_UP) > 0:
        shown += " " + _("and %(count)s more") % {"count": more}
    return _("deployments without an outcome for %(days)s days, not asked for any more: %(deployments)s") % {
        "days": selectors.LONGEST_WAIT_FOR_AN_END.days,
        "deployments": shown,
    }


def next_run_sentence(row: dict[str, Any]) -> str:
    """Return when the next run of the source is due, as the end of a line. `row`: as `source_row` returns it. Empty if no run is due."""
    if not row["next_run_due_at"]:
        return ""
    due = datetime.fromisoformat(row["next_run_due_at"])
    sentence = _("next run due %(time)s") if due > now() else _("next run was due %(time)s")
    return "; " + sentence % {"time": instant_text(due)}


def run_report(run: ETLRun) -> dict[str, Any]:
    """Return the JSON object of `etl_status --run ID --json`."""
    return {
        **run_row(run),
        "pages": run.pages.count(),
        "task_ids": run.task_ids,
        "streams": [
            {"stream": progress.stream, "is_done": progress.is_done, "cursor": progress.cursor} for progress in run.progress.order_by("stream")
        ],
        "dead_letters": list(run.dead_letters.order_by("pk").values("pk", "kind", "stage", "state", "error")),
        "revisions": [revision_row(revision) for revision in MetricRevision.objects.filter(run_id=run.pk).order_by("pk")],
    }


def status_report(night: NightReport) -> dict[str, Any]:
    """Return the JSON object of `etl_status --json`."""
    sources: list[Any] = list(intervals.with_last_runs(selectors.sources_with_runs()))  # Any: mypy does not know the annotated columns
    runs = ETLRun.objects.in_bulk([source.last_run_id for source in sources if source.last_run_id])
    cursors = selectors.cursors_by_source()
    return {
        "time_zone": settings.ETL_TIME_ZONE,
        "last_night": {
            "sentence": night.sentence,
            "sources": len(night.outcomes),
            "succeeded": night.succeeded,
            "outcomes": [{"source": outcome.source.name, "outcome": outcome.state, "run": outcome.run_id} for outcome in night.outcomes],
        },
        "night_was_due_at": night.due.isoformat() if night.due else None,
        "needs_a_person": night.needs_a_person,
        "next_night_due_at": night.next_due.isoformat() if night.next_due else None,
        "sources": [
            source_row(
                source,
                last_run=runs[source.last_run_id] if source.last_run_id else None,
                cursors=cursors.get(source.pk, {}),
                next_night=night.next_due,
            )
            for source in sources
        ],
    }


def source_row(source: Any, *, last_run: ETLRun | None, cursors: dict[str, Any], next_night: datetime | None) -> dict[str, Any]:
    """Return a source's part of the report. `source`: a row of selectors.sources_with_runs, with the annotations of intervals.with_last_runs."""
    next_due = intervals.next_run_due_at(source, now(), next_night=next_night)
    return {
        "source": source.name,
        "service": source.service.name,
        "kind": source.kind,
        "is_enabled": source.is_enabled,
        "every_minutes": source.every_minutes,
        "next_run_due_at": next_due and next_due.isoformat(),
        "host": source.host,
        "no_worker_since": source.host_silent_since and source.host_silent_since.isoformat(),
        "last_run": run_row(last_run) if last_run else None,
        "last_success_at": source.last_success_at.isoformat() if source.last_success_at else None,
        "cursors": cursors,
        "given_up": [given_up_row(deployment) for deployment in selectors.deployments_given_up(source)],
        "open_dead_letters": source.open_letters,
    }


def given_up_row(deployment: Deployment) -> dict[str, Any]:
    return {"id": deployment.external_id, "environment": deployment.environment, "created_at": deployment.created_at.isoformat()}


def stream_line(progress: StreamProgress) -> str:
    """Return how far a stream was read.

    The stream of a log file is named after the file's inode and never ends, so the line has the file's path and position instead.
    """
    if "path" in progress.cursor:
        return _("%(path)s: read up to byte %(offset)s") % {"path": progress.cursor["path"], "offset": progress.cursor["offset"]}
    if progress.stream == READ_STREAM:
        return _("all files: read")
    return (_("%(stream)s: read") if progress.is_done else _("%(stream)s: being read")) % {"stream": progress.stream}


def revision_row(revision: MetricRevision) -> dict[str, Any]:
    """Return the row of a metric that has changed. "what" names the stored numbers that differ, for example "n", even if the value does not."""
    before, after = revision.before, revision.after
    return {
        "metric": revision.metric,
        "period": revision.period,
        "start": revision.period_start.isoformat(),
        "before": before.get("value"),
        "after": after.get("value"),
        "what": ", ".join(name for name in before if before[name] != after.get(name)),
    }
