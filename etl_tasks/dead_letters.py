"""What could not be processed: bury it once, replay it from the staged copy, or discard it."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import OperationalError, transaction
from django.db.models import F
from django.utils.timezone import now

from dora_metrics.alerts import critical_alert, notify, rules
from dora_metrics.derivation.recompute import hold, recompute
from etl_tasks import ledger
from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.loaders import facts, log_facts
from etl_tasks.models import DeadLetter, ETLRun, Source, StagedPage, compressed
from etl_tasks.outcomes import Bad, Good, UnreadablePage
from etl_tasks.sources.adapter import LOG_EVENT, Unreadable
from etl_tasks.sources.registry import adapter_of
from log_store.opening import open_log_store
from log_store.store import LogStoreUnavailable

logger = logging.getLogger(__name__)

LONGEST_DATA = 1_000_000  # characters kept of a bad record; the whole of it stays in its staged page
WHOLE_PAGE = -1  # the index of a Bad that stands for its page


class ReplayFailed(Exception):
    """The message says what failed this time, or what stands in the way; `outcome` says what became of the letter, too."""


class NotOpen(Exception):
    """Only an open letter can be replayed or discarded; the message names the state that it has, and since when."""

    def __init__(self, letter: DeadLetter) -> None:
        since = f"{letter.resolved_at:%Y-%m-%d %H:%M} UTC" if letter.resolved_at else "an unknown time"
        super().__init__(f"letter {letter.pk} is {letter.state} since {since} ({letter.resolved_by}), not open: nothing was changed")


def bury_stage(run_id: int, stage: str, error: str, *, is_logged: bool = True, **guard: object) -> bool:
    """Fail the run, write its dead letter and alert: all or nothing, once. `guard`: what must still hold of the run.

    `is_logged`: False where the caller prints the error on standard error.
    """
    error = _storable(error)
    with transaction.atomic():
        if not ledger.close(run_id, ETLRun.Status.FAILED, error=error, **guard):
            return False
        run = ETLRun.objects.select_related("source").get(pk=run_id)
        key = ":".join(["stage", stage, *(f"{name}={value}" for name, value in _span(run).items())])
        _write(run, key=key, kind=DeadLetter.Kind.STAGE, stage=stage, error=error, data=f'{{"run": {run_id}}}')
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
    """One letter a bad record, inside the caller's transaction. The same record met again is the same letter.

    What the source had not given before, and has given now, needs its letter no more.
    """
    keys = [_record_key(page, one.key, one.data, kind=_kind(one)) for one in bad]
    asked = {_record_key(page, node_id, json.dumps({"id": node_id}), kind=DeadLetter.Kind.LOST) for node_id in page.context.get("ids", ())}
    given = DeadLetter.objects.filter(source=run.source, kind=DeadLetter.Kind.LOST, key__in=asked - {*keys}, state=DeadLetter.State.OPEN)
    given.update(state=DeadLetter.State.REPLAYED, resolved_at=now(), resolved_by=f"run {run.pk}")
    for key, one in zip(keys, bad, strict=True):
        is_page = one.index == WHOLE_PAGE
        _write(
            run,
            key=key,
            kind=_kind(one),
            stage=ETLRun.Stage.TRANSFORM,
            error=one.error,
            data=one.data[:LONGEST_DATA],
            page=page,
            record_index=None if is_page else one.index,
            stream=page.stream,
        )


def _kind(one: Bad) -> str:
    if one.is_lost:
        return DeadLetter.Kind.LOST
    return DeadLetter.Kind.PAGE if one.index == WHOLE_PAGE else DeadLetter.Kind.RECORD


def _record_key(page: StagedPage, key: str, data: str, *, kind: str) -> str:
    digest = hashlib.sha256(f"{key}\n{data}".encode()).hexdigest()[:32]
    return f"{kind}:{page.stream[:70]}:{digest}"


def bury_unreadable(run: ETLRun, part: Unreadable) -> None:
    """A file, say, that could not be opened: counted as one record that is a dead letter."""
    ETLRun.objects.filter(pk=run.pk).update(extracted=F("extracted") + 1, dead_lettered=F("dead_lettered") + 1)
    digest = hashlib.sha256(part.name.encode()).hexdigest()[:32]
    _write(
        run,
        key=f"unreadable:{part.stream}:{digest}",
        kind=DeadLetter.Kind.PAGE,
        stage=ETLRun.Stage.EXTRACT,
        error=part.reason,
        data=part.name,
        stream=part.stream,
    )


def unreadable_page(content: bytes, error: str) -> Bad:
    return Bad(index=WHOLE_PAGE, key="", data=content[:LONGEST_DATA].decode("utf-8", "backslashreplace").replace("\x00", "\\x00"), error=error)


def _write(run: ETLRun, *, key: str, error: str, data: str, **fields: Any) -> None:
    """Insert the letter, or count another meeting of it; a replayed one that fails again is opened again.

    A stage's letter names the latest run that failed so, for the cursors have stayed: that run read again what the earlier ones had read.
    It is opened again also if it was discarded: that was about the earlier runs.
    """
    error, data = _storable(error[:5000]), _storable(data)
    letter, is_new = DeadLetter.objects.get_or_create(source=run.source, key=key, defaults={"run": run, "error": error, "data": data, **fields})
    if is_new:
        reason = {} if letter.kind == DeadLetter.Kind.STAGE else {"error": error[:300]}  # a stage's is in the alert
        logger.warning("dead_letter_written", extra={"letter": letter.pk, "run": run.pk, "kind": letter.kind, **reason})
        return
    again: dict[str, Any] = {"attempts": F("attempts") + 1, "error": error}
    reopened: dict[str, Any] = {"state": DeadLetter.State.OPEN, "resolved_at": None, "resolved_by": ""}
    closed = [DeadLetter.State.REPLAYED]
    if letter.kind == DeadLetter.Kind.STAGE:
        again |= {"run": run, "data": data}
        reopened["timestamp"] = now()
        closed.append(DeadLetter.State.DISCARDED)
    DeadLetter.objects.filter(pk=letter.pk).update(**again)
    DeadLetter.objects.filter(pk=letter.pk, state__in=closed).update(**reopened)


def _span(run: ETLRun) -> dict[str, Any]:
    """What a run was told to read beside what is new; empty for a night."""
    return {name: run.options[name] for name in ("since", "until", "full") if name in run.options}


def _storable(text: str) -> str:
    """Whatever an exception or an answer may hold, half characters and NUL among them, as a database takes it."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def replay(letter: DeadLetter, *, by: str) -> None:
    """Send the letter's staged data through transform and load again, here and now. Raises ReplayFailed, NotOpen."""
    _refuse_unless_open(letter)
    if letter.source.deletion_began_at:
        raise ReplayFailed(f"source {letter.source} is being deleted")
    if letter.kind == DeadLetter.Kind.STAGE:
        _replay_stage(letter, by=by)  # a failure writes the letter again, which counts the attempt
        return
    DeadLetter.objects.filter(pk=letter.pk).update(attempts=F("attempts") + 1)
    try:
        page = _asked_again(letter) if letter.kind == DeadLetter.Kind.LOST else letter.page
        if page is None:
            raise ReplayFailed(
                f"letter {letter.pk} has no staged copy ({letter.error}): mend its cause; the next run reads it, then discard the letter"
            )
        _replay_records(letter, page)
    except ReplayFailed:
        raise
    except (RetriableError, LogStoreUnavailable, OperationalError) as exc:
        raise ReplayFailed(f"it may pass by itself, try again later: {exc}") from exc
    except FatalError as exc:
        raise ReplayFailed(str(exc)) from exc
    except Exception as exc:  # whatever it is, it is this letter's: the others that were chosen with it go on
        logger.exception("replay_failed", extra={"letter": letter.pk})
        raise ReplayFailed(f"{type(exc).__name__}: {exc}") from exc
    if not _resolve(letter, DeadLetter.State.REPLAYED, by=by):
        _refuse_unless_open(letter)


