"""Replay dead letters in this process.

The staged data of a letter is cleaned and loaded again. Only a record that GitHub did not return is requested again. If a whole stage
failed, its run continues at that stage.
"""

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from django.db import OperationalError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from etl_tasks import dead_letters, inline, ledger, pipeline, stages
from etl_tasks.crash_points import commit, crash_points
from etl_tasks.dead_letters import refuse_unless_open
from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.fact_kinds import KINDS
from etl_tasks.fault_isolation import SomeFailed
from etl_tasks.loaders import facts, log_facts
from etl_tasks.loaders.metrics import updating_metrics
from etl_tasks.models import DeadLetter, ETLRun, Source, StagedPage
from etl_tasks.outcomes import Bad, Good, UnreadablePage
from etl_tasks.sources.adapter import LOG_EVENT
from etl_tasks.sources.registry import adapter_of
from log_store.opening import open_log_store
from log_store.store import LogStoreUnavailable

logger = logging.getLogger(__name__)


class ReplayFailed(Exception):
    """The letter was not replayed. The message says why; `describe_failure` adds the letter's state."""


def replay_letter(letter: DeadLetter, *, by: str) -> None:
    """Process the letter's data again and close the letter. `by` names who asked. Raises ReplayFailed, NotOpen."""
    refuse_unless_open(letter)
    if letter.source.deletion_began_at:
        raise ReplayFailed(_("source %(source)s is being deleted") % {"source": letter.source})
    if letter.kind == DeadLetter.Kind.STAGE:
        _replay_stage(letter, by=by)  # if the stage fails again, `bury_stage` counts the attempt in the letter
        return
    with crash_points("replay.attempt"):
        DeadLetter.objects.filter(pk=letter.pk).update(attempts=F("attempts") + 1)
    try:
        page = _request_again(letter) if letter.kind == DeadLetter.Kind.LOST else letter.page
        if page is None:
            raise ReplayFailed(_without_copy(letter))
        _replay_records(letter, page)
    except ReplayFailed:
        raise
    except (RetriableError, LogStoreUnavailable, OperationalError) as exc:
        raise ReplayFailed(_("it may pass by itself, try again later: %(error)s") % {"error": exc}) from exc
    except FatalError as exc:
        raise ReplayFailed(str(exc)) from exc
    except Exception as exc:  # any error must fail only this letter, not the other letters of the same command
        logger.exception("replay_failed", extra={"letter": letter.pk})
        raise ReplayFailed(f"{type(exc).__name__}: {exc}") from exc
    if not dead_letters.resolve(letter, DeadLetter.State.REPLAYED, by=by):
        refuse_unless_open(letter)


def describe_failure(letter: DeadLetter, exc: ReplayFailed) -> str:
    """Return a sentence with the reason and the letter's state.

    The letter may be closed although the replay failed: its own stage succeeded, and a later stage of the run failed.
    """
    letter.refresh_from_db(fields=["state"])
    if letter.state == DeadLetter.State.OPEN:
        return _("letter %(letter)s stays open: %(reason)s") % {"letter": letter.pk, "reason": exc}
    values = {"letter": letter.pk, "state": _(letter.state), "reason": exc}
    return _("letter %(letter)s is %(state)s, but %(reason)s") % values


def reopen_run(letter: DeadLetter) -> None:
    """Make the failed run of a stage letter active again, so that it can continue. The letter is closed when the stage succeeds.

    Raises ReplayFailed, NotOpen.
    """
    refuse_unless_open(letter)
    if not ledger.reopen(letter.run):
        letter.run.refresh_from_db(fields=["status"])
        is_failed = letter.run.status == ETLRun.Status.FAILED
        reason = (
            _("%(source)s has another run under way: see etl_status") if is_failed else _("run %(run)s is %(status)s, not failed: see etl_status")
        )
        values = {"source": letter.source, "run": letter.run_id, "status": str(letter.run.get_status_display()).lower()}
        raise ReplayFailed(reason % values)


