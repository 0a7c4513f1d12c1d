"""The rows of the overview as CSV, for a spreadsheet. Durations are seconds, shares from 0 to 1, and unknown values empty cells."""

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from dora_metrics.api.csv import csv_lines
from dora_metrics.calculators.periods import ONE_DAY, Period
from dora_metrics.selectors.overview import ServiceRow
from dora_metrics.selectors.period_values import METRICS

PARTS = ("", "_n", "_tier", "_before", "_flags")  # columns of a metric; "_before" is the value of the period before
COLUMNS = ("service", "environment", "first_day", "last_day", *(f"{metric}{part}" for metric in METRICS for part in PARTS))


def csv_of(rows: Iterable[ServiceRow], period: Period, environment: str) -> Iterator[str]:
    return csv_lines((_numbers(row, period, environment) for row in rows), {name: itemgetter(name) for name in COLUMNS})


def _numbers(row: ServiceRow, period: Period, environment: str) -> Mapping[str, Any]:
    first, last = period.start, period.end - ONE_DAY
    found: dict[str, Any] = {"service": row.name, "environment": environment, "first_day": first.isoformat(), "last_day": last.isoformat()}
    for metric in METRICS:
        value = row.values[metric]
        cells = (value.value, value.n, value.tier, row.earlier[metric].value, " ".join(value.flags))
        found |= dict(zip((f"{metric}{part}" for part in PARTS), cells, strict=True))
    return found
