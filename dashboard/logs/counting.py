"""Count the events of a search for its chart, without reading more than a page may cost."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from log_store.counts import HOUR, hour_of
from log_store.store import LogPage, LogQuery, LogStore

MOST_COUNTED = 50_000  # events that are counted one by one for a page, which takes about a tenth of a second
SHORT = timedelta(hours=3)  # a period up to this length has bars of minutes


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of events by time and level.

    `by_time`: the keys are the start of a minute or an hour, and the level. `by_minute`: whether all times are minutes. `ignores_text`: events with
    another text than the search's are counted too. `has_whole_hours`: events outside the period, in its first and last hour, are counted too.
    """

    by_time: Mapping[tuple[datetime, str], int]
    by_minute: bool = False
    ignores_text: bool = False
    has_whole_hours: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether exactly the events of the search are counted."""
        return not self.ignores_text and not self.has_whole_hours


def counts_of_page(page: LogPage) -> Counts:
    """Return the counts of a page that has all events of its search."""
    return Counts(Counter((event.time.replace(second=0, microsecond=0), event.level) for event in page.events), by_minute=True)


def counts_of_search(store: LogStore, query: LogQuery, *, now: datetime) -> Counts:
    """Return the counts of the events of the query's period and levels.

    Whole hours come from the store's table of counts. The rest of the period is counted one by one, unless it has more than MOST_COUNTED events.
    """
    ignores_text = bool(query.contains)
    by_hour = store.counts(query.source, hour_of(query.start), query.end)
    if query.end - query.start <= SHORT and sum(by_hour.values()) <= MOST_COUNTED:
        by_minute = store.minute_counts(query.source, query.start, query.end)
        return Counts(_of_levels(by_minute, query), by_minute=True, ignores_text=ignores_text)
    cut_hours = _cut_hours(query, now)
    if sum(events for (hour, _level), events in by_hour.items() if hour in cut_hours) > MOST_COUNTED:
        return Counts(_of_levels(by_hour, query), ignores_text=ignores_text, has_whole_hours=True)
    found = Counter({key: events for key, events in by_hour.items() if key[0] not in cut_hours})
    for hour in cut_hours:
        found.update(store.minute_counts(query.source, max(hour, query.start), min(hour + HOUR, query.end)))
    return Counts(_of_levels(found, query), ignores_text=ignores_text)


def _cut_hours(query: LogQuery, now: datetime) -> list[datetime]:
    """Return the hours that lie only partly in the period. The current hour counts as whole."""
    first, last = hour_of(query.start), hour_of(query.end)
    cut = {first} if first != query.start else set()
    if last != query.end and query.end < now:
        cut.add(last)
    return sorted(cut)


def _of_levels(counts: Mapping[tuple[datetime, str], int], query: LogQuery) -> dict[tuple[datetime, str], int]:
    return {key: events for key, events in counts.items() if not query.levels or key[1] in query.levels}