def resend_stage(letter: DeadLetter) -> None:
    """Make the failed run of a stage letter active again, and send it to the workers. Raises ReplayFailed, NotOpen.

    The web pages use this function, because the web process may lack the credentials and the log files.
    """
    if letter.source.deletion_began_at:
        raise ReplayFailed(_("source %(source)s is being deleted") % {"source": letter.source})
    reopen_run(letter)
    transaction.on_commit(partial(pipeline.send_all, [letter.run]))


def replay_alike(letter_id: int, *, by: str, after: int = 0, until: float = math.inf) -> int | None:
    """Replay the open letters that have the cause of this one, by their ids, beginning after the id `after`.

    A letter that fails again stays open, and the others are tried. Return None when all were tried, or the id after which to continue
    if the time `until`, a value of `time.monotonic`, was too short. `letter_id`: may be closed meanwhile; its cause is still known.
    """
    letter = DeadLetter.objects.filter(pk=letter_id).first()
    if letter is None:
        return None
    act = resend_stage if letter.kind == DeadLetter.Kind.STAGE else partial(replay_letter, by=by)
    letters = dead_letters.alike(letter).select_related("source__service", "run", "page")
    for pk in list(letters.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)):
        if time.monotonic() > until:
            return after
        after = pk
        for chosen in letters.filter(pk=pk):  # read one at a time: a letter may have a large record, or be closed meanwhile
            try:
                act(chosen)
            except (ReplayFailed, dead_letters.NotOpen, SomeFailed) as exc:
                logger.warning("replay_failed", extra={"letter": pk, "reason": str(exc)})
    return None


def _replay_stage(letter: DeadLetter, *, by: str) -> None:
    if letter.run.stage == ETLRun.Stage.EXTRACT and not letter.source.is_here:
        raise ReplayFailed(
            _("%(reason)s, or replay the letter on its page, which leaves it to a worker") % {"reason": inline.on_another_host(letter.source)}
        )
    reopen_run(letter)
    try:
        inline.run_remaining_stages(letter.run_id)
    except inline.StageFailed as exc:
        raise ReplayFailed(_("%(stage)s failed: %(error)s") % {"stage": _(ETLRun.Stage(exc.stage).label).lower(), "error": exc}) from exc
    except inline.EventsWait:
        pass  # the data is accounted for: the run has ended, and its log events are loaded when the log store is back
    except (inline.Interrupted, inline.Postponed) as exc:
        raise ReplayFailed(_("run %(run)s is %(postponed)s; its good end closes the letter") % {"run": letter.run_id, "postponed": exc}) from exc
    except ledger.LeaseNotHeld as exc:
        raise ReplayFailed(_("a worker has taken run %(run)s: see etl_status") % {"run": letter.run_id}) from exc
    with crash_points("replay.credit"):
        DeadLetter.objects.filter(pk=letter.pk).update(attempts=F("attempts") + 1, resolved_by=by[:150])


def _request_again(letter: DeadLetter) -> StagedPage:
    """Ask the source for a record that it did not return, and stage the answer as one more page of the letter's run."""
    page = adapter_of(letter.source).ask_again(letter.source, letter.stream, json.loads(letter.data))
    last = letter.run.pages.order_by("-number").values_list("number", flat=True).first() or 0
    # Marked as clean, so that the run does not process the page: the replay of the letter does.
    with crash_points("replay.page"):
        return stages.stage_page(letter.run, page, last + 1, is_clean=True)


def _replay_records(letter: DeadLetter, page: StagedPage) -> None:
    """Clean the letter's records and load them.

    No lease is needed, because loading a record twice changes nothing: facts have a natural key and a version, and log events an id.
    """
    source = letter.source
    kind, good = _good_records(letter, page)
    origin = {"run_id": letter.run_id, "page_id": page.pk}
    if kind == LOG_EVENT:
        with crash_points("replay.log_store"):
            tallies = open_log_store().write(good)
        with commit("replay.log_events"), updating_metrics(source.service, run_id=letter.run_id):
            log_facts.upsert(source.service, source=source.name, events=good, tallies=tallies, **origin)
    else:
        parts = list(_parts_of(good, page, kind=kind, source=source))
        with commit("replay.facts"), updating_metrics(source.service, run_id=letter.run_id):
            for kind_name, rows in [(kind, good), *parts]:
                facts.upsert(kind_name, rows, repository=source.ensure_facts_repository(), **origin)


