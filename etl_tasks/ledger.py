"""Who may work on a run. A process takes, keeps and ends a run by a conditional UPDATE of the run's row.

A lock outside the row, for example in Redis, would remain if its holder were killed. A run is active until `close`. A worker that claims a
run for a stage holds a lease, which each commit renews. When the lease has ended, another worker may claim the run. Each claim raises the
attempt number, so later writes of the former holder fail.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import F, Q, QuerySet
from django.utils.timezone import now

from etl_tasks.crash_points import commit, crash_points
from etl_tasks.models import ETLRun, Source

logger = logging.getLogger(__name__)

STAGES: tuple[str, ...] = tuple(ETLRun.Stage.values)


class LeaseNotHeld(Exception):
    """The caller must write nothing more for the run: another holder has the run, or the run has ended or is in another stage."""


def lease_duration() -> timedelta:
    """Return how long a stage may go without a commit before the sweeper takes its worker for dead and sends the run again."""
    return timedelta(seconds=settings.ETL_LEASE_SECONDS)


def grace_period() -> timedelta:
    """Return how long a message may wait in its queue before the sweeper takes it for lost and sends the run again."""
    return timedelta(seconds=settings.ETL_GRACE_SECONDS)


# --- opening --------------------------------------------------------------------------------------------------------


def open_run(source: Source, *, trigger: str, logical_date: date | None = None, options: dict[str, Any] | None = None) -> ETLRun | None:
    """Create a run and return it. `logical_date`: the night of the run, if it has one. `options`: as in ETLRun.

    Return None if the source has an active run or a run of the same night, or is being deleted.
    """
    try:
        with commit("ledger.open"):
            if not _lock_source(source.pk):
                return None
            return ETLRun.objects.create(
                pipeline=source.name,
                source=source,
                active_for=source,
                logical_date=logical_date,
                trigger=trigger,
                options=options or {},
                lease_until=now() + grace_period(),
            )
    except IntegrityError:
        return None


def reopen(run: ETLRun) -> bool:
    """Make a failed run active again at the stage that failed.

    Return False if the run is not failed, or if its source has an active run or is being deleted.
    """
    return _reopen(run, ETLRun.objects.filter(status=ETLRun.Status.FAILED))


def resume(run: ETLRun) -> bool:
    """Make a partial run active again whose log events wait for the log store. Return False as `reopen` does."""
    return _reopen(run, ETLRun.with_waiting_events().filter(status=ETLRun.Status.PARTIAL))


def _reopen(run: ETLRun, candidates: QuerySet[ETLRun]) -> bool:
    try:
        with commit("ledger.reopen"):
            if not _lock_source(run.source_id):
                return False
            reopened = candidates.filter(pk=run.pk).update(
                status=ETLRun.Status.QUEUED,
                active_for=F("source"),
                owner="",
                resends=0,
                lease_until=now() + grace_period(),
                completed_at=None,
                duration_seconds=None,
                error="",
            )
    except IntegrityError:
        return False
    return bool(reopened)


def _lock_source(source_id: int) -> bool:
    """Lock the source's row, so that no deletion begins before the transaction ends; return False if a deletion has begun."""
    return bool(Source.objects.select_for_update().filter(pk=source_id, deletion_began_at=None).values_list("pk", flat=True).first())


# --- working --------------------------------------------------------------------------------------------------------


def claim(run_id: int, stage: str, owner: str) -> ETLRun:
    """Take the run for one stage and return the run. `owner`: the id of the task or process that takes it.

    Raises LeaseNotHeld if another holder has the run, or if the run is not in this stage because the message was a duplicate or too late.
    """
    moment = now()
    is_free = Q(owner="") | Q(owner=owner) | Q(lease_until__lt=moment)
    with commit("ledger.claim"):
        # A postponed run can be claimed when it is due. The sweeper queues it then; without a sweeper, the next command claims it.
        is_due = Q(status__in=(ETLRun.Status.QUEUED, ETLRun.Status.RUNNING)) | Q(status=ETLRun.Status.POSTPONED, lease_until__lt=moment)
        candidates = ETLRun.objects.filter(is_free, is_due, pk=run_id, stage=stage)
        is_claimed = candidates.update(
            owner=owner, attempt=F("attempt") + 1, steps=0, status=ETLRun.Status.RUNNING, lease_until=moment + lease_duration()
        )
        if not is_claimed:
            raise LeaseNotHeld(f"run {run_id}, {stage}")
        run = ETLRun.objects.select_related("source__service", "source__facts_repository").get(pk=run_id)
        run.task_ids[stage] = owner
        run.started_at = run.started_at or moment
        began, ended = f"{stage}_began_at", f"{stage}_ended_at"
        if getattr(run, began) is None or getattr(run, ended) is not None:  # the first attempt, or the first one after the stage had failed
            setattr(run, began, moment)
            setattr(run, ended, None)
        run.save(update_fields=["task_ids", "started_at", began, ended])
    logger.info("stage_claimed", extra={"run": run.pk, "stage": stage, "attempt": run.attempt})
    return run


