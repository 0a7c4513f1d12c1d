"""A second, slow and simple implementation of docs/metrics.md, "Incidents from logs": it visits every minute."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dora_metrics.calculators.inputs import Facts
from dora_metrics.calculators.service_settings import Settings

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Spell:
    """An incident from logs. `end`: the first of the good minutes that ended it; None while it is open."""

    start: datetime
    end: datetime | None


def spells(facts: Facts, settings: Settings, now: datetime) -> list[Spell]:
    """Visit every minute of the logged hours.

    After each hour also visit as many minutes as must be good to end an incident: an incident cannot end later than that.
    """
    if not settings.log_incidents:
        return []
    walk = {part.hour + number * MINUTE for part in facts.log_hours for number in range(60 + settings.log_good_minutes)}
    read, minutes = facts.coverage.get("log_events"), sums(facts)
    found: list[Spell] = []
    start: datetime | None = None
    n_bad = n_good = 0
    for moment in sorted(walk):
        if is_bad(minutes.get(moment, (0, 0)), settings):
            n_bad, n_good = n_bad + 1, 0
            if start is None and n_bad == settings.log_bad_minutes:
                start = moment - (n_bad - 1) * MINUTE
        else:
            n_bad, n_good = 0, n_good + 1
            if start is not None and n_good == settings.log_good_minutes:
                was_read = read is not None and moment + MINUTE <= min(read.until, now)
                found.append(Spell(start, moment - (n_good - 1) * MINUTE if was_read else None))
                start = None
    return found


def sums(facts: Facts) -> dict[datetime, tuple[int, int]]:
    """Return the events and errors of each minute, summed over all logs."""
    found: dict[datetime, tuple[int, int]] = {}
    for part in facts.log_hours:
        for number, (events, errors) in part.minutes.items():
            moment = part.hour + number * MINUTE
            before = found.get(moment, (0, 0))
            found[moment] = (before[0] + events, before[1] + errors)
    return found


def is_bad(counts: tuple[int, int], settings: Settings) -> bool:
    events, errors = counts
    return events >= settings.log_minute_events and errors * 100 > events * settings.log_error_share
