"""Incidents from the logs: several minutes in a row with many errors (docs/metrics.md, "Incidents from logs")."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from shlex import quote
from urllib.parse import urlencode

from dora_metrics.calculators.incidents import Incident, LogErrors, LogEvidence
from dora_metrics.calculators.inputs import LogHour, Origin
from dora_metrics.calculators.service_settings import Settings

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
    """The counts of one minute: of all logs of the service together (`total`), and of each log (`by_source`)."""

    total: _Counts = field(default_factory=_Counts)
    by_source: dict[str, _Counts] = field(default_factory=lambda: defaultdict(_Counts))
    page_id: int = 0  # the latest staged page that has errors of this minute


def log_incidents(hours: Iterable[LogHour], settings: Settings, *, until: datetime | None) -> list[Incident]:
    """Return the incidents from the logs, ordered by start.

    `until`: the time up to which all logs have been read. If it is None, every incident is open.
    """
    if not settings.log_incidents:
        return []
    minutes = _minutes(hours)
    bad = sorted(moment for moment, minute in minutes.items() if _is_bad(minute.total, settings))
    found = []
    for bad_minutes in _group_by_incident(bad, settings):
        good_since = bad_minutes[-1] + ONE_MINUTE
        has_ended = until is not None and until >= good_since + settings.log_good_minutes * ONE_MINUTE
        found.append(_incident({moment: minutes[moment] for moment in bad_minutes}, ended_at=good_since if has_ended else None, settings=settings))
    return found


def without_duplicates(from_logs: Iterable[Incident], from_issues: Sequence[Incident], settings: Settings) -> list[Incident]:
    """Return the incidents from the logs without those that are the same outage as an incident from an issue. Each outage counts once.

    The two are the same outage if they overlap, and the incident from the logs begins no later than `log_issue_hours` after the
    start of the incident from the issue. An incident from the logs that begins later is another outage, even if the two overlap,
    because an issue that stays open for months was forgotten.
    """
    first_hours = settings.log_issue_hours * ONE_HOUR
    return [
        incident
        for incident in from_logs
        if not any(_overlap(incident, other) and incident.started_at <= other.started_at + first_hours for other in from_issues)
    ]


def _minutes(hours: Iterable[LogHour]) -> dict[datetime, _Minute]:
    found: dict[datetime, _Minute] = defaultdict(_Minute)
    for part in hours:
        for number, (events, errors) in part.minutes.items():
            minute = found[part.hour + number * ONE_MINUTE]
            minute.total.add(events, errors)
            minute.by_source[part.source].add(events, errors)
            if errors:
                minute.page_id = max(minute.page_id, part.page_id)
    return found


def _is_bad(counts: _Counts, settings: Settings) -> bool:
    return counts.events >= settings.log_minute_events and 100 * counts.errors > settings.log_error_share * counts.events


def _group_by_incident(bad: Sequence[datetime], settings: Settings) -> Iterator[Sequence[datetime]]:
    """Yield the bad minutes of each incident.

    An incident begins with the first `log_bad_minutes` bad minutes in a row. It ends before the first `log_good_minutes` minutes in
    a row that are not bad.
    """
    end_after = (settings.log_good_minutes + 1) * ONE_MINUTE
    for group in _split(bad, end_after):
        position = 0
        for in_a_row in _split(group, 2 * ONE_MINUTE):
            if len(in_a_row) >= settings.log_bad_minutes:
                yield group[position:]
                break
            position += len(in_a_row)


def _split(moments: Sequence[datetime], gap: timedelta) -> Iterator[Sequence[datetime]]:
    """Split sorted moments wherever two neighbours are at least `gap` apart."""
    begin = 0
    for position in range(1, len(moments) + 1):
        if position == len(moments) or moments[position] - moments[position - 1] >= gap:
            yield moments[begin:position]
            begin = position


def _incident(bad: Mapping[datetime, _Minute], *, ended_at: datetime | None, settings: Settings) -> Incident:
    first, last = min(bad), max(bad)
    evidence = LogEvidence(
        first_minute=first,
        last_minute=last,
        bad_minutes=len(bad),
        events=sum(minute.total.events for minute in bad.values()),
        errors=sum(minute.total.errors for minute in bad.values()),
        sources=_errors_by_source(bad, first, last + ONE_MINUTE, settings),
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


def _errors_by_source(bad: Mapping[datetime, _Minute], start: datetime, end: datetime, settings: Settings) -> tuple[LogErrors, ...]:
    sums: dict[str, _Counts] = defaultdict(_Counts)
    for minute in bad.values():
        for source, counts in minute.by_source.items():
            sums[source].add(counts.events, counts.errors)
    found = []
    for name, counts in sums.items():
        if counts.errors:
            url, command = _errors_url(name, start, end, settings), errors_command(name, start, end, settings)
            found.append(LogErrors(name, counts.events, counts.errors, url, command))
    return tuple(sorted(found, key=lambda log: (-log.errors, log.source)))


def _errors_url(source: str, start: datetime, end: datetime, settings: Settings) -> str:
    """Return the path and query of the log page that shows the errors from `start` to `end` (exclusive)."""
    query = urlencode({"source": source, "from": _iso(start), "to": _iso(end), "level": "error"}, safe=":")
    return f"{settings.log_page_url}?{query}"


def errors_command(source: str, start: datetime, end: datetime, settings: Settings) -> str:
    """Return the command that prints the errors from `start` to `end` (exclusive)."""
    return f"{settings.log_command} --source {quote(source)} --from {_iso(start)} --to {_iso(end)} --level error --limit 0"


def _iso(minute: datetime) -> str:
    return f"{minute:%Y-%m-%dT%H:%M:%SZ}"


def _overlap(incident: Incident, other: Incident) -> bool:
    return _begins_before_the_end(incident, other) and _begins_before_the_end(other, incident)


def _begins_before_the_end(incident: Incident, other: Incident) -> bool:
    return other.ended_at is None or incident.started_at < other.ended_at
