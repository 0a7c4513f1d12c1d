"""What the demo does in Django: add the services, run a night, and call commands. Import this module after Django is set up."""

import time
from datetime import timedelta
from io import StringIO
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import close_old_connections
from django.utils.timezone import now

from demo.environment import Demo, DemoFailed
from demo.team.profiles import TEAM
from etl_tasks import night_schedule, pipeline
from etl_tasks.models import DeadLetter, ETLRun
from etl_tasks.night_report import report_last_night

NIGHT_SECONDS = 600
POLL_SECONDS = 0.1


def manage(*words: str) -> str:
    """Call a command in this process and return its output. Raises DemoFailed."""
    output = StringIO()
    try:
        call_command(*words, stdout=output)
    except CommandError as exc:
        raise DemoFailed(f"`manage.py {' '.join(words)}` failed: {exc}") from exc
    return output.getvalue().strip()


def set_up(demo: Demo) -> list[str]:
    """Create the database and the services with their sources, and return the services' names."""
    manage("migrate", "--verbosity", "0")
    if demo.repository:
        name = demo.repository.rpartition("/")[2]
        manage("add_service", name, "--repository", demo.repository)
        return [name]
    for service in TEAM:
        repositories = [word for profile in service.repositories for word in ("--repository", profile.repository)]
        manage("add_service", service.name, *repositories, *service.options)
        if service.log:
            path = str(demo.logs / service.log)
            words = ("--service", service.name, "--path", path, "--format", service.log_format, *service.log_options)
            manage("add_log_source", service.log_source, *words)
    return [service.name for service in TEAM]


def night(demo: Demo, *, days_ago: int) -> list[int]:
    """Run a night of all sources, print its outcome, and return the ids of the letters of stages that failed."""
    due = night_schedule.last_night_due_at(now()) or now()
    date = due.astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date() - timedelta(days=days_ago)
    runs = pipeline.open_night(date)
    ids, deadline = [run.pk for run in runs], time.monotonic() + NIGHT_SECONDS
    while ETLRun.objects.filter(pk__in=ids, status__in=ETLRun.ACTIVE).exists():
        if time.monotonic() > deadline:
            raise DemoFailed(f"the night of {date} has not ended after {NIGHT_SECONDS} s; see the logs in {demo.folder}")
        time.sleep(POLL_SECONDS)
        close_old_connections()
    ended = list(ETLRun.objects.filter(pk__in=ids).order_by("pipeline"))
    good = [run for run in ended if run.status in ETLRun.GOOD]
    letters = sum(run.dead_lettered for run in ended)
    bad_records = f", {letters} bad record{'s' if letters > 1 else ''} set aside" if letters else ""
    loaded = sum(run.loaded for run in ended)
    demo.say(f"  night of {date:%d %b}: {len(good)} of {len(ended)} runs succeeded, {loaded:,} records loaded{bad_records}")
    for run in ended:
        if run not in good:
            demo.say(f"    {run.pipeline} {run.status}: {run.error}")
    failed = DeadLetter.objects.filter(run_id__in=ids, kind=DeadLetter.Kind.STAGE, state=DeadLetter.State.OPEN)
    return list(failed.values_list("pk", flat=True))


def status_sentence() -> str:
    return report_last_night(now()).sentence
