"""What happened to a run, as a list in the order of time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.models import LogEntry
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_results.models import TaskResult

from dashboard.templatetags.display import status_word
from dora_metrics.display import duration_text
from etl_tasks.models import DeadLetter, ETLRun

STAGE_NAMES = {"extract": gettext_lazy("Extract"), "transform": gettext_lazy("Transform"), "load": gettext_lazy("Load")}
TRIGGERS = {
    "beat": gettext_lazy("Queued by beat for the night"),
    "interval": gettext_lazy("Queued by beat between two nights"),
    "shell": gettext_lazy("Queued from a shell"),
    "command": gettext_lazy("Queued by a command"),
    "admin": gettext_lazy("Queued by a person in the browser"),
    "replay": gettext_lazy("Queued by a replay"),
}
# Celery's states of a task, and our own two.
TASK_STATES = {
    "FAILURE": ("bad", gettext_lazy("the task failed")),
    "RETRY": ("warn", gettext_lazy("the task failed and is tried again")),
    "STARTED": ("info", gettext_lazy("the task began")),
    "POSTPONED": ("warn", gettext_lazy("the run was postponed")),
    "SUPERSEDED": ("idle", gettext_lazy("the message was ignored: another worker has the run, or the run has ended")),
}


@dataclass(frozen=True)
class Event:
    """`kind`: a class of badge. `detail`: more text, such as a traceback, which is shown on request."""

    moment: datetime
    text: str
    kind: str = "idle"
    detail: str = ""


def timeline(run: ETLRun, *, tasks: Iterable[TaskResult], audit_rows: Iterable[LogEntry], letters: Iterable[DeadLetter]) -> list[Event]:
    found = list(tasks)
    # Who carried out a stage is told with the end of the stage, so a task that ended well needs no line of its own.
    workers = {task.task_id: task.worker for task in found if task.status == "SUCCESS"}
    others = [task for task in found if task.status != "SUCCESS"]
    events = [*_of_run(run, workers), *map(_of_task, others), *map(_of_person, audit_rows), *_of_letters(letters)]
    return sorted(events, key=lambda event: event.moment)


def _of_run(run: ETLRun, workers: Mapping[str, str | None]) -> Iterator[Event]:
    yield Event(run.created_at, str(TRIGGERS.get(run.trigger, run.trigger)), "info")
    for time in run.stage_times:
        name = STAGE_NAMES[time.stage]
        if time.began_at:
            yield Event(time.began_at, _("%(stage)s began") % {"stage": name}, "info")
        if time.ended_at:
            worker = workers.get(run.task_ids.get(time.stage, ""))
            text = _("%(stage)s ended after %(time)s, by %(worker)s") if worker else _("%(stage)s ended after %(time)s")
            yield Event(time.ended_at, text % {"stage": name, "time": duration_text(time.seconds), "worker": worker}, "info")
    if run.completed_at:
        kind = {"success": "ok", "partial": "warn", "failed": "bad"}.get(run.status, "idle")
        yield Event(run.completed_at, _("The run ended: %(status)s") % {"status": status_word(run.status)}, kind)


def _of_task(task: TaskResult) -> Event:
    kind, words = TASK_STATES.get(task.status, ("idle", task.status.lower()))
    stage = STAGE_NAMES.get((task.task_name or "").rpartition(".")[2], task.task_name or "")
    text = _("%(stage)s, %(worker)s: %(what)s") % {"stage": stage, "worker": task.worker or _("a worker"), "what": words}
    return Event(task.date_started or task.date_created if task.status == "STARTED" else task.date_done, text, kind, task.traceback or "")


def _of_person(row: LogEntry) -> Event:
    return Event(row.action_time, _("%(user)s: %(what)s") % {"user": row.user.get_username(), "what": row.get_change_message()}, "info")


def _of_letters(letters: Iterable[DeadLetter]) -> Iterator[Event]:
    """Yield the events of stages and pages. Letters of single records would fill the list; the page shows them in a table."""
    for letter in letters:
        if letter.kind == DeadLetter.Kind.RECORD:
            continue
        yield Event(letter.timestamp, _("Dead letter %(letter)d: %(error)s") % {"letter": letter.pk, "error": letter.error[:300]}, "bad")
        if letter.resolved_at:
            yield Event(letter.resolved_at, _closed(letter), "ok")


def _closed(letter: DeadLetter) -> str:
    values: dict[str, Any] = {"letter": letter.pk, "by": letter.resolved_by}
    if letter.state == DeadLetter.State.DISCARDED:
        return _("Dead letter %(letter)d was discarded by %(by)s") % values
    return _("Dead letter %(letter)d was replayed by %(by)s") % values