def discard(letter: DeadLetter, *, by: str) -> None:
    """Give the letter up. Raises NotOpen."""
    if not _resolve(letter, DeadLetter.State.DISCARDED, by=by):
        _refuse_unless_open(letter)


def outcome(letter: DeadLetter, exc: ReplayFailed) -> str:
    """What a replay that failed has left of the letter: its stage may have ended well, and a later one failed."""
    letter.refresh_from_db(fields=["state"])
    if letter.state == DeadLetter.State.OPEN:
        return f"letter {letter.pk} stays open: {exc}"
    return f"letter {letter.pk} is {letter.state}, but {exc}"


def _refuse_unless_open(letter: DeadLetter) -> None:
    """By what the database says now: the letter may have been read a while ago."""
    letter.refresh_from_db(fields=["state", "resolved_at", "resolved_by", "run"])
    if letter.state != DeadLetter.State.OPEN:
        raise NotOpen(letter)


def withdraw(run: ETLRun, stream: str) -> None:
    """Remove the letters that a run wrote of a stream whose pages it will read again."""
    DeadLetter.objects.filter(run=run, stream=stream, stage=ETLRun.Stage.TRANSFORM, state=DeadLetter.State.OPEN).delete()


def close_stage_letters(run: ETLRun, *stages: str) -> None:
    """Close the letters of stages that have succeeded now, for this run and for those that it makes up for."""
    stage_letters = DeadLetter.objects.filter(source=run.source, kind=DeadLetter.Kind.STAGE, stage__in=stages, run_id__lte=run.pk)
    for letter in stage_letters.filter(state=DeadLetter.State.OPEN).select_related("run"):
        if letter.run_id == run.pk or _makes_up_for(run, letter.run):
            _resolve(letter, DeadLetter.State.REPLAYED, by=f"run {run.pk}")