@contextmanager
def guarded_transaction(run: ETLRun, name: str, *, is_progress: bool = True, **changes: Any) -> Iterator[None]:
    """Run the block in a transaction and renew the lease. Raises LeaseNotHeld if this attempt no longer holds the run.

    `name`: the name of the commit, for its crash points. `is_progress`: whether the next attempt has less to do than this one had; then the
    transaction adds 1 to `steps`. `changes`: new values of other columns of the run, which the same statement sets.
    """
    with commit(name):
        held = ETLRun.objects.filter(pk=run.pk, attempt=run.attempt, status=ETLRun.Status.RUNNING)
        if not held.update(lease_until=now() + lease_duration(), resends=0, steps=F("steps") + is_progress, **changes):
            raise LeaseNotHeld(f"run {run.pk}, attempt {run.attempt}")
        yield


def advance(run: ETLRun) -> None:
    """Move the run to its next stage and release it. Call this function inside `guarded_transaction`."""
    following = STAGES[STAGES.index(run.stage) + 1]
    moment = now()
    ended: dict[str, Any] = {f"{run.stage}_ended_at": moment}
    ETLRun.objects.filter(pk=run.pk).update(stage=following, owner="", lease_until=moment + grace_period(), **ended)


def extend_lease(run_id: int, owner: str, wait: timedelta) -> None:
    """Extend the lease of the holder until its retry has begun. `wait`: the countdown of the retry, to which a grace period is added."""
    with crash_points("ledger.extend_lease"):
        ETLRun.objects.filter(pk=run_id, owner=owner, status__in=ETLRun.ACTIVE).update(lease_until=now() + wait + grace_period())


def postpone(run: ETLRun, until: datetime) -> None:
    """Release the run. At the time `until`, the sweeper sends it again from its current stage. Raises LeaseNotHeld."""
    held = ETLRun.objects.filter(pk=run.pk, attempt=run.attempt, status=ETLRun.Status.RUNNING)
    with crash_points("ledger.postpone"):
        is_held = held.update(status=ETLRun.Status.POSTPONED, owner="", resends=0, lease_until=until)
    if not is_held:
        raise LeaseNotHeld(f"run {run.pk}, attempt {run.attempt}")
    logger.warning("run_postponed", extra={"run": run.pk, "until": until.isoformat()})


def has_progressed(run: ETLRun) -> bool:
    """Return whether this attempt has committed something since it claimed the run."""
    return ETLRun.objects.filter(pk=run.pk, attempt=run.attempt, steps__gt=0).exists()


def release_if_progressed(run_id: int, *, wait: float = 0, **guard: object) -> bool:
    """Postpone the run by `wait` seconds if its stage, which was stopped, has committed something since it was claimed.

    Return whether the run was postponed. `guard`: column values that the run must still have.
    """
    progressed = ETLRun.objects.filter(pk=run_id, status=ETLRun.Status.RUNNING, steps__gt=0, **guard)
    with crash_points("ledger.release"):
        is_released = progressed.update(status=ETLRun.Status.POSTPONED, owner="", resends=0, lease_until=now() + timedelta(seconds=wait))
    if is_released:
        logger.warning("run_handed_back", extra={"run": run_id, "wait": wait})
    return bool(is_released)


# --- ending ---------------------------------------------------------------------------------------------------------


def close(run_id: int, status: str, *, error: str = "", **guard: object) -> bool:
    """End an active run. `guard`: column values that the run must still have.

    Return False if the run has other values or has ended already. So only one of several callers reacts to the end of the run.
    """
    with commit("ledger.close"):
        ended = ETLRun.objects.filter(pk=run_id, status__in=ETLRun.ACTIVE, **guard).update(
            status=status, error=error, active_for=None, owner="", completed_at=now()
        )
        if ended:
            run = ETLRun.objects.get(pk=run_id)
            began, ended_at = run.started_at or run.created_at, run.completed_at
            run.duration_seconds = (ended_at - began).total_seconds() if ended_at else None
            changed = ["duration_seconds"]
            if getattr(run, f"{run.stage}_began_at"):
                setattr(run, f"{run.stage}_ended_at", ended_at)
                changed.append(f"{run.stage}_ended_at")
            run.save(update_fields=changed)
            logger.info("run_closed", extra={"run": run_id, "status": status})
    return bool(ended)


def cancel(run_id: int, *, by: str) -> bool:
    """End an active run because a person wants it. `by` names the person. Return False if the run has ended already.

    A worker that holds the run stops at its next commit, which raises LeaseNotHeld. What it has committed stays: staged pages and loaded
    facts. The cursors have not moved, so the next run of the source reads the same data again. A run whose cursors have moved, because it only
    loads log events that waited for the log store, is not cancelled.
    """
    return close(run_id, ETLRun.Status.CANCELLED, error=f"cancelled by {by}", waiting=0)
