"""The numbers of /metrics, read from the database, the broker and the log store at the moment of the scrape.

So every gunicorn worker gives the same answer, and no process has to keep counters. Numbers about runs that have ended cover the last 24
hours. Times are given as seconds since 1970, as is usual with Prometheus: `time() - callcentersite_…_timestamp_seconds` is the age.
`deploy/prometheus/alerts.yml` and `deploy/grafana/dashboard.json` use these names.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.utils.timezone import now
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from etl_tasks import component_states, heartbeats, ledger, ledger_statistics
from etl_tasks.bounded_checks import BoundedCheck, Unanswered
from etl_tasks.models import ETLRun, Fault, GitHubBudget
from etl_tasks.night_report import NeedKind, report_last_night
from etl_tasks.overdue_sources import overdue_sources

logger = logging.getLogger(__name__)

PREFIX = "callcentersite"
WINDOW = timedelta(hours=24)
OUTCOMES = ("succeeded", "failed", "missing", "under way", "postponed", "waiting")

_collection = BoundedCheck()


def exposition(*, accept: str, timeout_s: float) -> tuple[str, bytes]:
    """Return the content type and the body in the format that the scraper accepts.

    What cannot be read is left out: if the database does not work, only the states of the components remain. If it hangs for longer than
    `timeout_s`, the body says only that the database does not work.
    """
    try:
        metrics: list[Metric] = _collection.begin(collect)(timeout_s)
    except Unanswered:
        metrics = [_components([component_states.ComponentState(component_states.DATABASE, is_ok=False)])]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(metrics))
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


class _Collected(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def collect() -> list[Metric]:
    states = component_states.component_states()
    metrics = [_components(states)]
    are_ok = {state.name: state.is_ok for state in states}
    if are_ok[component_states.MIGRATIONS]:
        for group in (_night, _sources, _runs, _letters, _github, _life):
            try:
                metrics += group(now())
            except DatabaseError:
                logger.exception("metrics_incomplete", extra={"group": group.__name__})
        if are_ok[component_states.BROKER] and (lengths := component_states.queue_lengths()) is not None:
            metrics.append(_labelled("queue_messages", "Messages that wait in a queue", ["queue"], lengths))
    return metrics


def _components(states: Iterable[component_states.ComponentState]) -> Metric:
    values = {state.name: float(state.is_ok) for state in states if state.is_ok is not None}
    return _labelled("component_up", "1 if the component works, 0 if not; absent if that is unknown", ["component"], values)


def _night(moment: datetime) -> Iterator[Metric]:
    report = report_last_night(moment)
    if report.due:
        yield _single("last_night_due_timestamp_seconds", "When the last night was due", report.due.timestamp())
    states = Counter(dict.fromkeys(OUTCOMES, 0) | Counter(outcome.state for outcome in report.outcomes))
    help_text = "Enabled sources by what became of them last night"
    yield _labelled("last_night_sources", help_text, ["outcome"], {state.replace(" ", "_"): count for state, count in states.items()})
    needs = Counter(dict.fromkeys(NeedKind, 0) | Counter(need.kind for need in report.needs))
    yield _labelled("needs_a_person", "Problems that a person must solve, as `etl_status` lists them", ["kind"], needs)
    faults = dict.fromkeys(Fault.objects.values_list("name", flat=True), 1)
    yield _labelled("fault", "1 for each step of the sweep or of the start of a night that keeps failing", ["name"], faults)


def _sources(moment: datetime) -> Iterator[Metric]:
    successes = ledger_statistics.last_successes()
    yield _single("sources_enabled", "Sources that are collected", len(successes))
    known = {name: when.timestamp() for name, when in successes.items() if when}
    help_text = "When the latest successful run of a source ended; absent if there was none"
    yield _labelled("source_last_success_timestamp_seconds", help_text, ["source"], known)
    late = {source.name for source, _, _ in overdue_sources(moment)}
    help_text = "1 if a source has had no successful run for longer than its alert rule or ETL_OVERDUE_HOURS allows"
    yield _labelled("source_overdue", help_text, ["source"], {name: int(name in late) for name in successes})


def _runs(moment: datetime) -> Iterator[Metric]:
    yield _labelled("runs_active", "Runs that have not ended", ["status", "stage"], _with_zeros(ledger_statistics.active_runs()))
    ended = ledger_statistics.ended_runs(moment - WINDOW)
    yield _labelled("runs_ended_24h", "Runs that ended in the last 24 hours", ["status"], ended.by_status)
    help_text = (
        "Records of the runs that ended in the last 24 hours; extracted = loaded + skipped + dead_lettered + waiting, unparsed ones are also loaded"
    )
    yield _labelled("records_24h", help_text, ["count"], ended.records)
    stages = ended.stages.items()
    counts = {stage: one.count for stage, one in stages}
    yield _labelled("stage_runs_24h", "Runs that ended in the last 24 hours and went through the stage", ["stage"], counts)
    means = {stage: one.total_seconds / one.count for stage, one in stages if one.count}
    help_text = "The mean duration of a stage, with its waits, in the runs that ended in the last 24 hours"
    yield _labelled("stage_mean_seconds_24h", help_text, ["stage"], means)
    longest = {stage: one.longest_seconds for stage, one in stages if one.count}
    help_text = "The longest duration of a stage, with its waits, in the runs that ended in the last 24 hours"
    yield _labelled("stage_longest_seconds_24h", help_text, ["stage"], longest)


def _with_zeros(active: dict[tuple[str, str], int]) -> dict[tuple[str, str], float]:
    return {(status, stage): active.get((status, stage), 0) for status in ETLRun.ACTIVE for stage in ledger.STAGES}


def _letters(moment: datetime) -> Iterator[Metric]:
    count, oldest = ledger_statistics.open_letters()
    yield _single("dead_letters_open", "Dead letters that are open", count)
    if oldest:
        yield _single(
            "dead_letter_oldest_timestamp_seconds", "When the oldest open dead letter was written; absent if none is open", oldest.timestamp()
        )


def _github(moment: datetime) -> Iterator[Metric]:
    budgets = {(budget.credential or "default", budget.resource): budget for budget in GitHubBudget.objects.all()}
    labels = ["credential", "resource"]
    left = {key: budget.remaining_at(moment) for key, budget in budgets.items()}
    yield _labelled("github_budget_remaining", "What is left of GitHub's hourly limit, as its latest answer said", labels, left)
    yield _labelled("github_budget_limit", "GitHub's hourly limit", labels, {key: budget.limit for key, budget in budgets.items()})
    resets = {key: budget.resets_at.timestamp() for key, budget in budgets.items()}
    yield _labelled("github_budget_reset_timestamp_seconds", "When GitHub's hourly limit begins anew", labels, resets)


def _life(moment: datetime) -> Iterator[Metric]:
    if sent := component_states.beat_sent_at():
        yield _single("beat_last_sent_timestamp_seconds", "When beat last sent a task", sent.timestamp())
    seen = heartbeats.last_seen()
    if swept := seen.get(heartbeats.SWEEP):
        yield _single("sweep_last_run_timestamp_seconds", "When a worker last began the sweep", swept.timestamp())
    queues = component_states.needed_queues()
    served = {queue: seen[name].timestamp() for queue in queues if (name := heartbeats.name_of_queue(queue)) in seen}
    yield _labelled("queue_last_served_timestamp_seconds", "When a worker was last seen to take messages from the queue", ["queue"], served)


def _single(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", help_text, value=value)


def _labelled(name: str, help_text: str, labels: list[str], values: Mapping[Any, float]) -> Metric:
    """Return a gauge with labels. `values`: by the label's value, or by a tuple of values if there are several labels."""
    family = GaugeMetricFamily(f"{PREFIX}_{name}", help_text, labels=labels)
    for key, value in values.items():
        family.add_metric([key] if isinstance(key, str) else list(key), value)
    return family
