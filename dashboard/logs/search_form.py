"""The search of the log page: what the user entered, and the query of the log store that it means."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import urlencode

from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from dashboard.logs.periods import DEFAULT_PERIOD, PERIODS, period_start
from log_store.search import InvalidQuery, moment_of, query_of
from log_store.store import LogQuery

LEVEL_LABELS: dict[str, Promise] = {
    "debug": gettext_lazy("debug or worse"),
    "info": gettext_lazy("info or worse"),
    "warning": gettext_lazy("warning or worse"),
    "error": gettext_lazy("error or worse"),
    "critical": gettext_lazy("critical"),
    "unknown": gettext_lazy("unknown"),
}


@dataclass(frozen=True, slots=True)
class Search:
    """What the user entered. `start`, `end`: times as texts, or empty. `period`: a quick period, used if both times are empty.

    `is_default_period`: neither times nor a period were given.
    """

    source: str
    start: str
    end: str
    period: str
    level: str
    text: str
    is_default_period: bool

    @classmethod
    def of(cls, given: QueryDict, *, default_source: str) -> "Search":
        start, end, period = (given.get(name, "").strip() for name in ("from", "to", "period"))
        return cls(
            source=given.get("source", "") or default_source,
            start=start,
            end=end,
            period="" if start or end else period or DEFAULT_PERIOD,
            level=given.get("level", ""),
            text=given.get("text", ""),
            is_default_period=not (start or end or period),
        )

    def query(self, *, known: Sequence[str], now: datetime, zone: tzinfo) -> LogQuery:
        """Return the query that it means. Raises InvalidQuery with an explanation."""
        start = period_start(self.period, now, zone).isoformat() if self.period else self.start
        return query_of(self.source, known=known, start=start, end=self.end, level=self.level, contains=self.text, now=now)

    def link(self, **changed: str) -> str:
        """Return a link to this search with some parameters changed. A given `from` or `period` replaces all that says the period."""
        period = {"from": self.start, "to": self.end, "period": self.period}
        if changed.keys() & period.keys():
            period = dict.fromkeys(period, "")
        given = {"source": self.source, "level": self.level, "text": self.text, **period, **changed}
        return "?" + urlencode({name: value for name, value in given.items() if value})

    def context(self, zone: tzinfo) -> dict[str, Any]:
        """Return what the template of the form shows."""
        return {
            "search": self,
            "start_value": _input_value(self.start, zone),
            "end_value": _input_value(self.end, zone),
            "levels": LEVEL_LABELS,
            "periods": [(label, self.link(period=name), name == self.period) for name, (_length, label) in PERIODS.items()],
        }


def _input_value(text: str, zone: tzinfo) -> str:
    """Return the time as an input of type datetime-local takes it: without an offset. An invalid time is left out; the page says why."""
    moment = None
    with suppress(InvalidQuery):
        moment = moment_of(text).astimezone(zone) if text else None
    if moment is None:
        return ""
    precision = "milliseconds" if moment.microsecond else "seconds" if moment.second else "minutes"
    return moment.replace(tzinfo=None).isoformat(timespec=precision)