def _good_records(letter: DeadLetter, page: StagedPage) -> tuple[str, list[Any]]:
    """Clean the page again, and return the kind of its facts and the letter's facts. Raises ReplayFailed if one of them is still bad."""
    adapter = adapter_of(letter.source)
    try:
        records = list(adapter.clean(letter.source, page.stream, page.content, page.context))
    except UnreadablePage as exc:
        raise ReplayFailed(str(exc)) from exc
    kind = adapter.fact(page.stream, page.context)
    chosen = _records_of(letter, page, records, is_log=kind == LOG_EVENT)
    bad = [record for record in chosen if isinstance(record, Bad)]
    if bad or not chosen:
        missing = _("page %(page)s has no record %(index)s") % {"page": page.pk, "index": letter.record_index}
        raise ReplayFailed(bad[0].error if bad else missing)
    return kind, [record.fact for record in chosen if isinstance(record, Good)]


def reason_against(letter: DeadLetter) -> str:
    """Return why a replay of the letter would fail now, or "" if nothing speaks against it. Nothing is stored.

    Only what the staged copy shows is known: whether the servers answer is not tried.
    """
    if letter.kind in (DeadLetter.Kind.STAGE, DeadLetter.Kind.LOST):
        return ""
    if letter.page is None:
        return _without_copy(letter)
    try:
        _good_records(letter, letter.page)
    except ReplayFailed as exc:
        return str(exc)
    except Exception as exc:  # noqa: BLE001  whatever cleaning raises is what a replay would report
        return f"{type(exc).__name__}: {exc}"
    return ""


def _without_copy(letter: DeadLetter) -> str:
    sentence = _("letter %(letter)s has no staged copy (%(error)s): mend its cause; the next run reads it, then discard the letter")
    return sentence % {"letter": letter.pk, "error": letter.error}


def _records_of(letter: DeadLetter, page: StagedPage, records: Sequence[Good | Bad], *, is_log: bool) -> Sequence[Good | Bad]:
    """Return the records of the page that belong to the letter: one, or all if the letter is about the whole page or a lost record.

    A record is found by its index. A log event is found by its id and text, because its index may have changed: if the source's settings
    were changed, the page may be split into other events. If the letter has only the beginning of a long event, the texts cannot be
    compared, and the index is used.
    """
    if letter.record_index is None or letter.kind == DeadLetter.Kind.LOST:
        return records
    if not is_log or len(letter.data) >= dead_letters.LONGEST_DATA:
        return records[letter.record_index : letter.record_index + 1]
    for record in records:
        event_id = record.key if isinstance(record, Bad) else record.fact.event_id
        if dead_letters.record_key(page, event_id, letter.data, kind="record") == letter.key:
            return [record]
    sentence = _("no event of page %(page)s begins where this one did, as its source is read now: its lines are part of the one before")
    raise ReplayFailed(sentence % {"page": page.pk})


def _parts_of(records: Sequence[dict[str, Any]], page: StagedPage, *, kind: str, source: Source) -> Iterator[tuple[str, list[Any]]]:
    """Yield the further parts of these records from later pages of the run, as pairs of a kind and its parts.

    A part has more items of the lists inside a record, for example more statuses of a deployment, which did not fit on its first page.
    The run has read these parts but could not load them: the records were dead letters, so there were no rows to extend.
    """
    adapter, key = adapter_of(source), KINDS[kind].key
    wanted = {tuple(record[name] for name in key) for record in records}
    for later_page in StagedPage.objects.filter(run=page.run_id, stream=page.stream, number__gt=page.number).defer("body").order_by("number"):
        part = adapter.fact(later_page.stream, later_page.context)
        if KINDS[part].part_of != kind:
            continue
        try:
            found = list(adapter.clean(source, later_page.stream, later_page.content, later_page.context))
        except UnreadablePage:
            continue  # the page has its own letter
        good = [record.fact for record in found if isinstance(record, Good)]
        yield part, [fact for fact in good if tuple(fact[name] for name in key) in wanted]
