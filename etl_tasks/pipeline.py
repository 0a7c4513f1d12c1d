"""Build the chain and send it. From the Django shell: `run_source("billing")`, `run_all()`."""

from datetime import date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from celery import chain, current_app
from django.conf import settings
from django.db import transaction
from django.utils.timezone import now
from kombu.exceptions import OperationalError as BrokerError

from etl_tasks import ledger, tasks
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources.registry import survey


class SourceBusy(Exception):
    """The source has a run under way, or that night's run exists."""


class BrokerAway(Exception):
    """No message can be sent."""


def ask_broker() -> None:
    """Raise BrokerAway within seconds, rather than after the two minutes of Celery's own patience."""
    try:
        with current_app.connection_for_write(connect_timeout=2) as broker:
            broker.ensure_connection(max_retries=1, timeout=2)
    except (BrokerError, OSError) as exc:
        raise BrokerAway("the broker cannot be reached: check CELERY_BROKER_URL and that Redis runs") from exc


def send(run: ETLRun) -> None:
    """The chain from the stage where the run stands; at first chain(extract.s(run_id), transform.s(), load.s()).

    Messages carry the run's id only. One chain a source: a chord would lose its body on a duplicate delivery.
    """
    steps = {"extract": tasks.extract, "transform": tasks.transform, "load": tasks.load}
    first, *rest = ledger.STAGES[ledger.STAGES.index(run.stage) :]
    chain(steps[first].s(run.pk), *[steps[name].s() for name in rest]).apply_async()


def run_source(
    name: str,
    *,
    trigger: str = ETLRun.Trigger.SHELL,
    logical_date: date | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    is_full: bool = False,
) -> ETLRun:
    """Start one source's chain and return its run. Raises Source.DoesNotExist, SourceBusy.

    `since` reads back to there even where the cursor is newer. With `until` it is a backfill: the cursors stay.
    """
    source = Source.objects.get(name=name)
    options: dict[str, Any] = {}
    if since:
        options["since"] = since.isoformat()
    if until:
        options["until"] = until.isoformat()
    if is_full:
        options["full"] = True
    run = ledger.open_run(source, trigger=trigger, logical_date=logical_date, options=options)
    if run is None:
        raise SourceBusy(f"{name} has a run under way, or its night {logical_date} exists: see etl_status")
    # A crash between commit and sending loses the message only; the sweeper sends it again.
    transaction.on_commit(partial(send, run))
    return run


def run_all(*, trigger: str = ETLRun.Trigger.SHELL) -> list[ETLRun]:
    """Start every enabled source that has no run under way."""
    runs = []
    for name in Source.objects.filter(is_enabled=True).values_list("name", flat=True):
        try:
            runs.append(run_source(name, trigger=trigger))
        except SourceBusy:
            continue
    return runs


def open_night(night: date, *, created_before: datetime | None = None) -> list[ETLRun]:
    """Start the night's run of every enabled source that has none; run twice, it starts nothing twice."""
    runs = []
    # Looks first: an insert that fails would use up an id every time.
    missing = Source.objects.filter(is_enabled=True, active_run=None).exclude(runs__logical_date=night)
    if created_before:
        missing = missing.filter(created_at__lt=created_before)
    sources = list(missing.select_related("service"))
    news = survey(sources)
    for source in sources:
        options = {"news": news[source.pk]} if source.pk in news else {}
        if run := ledger.open_run(source, trigger=ETLRun.Trigger.BEAT, logical_date=night, options=options):
            transaction.on_commit(partial(send, run))
            runs.append(run)
    return runs


def local_today() -> date:
    """The date that a night beginning now belongs to, in the business's zone."""
    return now().astimezone(ZoneInfo(settings.ETL_TIME_ZONE)).date()
