"""The dead-letter queue.

A letter is written for a stage, page, file or record that could not be processed; the names here call this "bury". The letter is closed
when a run or a replay has processed the data, or when a person discards the letter.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.timezone import now
from django.utils.translation import gettext as _

from dora_metrics.alerts import critical_alert, notify
from dora_metrics.display import minute_text
from etl_tasks import ledger
from etl_tasks.crash_points import commit, crash_points
from etl_tasks.errors import escaped, storable
from etl_tasks.models import DeadLetter, ETLRun, StagedPage
from etl_tasks.outcomes import WHOLE_PAGE, Bad, Unreadable

logger = logging.getLogger(__name__)

LONGEST_DATA = 1_000_000  # characters of a bad record that its letter keeps; the staged page has the whole record
UNREADABLE_DIGITS = 32  # of the digest of its name, by which an unreadable part is recognised


class NotOpen(Exception):
    """The letter cannot be replayed or discarded, because it is not open. The message says its state and when it was closed."""

    def __init__(self, letter: DeadLetter) -> None:
        since = minute_text(letter.resolved_at) if letter.resolved_at else _("an unknown time")
        values = {"letter": letter.pk, "state": _(letter.state), "time": since, "by": letter.resolved_by}
        super().__init__(_("letter %(letter)s is %(state)s since %(time)s (%(by)s), not open: nothing was changed") % values)


# --- burying --------------------------------------------------------------------------------------------------------


def bury_stage(run_id: int, stage: str, error: str, *, is_logged: bool = True, **guard: object) -> bool:
    """Mark the run as failed, write the letter of the stage, and send a critical alert.

    A run between two nights sends no alert if the letter is open already: while a source fails, one alert is enough.

    `guard`: column values that the run must still have. Return False, and do nothing, if the run has other values or has ended already.
    `is_logged`: whether the alert is logged, too; False if the caller prints the error itself.
    """
    error = storable(error)
    with commit("dead_letters.bury_stage"):
        if not ledger.close(run_id, ETLRun.Status.FAILED, error=error, **guard):
            return False
        run = ETLRun.objects.select_related("source").get(pk=run_id)
        key = ":".join(["stage", stage, *(f"{name}={value}" for name, value in _requested_span(run).items())])
        if run.waiting:
            key += f":run={run_id}"  # no other run reads this data again, because the cursors have moved
        was_open = DeadLetter.objects.filter(source=run.source, key=key, state=DeadLetter.State.OPEN).exists()
        _write(run, key=key, kind=DeadLetter.Kind.STAGE, stage=stage, error=error, data=f'{{"run": {run_id}}}')
        if was_open and run.trigger == ETLRun.Trigger.INTERVAL:
            return True
        transaction.on_commit(
            lambda: notify(
                critical_alert,
                sender=ETLRun,
                message=f"{run.pipeline}: {stage} failed, run {run_id}",
                context={"stage": stage, "error": error, "run": run_id, "source": run.pipeline},
                is_logged=is_logged,
            )
        )
    return True


def bury_records(run: ETLRun, page: StagedPage, bad: Sequence[Bad]) -> None:
    """Write a letter for each bad record of the page, and close the letters of lost records that are on this page.

    A lost record is one that GitHub did not return when it was requested by id. If a record fails again, its letter stays open and
    counts another attempt. Call this function inside a transaction.
    """
    keys = [record_key(page, record.key, record.data, kind=_kind(record)) for record in bad]
    requested = {record_key(page, node_id, json.dumps({"id": node_id}), kind=DeadLetter.Kind.LOST) for node_id in page.context.get("ids", ())}
    if returned := requested - {*keys}:
        found = DeadLetter.objects.filter(source=run.source, kind=DeadLetter.Kind.LOST, key__in=returned, state=DeadLetter.State.OPEN)
        found.update(state=DeadLetter.State.REPLAYED, resolved_at=now(), resolved_by=f"run {run.pk}")
    for key, record in zip(keys, bad, strict=True):
        _write(
            run,
            key=key,
            kind=_kind(record),
            stage=ETLRun.Stage.TRANSFORM,
            error=record.error,
            data=record.data[:LONGEST_DATA],
            page=page,
            record_index=None if record.index == WHOLE_PAGE else record.index,
            stream=page.stream,
        )


def bury_unreadable(run: ETLRun, part: Unreadable) -> None:
    """Write the letter of a part that could not be read, such as a file that the worker may not open.

    The run counts the part as one extracted and dead-lettered record.
    """
    ETLRun.objects.filter(pk=run.pk).update(extracted=F("extracted") + 1, dead_lettered=F("dead_lettered") + 1)
    _write(
        run,
        key=f"unreadable:{part.stream}:{unreadable_digest(part)}",
        kind=DeadLetter.Kind.PAGE,
        stage=ETLRun.Stage.EXTRACT,
        error=part.reason,
        data=part.name,
        stream=part.stream,
    )


def unreadable_digest(part: Unreadable) -> str:
    return hashlib.sha256(part.name.encode()).hexdigest()[:UNREADABLE_DIGITS]


def unreadable_page(content: bytes, error: str) -> Bad:
    """Return the Bad that stands for a whole page that cannot be decoded."""
    return Bad(index=WHOLE_PAGE, key="", data=content[:LONGEST_DATA].decode("utf-8", "backslashreplace").replace("\x00", "\\x00"), error=error)


def record_key(page: StagedPage, key: str, data: str, *, kind: str) -> str:
    """Return the key of a record's letter. `key`, `data`: as in the record's Bad. `kind`: the letter's kind.

    The same record of the same stream always has the same key, so that a second failure finds the first letter.
    """
    digest = hashlib.sha256(f"{key}\n{data}".encode()).hexdigest()[:32]
    return f"{kind}:{page.stream[:70]}:{digest}"


def _kind(record: Bad) -> str:
    if record.is_lost:
        return DeadLetter.Kind.LOST
    return DeadLetter.Kind.PAGE if record.index == WHOLE_PAGE else DeadLetter.Kind.RECORD


def _write(run: ETLRun, *, key: str, error: str, data: str, **fields: Any) -> None:
    """Insert the letter. If there is a letter with this key, count another attempt, and reopen the letter if it was replayed.

    A stage's letter also moves to this run: cursors move only when a run succeeds, so this run has read again what the earlier failed
    runs had read. A stage's letter is reopened even if it was discarded, because a person discarded it for the earlier runs only.
    A record's letter whose staged page was deleted since moves to the page that has the record now, from which it can be replayed.
    """
    error, data = storable(error), escaped(data)
    letter, is_new = DeadLetter.objects.get_or_create(source=run.source, key=key, defaults={"run": run, "error": error, "data": data, **fields})
    if is_new:
        reason = {} if letter.kind == DeadLetter.Kind.STAGE else {"error": error[:300]}  # the alert logs a stage's error
        logger.warning("dead_letter_written", extra={"letter": letter.pk, "run": run.pk, "kind": letter.kind, **reason})
        return
    changes: dict[str, Any] = {"attempts": F("attempts") + 1, "error": error}
    reopening: dict[str, Any] = {"state": DeadLetter.State.OPEN, "resolved_at": None, "resolved_by": ""}
    closed_states = [DeadLetter.State.REPLAYED]
    if letter.kind == DeadLetter.Kind.STAGE:
        changes |= {"run": run, "data": data}
        reopening["timestamp"] = now()
        closed_states.append(DeadLetter.State.DISCARDED)
    elif letter.page_id is None and fields.get("page"):
        changes |= {"run": run, "page": fields["page"], "record_index": fields["record_index"]}
    DeadLetter.objects.filter(pk=letter.pk).update(**changes)
    DeadLetter.objects.filter(pk=letter.pk, state__in=closed_states).update(**reopening)


def _requested_span(run: ETLRun) -> dict[str, Any]:
    """Return the run's options since, until and full; empty for a nightly run."""
    return {name: run.options[name] for name in ("since", "until", "full") if name in run.options}