def _makes_up_for(run: ETLRun, failed: ETLRun) -> bool:
    """A night reads on from the cursors, which a failed run leaves; what a backfill was to read, only the same backfill reads again."""
    done, missing = _span(run), _span(failed)
    return done == missing or (not missing and "until" not in done)


def close_unreadable_letters(run: ETLRun) -> None:
    """Close the letters of files that could not be opened, and that this run has read."""
    letters = DeadLetter.objects.filter(source=run.source, key__startswith="unreadable:", state=DeadLetter.State.OPEN, run_id__lt=run.pk)
    if not letters:
        return
    read = {cursor.get("path") for cursor in run.progress.values_list("cursor", flat=True)}
    for letter in letters:
        if letter.data in read:
            _resolve(letter, DeadLetter.State.REPLAYED, by=f"run {run.pk}")


def _resolve(letter: DeadLetter, state: str, *, by: str) -> bool:
    still_open = DeadLetter.objects.filter(pk=letter.pk, state=DeadLetter.State.OPEN)
    if not still_open.update(state=state, resolved_at=now(), resolved_by=by[:150]):
        return False
    logger.info("dead_letter_resolved", extra={"letter": letter.pk, "state": state, "by": by})
    return True


def _replay_stage(letter: DeadLetter, *, by: str) -> None:
    from etl_tasks.inline import Postponed, StageFailed, on_another_host, run_remaining_stages  # it buries through this module

    _refuse_unless_open(letter)
    if letter.run.stage == ETLRun.Stage.EXTRACT and not letter.source.is_here:
        raise ReplayFailed(f"{on_another_host(letter.source)}, or replay the letter in the admin, which leaves it to a worker")
    reopen_run(letter)
    try:
        run_remaining_stages(letter.run_id)
    except StageFailed as exc:
        raise ReplayFailed(f"{exc.stage} failed: {exc}") from exc
    except Postponed as exc:
        raise ReplayFailed(f"run {letter.run_id} is {exc}; its good end closes the letter") from exc
    except ledger.LeaseNotHeld as exc:
        raise ReplayFailed(f"a worker has taken run {letter.run_id}: see etl_status") from exc
    DeadLetter.objects.filter(pk=letter.pk).update(attempts=F("attempts") + 1, resolved_by=by[:150])


def reopen_run(letter: DeadLetter) -> None:
    """Make the run of a stage letter active again, to be sent to a worker; its stage's good end closes the letter.

    Raises ReplayFailed, NotOpen.
    """
    _refuse_unless_open(letter)
    if not ledger.reopen(letter.run):
        letter.run.refresh_from_db(fields=["status"])
        is_failed = letter.run.status == ETLRun.Status.FAILED
        reason = f"{letter.source} has another run under way" if is_failed else f"run {letter.run_id} is {letter.run.status}, not failed"
        raise ReplayFailed(f"{reason}: see etl_status")


