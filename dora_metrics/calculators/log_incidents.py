"""Incidents that the logs show by themselves, minutes in a row with many errors: docs/metrics.md, "Incidents from logs"."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from dora_metrics.calculators.facts import LogErrors, LogEvidence, LogHour, Origin, Settings
from dora_metrics.calculators.incidents import Incident

ONE_MINUTE, ONE_HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(slots=True)
class _Counts:
    events: int = 0
    errors: int = 0

    def add(self, events: int, errors: int) -> None:
        self.events += events
        self.errors += errors


@dataclass(slots=True)
class _Minute:
    """A minute of all logs of the service together, and of each by itself."""

    all: _Counts = field(default_factory=_Counts)
    of: dict[str, _Counts] = field(default_factory=lambda: defaultdict(_Counts))
    page_id: int = 0  # the latest with errors in it


def log_incidents(hours: Iterable[LogHour], settings: Settings, *, until: datetime | None) -> list[Incident]:
    """By start. `until`: how far all logs have been read; None where nobody knows, and then none has ended."""
    if not settings.log_incidents:
        return []
    minutes = _minutes(hours)
    bad = sorted(moment for moment, minute in minutes.items() if _is_bad(minute.all, settings))
    found = []
    for spell in _spells(bad, settings):
        good_since = spell[-1] + ONE_MINUTE
        has_ended = until is not None and until >= good_since + settings.log_good_minutes * ONE_MINUTE
        found.append(_incident({moment: minutes[moment] for moment in spell}, ended_at=good_since if has_ended else None))
    return found


def without_the_same(from_logs: Iterable[Incident], from_issues: Sequence[Incident], settings: Settings) -> list[Incident]:
    """Those that are no issue's: an outage of which people have written an issue is the issue's, and counts once.

    An issue stands for what overlaps its incident and begins in its first hours. One that is open for months, or was closed after
    months, was forgotten: it is not about all that happened meanwhile.
    """
    stands_for = settings.log_issue_hours * ONE_HOUR
    return [one for one in from_logs if not any(_overlap(one, other) and one.started_at <= other.started_at + stands_for for other in from_issues)]


def _minutes(hours: Iterable[LogHour]) -> dict[datetime, _Minute]:
    found: dict[datetime, _Minute] = defaultdict(_Minute)
    for part in hours:
        for number, (events, errors) in part.minutes.items():
            minute = found[part.hour + number * ONE_MINUTE]
            minute.all.add(events, errors)
            minute.of[part.source].add(events, errors)
            if errors:
                minute.page_id = max(minute.page_id, part.page_id)
    return found


def _is_bad(counts: _Counts, settings: Settings) -> bool:
    return counts.events >= settings.log_minute_events and 100 * counts.errors > settings.log_error_share * counts.events


def _spells(bad: Sequence[datetime], settings: Settings) -> Iterator[Sequence[datetime]]:
    """The bad minutes of each incident: those without enough good ones between them, from the first that has enough bad ones in a row."""
    end_after = (settings.log_good_minutes + 1) * ONE_MINUTE
    for near in _split(bad, end_after):
        position = 0
        for row in _split(near, 2 * ONE_MINUTE):
            if len(row) >= settings.log_bad_minutes:
                yield near[position:]
                break
            position += len(row)


def _split(moments: Sequence[datetime], apart: timedelta) -> Iterator[Sequence[datetime]]:
    """Where one is so long after the one before, or longer."""
    begin = 0
    for position in range(1, len(moments) + 1):
        if position == len(moments) or moments[position] - moments[position - 1] >= apart:
            yield moments[begin:position]
            begin = position


def _incident(bad: dict[datetime, _Minute], *, ended_at: datetime | None) -> Incident:
    first, last = min(bad), max(bad)
    evidence = LogEvidence(
        first_minute=first,
        last_minute=last,
        bad_minutes=len(bad),
        events=sum(minute.all.events for minute in bad.values()),
        errors=sum(minute.all.errors for minute in bad.values()),
        sources=_by_source(bad, first, last),
    )
    worst = evidence.sources[0]
    others = f" and {len(evidence.sources) - 1} more" if len(evidence.sources) > 1 else ""
    return Incident(
        key=f"logs {first:%Y-%m-%dT%H:%MZ}",
        started_at=first,
        ended_at=ended_at,
        title=f"{evidence.errors} errors among {evidence.events} events of {worst.source}{others}",
        origin=Origin(worst.url, bad[first].page_id),
        evidence=evidence,
    )


def _by_source(bad: dict[datetime, _Minute], first: datetime, last: datetime) -> tuple[LogErrors, ...]:
    sums: dict[str, _Counts] = defaultdict(_Counts)
    for minute in bad.values():
        for source, counts in minute.of.items():
            sums[source].add(counts.events, counts.errors)
    end = last + ONE_MINUTE
    found = [LogErrors(name, sums[name].events, sums[name].errors, errors_url(name, first, end)) for name in sums if sums[name].errors]
    return tuple(sorted(found, key=lambda one: (-one.errors, one.source)))


def errors_url(source: str, start: datetime, end: datetime) -> str:
    """The path of the log page with the errors of these minutes; `end` is exclusive."""
    return "/logs/?" + urlencode({"source": source, "from": iso(start), "to": iso(end), "level": "error"}, safe=":")


def iso(minute: datetime) -> str:
    return f"{minute:%Y-%m-%dT%H:%M:%SZ}"


def _overlap(one: Incident, other: Incident) -> bool:
    return _begins_before_the_end(one, other) and _begins_before_the_end(other, one)


def _begins_before_the_end(one: Incident, other: Incident) -> bool:
    return other.ended_at is None or one.started_at < other.ended_at