# --- finding --------------------------------------------------------------------------------------------------------


def alike(letter: DeadLetter, *, state: str = DeadLetter.State.OPEN) -> QuerySet[DeadLetter]:
    """Return the letters that have the cause of this one, itself included: the same source, stage, kind and error.

    `state`: only letters of this state; "" for all.
    """
    same = {"source": letter.source_id, "stage": letter.stage, "kind": letter.kind, "error": letter.error}
    return DeadLetter.objects.filter(**same, **({"state": state} if state else {}))


# --- closing --------------------------------------------------------------------------------------------------------


def discard(letter: DeadLetter, *, by: str) -> None:
    """Close the letter without processing its data. Raises NotOpen."""
    if not resolve(letter, DeadLetter.State.DISCARDED, by=by):
        refuse_unless_open(letter)


def discard_alike(letter: DeadLetter, *, by: str) -> int:
    """Discard every open letter that has the cause of this one, and return how many."""
    with crash_points("dead_letters.discard_alike"):
        count = alike(letter).update(state=DeadLetter.State.DISCARDED, resolved_at=now(), resolved_by=by[:150])
    logger.info("dead_letters_discarded", extra={"like": letter.pk, "count": count, "by": by})
    return count


def resolve(letter: DeadLetter, state: str, *, by: str) -> bool:
    """Close the letter with this state; return False if it was not open."""
    still_open = DeadLetter.objects.filter(pk=letter.pk, state=DeadLetter.State.OPEN)
    with crash_points("dead_letters.resolve"):
        is_closed = still_open.update(state=state, resolved_at=now(), resolved_by=by[:150])
    if not is_closed:
        return False
    logger.info("dead_letter_resolved", extra={"letter": letter.pk, "state": state, "by": by})
    return True