def _asked_again(letter: DeadLetter) -> StagedPage:
    """What the source gives now in the place of what it did not give, kept as one more page of the letter's run."""
    page = adapter_of(letter.source).ask_again(letter.source, letter.stream, json.loads(letter.data))
    last = letter.run.pages.order_by("-number").values_list("number", flat=True).first() or 0
    return StagedPage.objects.create(
        run=letter.run,
        number=last + 1,
        stream=page.stream,
        url=page.url,
        context=page.context,
        body=compressed(page.body),
        sha256=hashlib.sha256(page.body).hexdigest(),
        record_count=page.record_count,
        fetched_at=page.fetched_at,
        is_clean=True,  # the run has its own records; these are the letter's
    )


def _replay_records(letter: DeadLetter, page: StagedPage) -> None:
    """Idempotent without a lease: facts go by natural key and version, events by id."""
    source = letter.source
    adapter = adapter_of(source)
    try:
        records = list(adapter.clean(source, page.stream, page.content, page.context))
    except UnreadablePage as exc:
        raise ReplayFailed(str(exc)) from exc
    kind = adapter.fact(page.stream, page.context)
    is_log = kind == LOG_EVENT
    chosen = _records_of(letter, page, records, is_log=is_log)
    bad = [one for one in chosen if isinstance(one, Bad)]
    if bad or not chosen:
        raise ReplayFailed(bad[0].error if bad else f"page {page.pk} has no record {letter.record_index}")
    good = [one.fact for one in chosen if isinstance(one, Good)]
    parts = [] if is_log else list(_parts_of(good, page, kind=kind, source=source))
    if is_log:
        tallies = open_log_store().write(good)
    with transaction.atomic():
        hold(source.service)
        if is_log:
            log_facts.keep(source.service, source=source.name, run_id=letter.run_id, page_id=page.pk, events=good, tallies=tallies)
        else:
            facts.upsert(kind, good, repository=source.ensure_facts_repository(), run_id=letter.run_id, page_id=page.pk)
            for part, found in parts:
                facts.upsert(part, found, repository=source.ensure_facts_repository(), run_id=letter.run_id, page_id=page.pk)
        recompute(source.service, run_id=letter.run_id)
        rules.evaluate(source.service)


def _parts_of(records: Sequence[dict[str, Any]], page: StagedPage, *, kind: str, source: Source) -> Iterator[tuple[str, list[Any]]]:
    """What the run has read of these records on pages of its own, and could add to no row while they were letters."""
    adapter, key = adapter_of(source), facts.KINDS[kind].key
    wanted = {tuple(record[name] for name in key) for record in records}
    for other in StagedPage.objects.filter(run=page.run_id, stream=page.stream, number__gt=page.number).defer("body").order_by("number"):
        part = adapter.fact(other.stream, other.context)
        if facts.KINDS[part].part_of != kind:
            continue
        try:
            found = list(adapter.clean(source, other.stream, other.content, other.context))
        except UnreadablePage:
            continue  # it has a letter of its own
        good = [one.fact for one in found if isinstance(one, Good)]
        yield part, [one for one in good if tuple(one[name] for name in key) in wanted]


def _records_of(letter: DeadLetter, page: StagedPage, records: Sequence[Good | Bad], *, is_log: bool) -> Sequence[Good | Bad]:
    """All of a page; one record by its number; an event by its id, for as its source is set now there may be others before it."""
    if letter.record_index is None or letter.kind == DeadLetter.Kind.LOST:
        return records
    if not is_log or len(letter.data) >= LONGEST_DATA:
        return records[letter.record_index : letter.record_index + 1]
    for one in records:
        event_id = one.key if isinstance(one, Bad) else one.fact.event_id
        if _record_key(page, event_id, letter.data, kind="record") == letter.key:
            return [one]
    raise ReplayFailed(f"no event of page {page.pk} begins where this one did, as its source is read now: its lines are part of the one before")
