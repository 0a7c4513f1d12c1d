"""What must hold when everything is quiet again, whatever happened before: one function for all of it.

I1: every extracted record is in its destination or in a dead letter, never in neither. I2: nothing is there twice, and the tables equal those
of an installation without faults. I3: each run has one final state. I4: every failure has exactly one dead letter. I5: replaying all of
them leaves none open, and replaying twice changes nothing. I6: the queues are empty and the workers alive.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from django.db.models import F

from dora_metrics.models import Attempt, DORAMetric, Incident, LogDeployment, LogTraffic, Service
from etl_tasks import pipeline
from etl_tasks.models import CleanBatch, DeadLetter, ETLRun, Source, StagedPage
from log_store.event import LogEvent
from log_store.opening import open_log_store
from log_store.store import LogQuery
from soak.log_files import LogFiles, name_of
from soak.worlds import LOG_BEGIN, ODD_LOG_SERVICE, SERVICES, UNDISTURBED, log_source_of
from tests.tables import BOOKKEEPING, difference_of_services

MOST_SHOWN = 8
EARLIEST, LATEST = LOG_BEGIN.replace(year=2020), LOG_BEGIN.replace(year=2030)
OF_ONE_SOURCE = (*BOOKKEEPING, "key", "ids", "source", "segment", "event_id", "url", "evidence", "deployment", "recovered_by", "computed_at")


def broken_promises(logs: dict[str, LogFiles]) -> list[str]:
    """Return a sentence for everything that is not as it must be; [] if all is well. `logs`: by service."""
    found: list[str] = []
    for name, check in (
        ("I1", records_without_a_place),
        ("I1", lambda: lines_without_a_place(logs)),
        ("I2", lambda: doubled_lines(logs)),
        ("I2", differences_from_undisturbed),
        ("I2", lambda: differences_of_events(logs)),
        ("I3", runs_without_an_end),
        ("I4", failures_without_a_letter),
        ("I4", lambda: lines_with_two_letters(logs)),
        ("I5", open_letters),
        ("I6", idle_parts),
    ):
        found += [f"{name}: {sentence}" for sentence in _first(check())]
    return found


def _first(sentences: Iterable[str]) -> list[str]:
    kept = list(sentences)
    more = [f"and {len(kept) - MOST_SHOWN} more like that"] if len(kept) > MOST_SHOWN else []
    return kept[:MOST_SHOWN] + more


# --- I1 ---------------------------------------------------------------------------------------------------------------


def records_without_a_place() -> Iterator[str]:
    ended_well = ETLRun.objects.filter(status__in=ETLRun.GOOD)
    for run in ended_well.exclude(extracted=F("loaded") + F("skipped") + F("dead_lettered")) | ended_well.exclude(extracted=F("records_processed")):
        counts = f"{run.extracted} extracted, {run.loaded} loaded, {run.skipped} skipped, {run.dead_lettered} dead-lettered, {run.waiting} waiting"
        yield f"{run} is {run.status}, but {counts}, {run.records_processed} processed"
    for page in StagedPage.objects.filter(run__in=ended_well, is_clean=False).defer("body"):
        yield f"{page} was not cleaned, but its run is {page.run.status}"
    batches = CleanBatch.objects.select_related("page__run").defer("records", "page__body")
    for batch in batches.filter(page__run__in=ended_well).exclude(is_loaded=True, is_stored=True):
        yield f"{batch} was not loaded, but its run is {batch.page.run.status}"
    for batch in batches.exclude(page__record_count=F("record_count") + F("dead_lettered")):
        yield f"{batch} has {batch.record_count} good and {batch.dead_lettered} bad records of {batch.page.record_count}"


def lines_without_a_place(logs: dict[str, LogFiles]) -> Iterator[str]:
    for service, files in logs.items():
        stored, letters = Counter(names_of_events(service)), letters_by_line(service, files)
        for number in range(files.written):
            name = name_of(number)
            if name not in stored and not letters.get(name):
                yield f"{name} of {service} is neither stored nor in a letter"


# --- I2 ---------------------------------------------------------------------------------------------------------------


def doubled_lines(logs: dict[str, LogFiles]) -> Iterator[str]:
    for service in logs:
        for name, count in Counter(names_of_events(service)).items():
            if count > 1:
                yield f"{name} of {service} is stored {count} times"


def differences_from_undisturbed() -> Iterator[str]:
    for name, (repositories, has_log) in SERVICES.items():
        ours, undisturbed = Service.objects.get(name=name), Service.objects.get(name=f"{UNDISTURBED}{name}")
        if repositories:
            yield from (f"{name}: {difference}" for difference in difference_of_services(ours, undisturbed))
        if has_log and name != ODD_LOG_SERVICE:  # its bad lines get the time of their neighbours, which a rotation changes
            yield from _difference_of_log_facts(ours, undisturbed)


def _difference_of_log_facts(ours: Service, undisturbed: Service) -> Iterator[str]:
    """Compare everything but the ids of events, which contain the file."""
    for model in (LogDeployment, Attempt, Incident, DORAMetric):
        one, other = (_rows_without_ids(model, service) for service in (ours, undisturbed))
        if one != other:
            yield f"{ours}: {model.__name__}: only here {[*(one - other)][:2]}, only undisturbed {[*(other - one)][:2]}"
    one, other = (_minutes(service) for service in (ours, undisturbed))
    if one != other:
        yield f"{ours}: the counts of {sum(one[minute] != other[minute] for minute in {*one, *other})} minutes differ"


def _rows_without_ids(model: Any, service: Service) -> Counter[str]:
    columns = [field.attname for field in model._meta.concrete_fields if field.attname not in OF_ONE_SOURCE]
    return Counter(
        json.dumps(row, default=str, sort_keys=True).replace(UNDISTURBED, "") for row in model.objects.filter(service=service).values(*columns)
    )


def _minutes(service: Service) -> Counter[str]:
    found: Counter[str] = Counter()
    for hour, minutes in LogTraffic.objects.filter(service=service).values_list("hour", "minutes"):
        for minute, (events, errors) in minutes.items():
            found[f"{hour} {minute}, events"] += events
            found[f"{hour} {minute}, errors"] += errors
    return found


def differences_of_events(logs: dict[str, LogFiles]) -> Iterator[str]:
    for service, files in logs.items():
        ours, undisturbed = (_comparable(source, files) for source in (log_source_of(service), f"{UNDISTURBED}{log_source_of(service)}"))
        for event, count in (ours - undisturbed).items():
            yield f"{service}: only here {count} times: {event[:300]}"
        discarded = {name for name, states in letters_by_line(service, files).items() if DeadLetter.State.DISCARDED in states}
        for event, count in (undisturbed - ours).items():
            if not any(name in event for name in discarded):
                yield f"{service}: missing {count} times: {event[:300]}"


def _comparable(source: str, files: LogFiles) -> Counter[str]:
    """Return the events as texts, without the ids, which contain the file. Of bad lines only the message: they get the time of their neighbours."""
    found: Counter[str] = Counter()
    for event in events_of(source):
        is_bad = "unparsed" in event.extra or any(name in files.poison for name in _names_in(event))
        values = {"message": event.message} if is_bad else {**msgspec.structs.asdict(event), "event_id": "", "source": ""}
        found[json.dumps(values, default=str, sort_keys=True)] += 1
    return found


# --- I3, I4, I5, I6 ---------------------------------------------------------------------------------------------------


def runs_without_an_end() -> Iterator[str]:
    for run in ETLRun.objects.filter(status__in=ETLRun.ACTIVE):
        yield f"{run} is {run.status} in {run.stage}"
    for run in ETLRun.objects.exclude(status__in=ETLRun.ACTIVE).exclude(active_for=None, completed_at__isnull=False, owner=""):
        yield f"{run} is {run.status}, but is still held or has no end"


def failures_without_a_letter() -> Iterator[str]:
    for run in ETLRun.objects.filter(status=ETLRun.Status.FAILED):
        if not DeadLetter.objects.filter(source=run.source_id, kind=DeadLetter.Kind.STAGE, stage=run.stage).exists():
            yield f"{run} failed in {run.stage} ({run.error[:100]}) and has no letter"
    for batch in CleanBatch.objects.filter(dead_lettered__gt=0, page__run__status__in=ETLRun.GOOD).select_related("page__run").defer("records"):
        if not DeadLetter.objects.filter(source=batch.page.run.source_id, stream=batch.page.stream, stage="transform").exists():
            yield f"{batch} has {batch.dead_lettered} bad records and no letter"


def lines_with_two_letters(logs: dict[str, LogFiles]) -> Iterator[str]:
    for service, files in logs.items():
        for name, states in letters_by_line(service, files).items():
            if len(states) > 1:
                yield f"{name} of {service} has {len(states)} letters"


def open_letters() -> Iterator[str]:
    for letter in DeadLetter.objects.filter(state=DeadLetter.State.OPEN):
        yield f"{letter.kind} letter {letter.pk} of {letter.source} is open: {letter.error[:200]}"


def idle_parts() -> Iterator[str]:
    queues = ("extract", "transform", "load", "sweep")
    for queue, length in pipeline.queue_lengths(queues[:-1]).items():
        if length:
            yield f"{length} messages wait in the queue {queue}"
    if missing := {*queues} - pipeline.served_queues():
        yield f"no worker takes {', '.join(sorted(missing))}"
    for source in Source.objects.exclude(active_run=None):
        yield f"{source} has an active run"


# --- lines and events -------------------------------------------------------------------------------------------------


def events_of(source: str) -> Iterator[LogEvent]:
    store, after = open_log_store(), ""
    while True:
        page = store.read(LogQuery(source, EARLIEST, LATEST), after=after, limit=5000)
        yield from page.events
        after = page.following
        if not after:
            return


def names_of_events(service: str) -> Iterator[str]:
    for event in events_of(log_source_of(service)):
        yield from _names_in(event)


def _names_in(event: LogEvent) -> list[str]:
    text = msgspec.json.encode(event).decode()
    return sorted({text[at : at + len(name_of(0))] for at in _positions(text, "line-")})


def names_stored(service: str) -> set[str]:
    """Return the names of the lines that have reached the log store, as the SQL database knows it."""
    found: set[str] = set()
    for batch in CleanBatch.objects.filter(page__run__source__name=log_source_of(service), is_stored=True, record_count__gt=0).iterator(
        chunk_size=20
    ):
        text = batch.content.decode()
        found |= {text[at : at + len(name_of(0))] for at in _positions(text, "line-")}
    return found


def letters_by_line(service: str, files: LogFiles) -> dict[str, list[str]]:
    """Return the states of the letters of each bad line."""
    found: dict[str, list[str]] = {}
    letters = DeadLetter.objects.filter(source__name=log_source_of(service)).exclude(kind=DeadLetter.Kind.STAGE)
    for data, state in letters.values_list("data", "state"):
        for name in {data[at : at + len(name_of(0))] for at in _positions(data, "line-")} & files.poison:
            found.setdefault(name, []).append(state)
    return found


def _positions(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)