def refuse_unless_open(letter: DeadLetter) -> None:
    """Read the letter's state from the database again, and raise NotOpen if the letter is not open."""
    letter.refresh_from_db(fields=["state", "resolved_at", "resolved_by", "run"])
    if letter.state != DeadLetter.State.OPEN:
        raise NotOpen(letter)


def withdraw(run: ETLRun, stream: str) -> None:
    """Delete the open letters that the run wrote for records of the stream. Call it when the stream's pages will be cleaned again."""
    DeadLetter.objects.filter(run=run, stream=stream, stage=ETLRun.Stage.TRANSFORM, state=DeadLetter.State.OPEN).delete()


def close_stage_letters(run: ETLRun, *stages: str) -> None:
    """Close the letters of `stages`, which have now succeeded: those of this run, and those of earlier runs whose data this run has read."""
    stage_letters = DeadLetter.objects.filter(source=run.source, kind=DeadLetter.Kind.STAGE, stage__in=stages, run_id__lte=run.pk)
    for letter in stage_letters.filter(state=DeadLetter.State.OPEN).select_related("run"):
        if letter.run_id == run.pk or _has_read_data_of(run, letter.run):
            resolve(letter, DeadLetter.State.REPLAYED, by=f"run {run.pk}")


def _has_read_data_of(run: ETLRun, failed: ETLRun) -> bool:
    """Return whether `run` has read everything that `failed` should have read.

    A failed run without options, such as a nightly run, should have read from the cursors on, and did not move them. So every later run
    has read the same data, except a run with `until`. The data of a failed run with options has been read only by a run with the
    same options. Log events that wait for the log store are only in the staged pages of their run: no run reads them again.
    """
    if failed.waiting:
        return False
    span, failed_span = _requested_span(run), _requested_span(failed)
    return span == failed_span or (not failed_span and "until" not in span)


def has_closed_letters(run: ETLRun) -> bool:
    """Return whether a letter was closed because this run succeeded."""
    return DeadLetter.objects.filter(source=run.source, resolved_by=f"run {run.pk}").exists()


def close_unreadable_letters(run: ETLRun) -> None:
    """Close the letters of files that earlier runs could not open and this run has read."""
    letters = DeadLetter.objects.filter(source=run.source, key__startswith="unreadable:", state=DeadLetter.State.OPEN, run_id__lt=run.pk)
    if not letters:
        return
    read = {cursor.get("path") for cursor in run.progress.values_list("cursor", flat=True)}
    for letter in letters:
        if letter.data in read:
            resolve(letter, DeadLetter.State.REPLAYED, by=f"run {run.pk}")
