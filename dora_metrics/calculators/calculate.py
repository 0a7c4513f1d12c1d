"""All values of a service from all its facts."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from dora_metrics.calculators.change_lead_time import change_lead_time, lead_time
from dora_metrics.calculators.deployment_frequency import deployment_frequency
from dora_metrics.calculators.deployments import PRODUCTION, STREAM_OF, attempts
from dora_metrics.calculators.facts import Attempt, Coverage, Facts, MetricValue, Settings
from dora_metrics.calculators.matching import PROXY, UNKNOWN_SHA, first_carriers, unknown_shas
from dora_metrics.calculators.periods import KINDS, ONE_DAY, Period, joined, local_date, periods_between


def metric_values(facts: Facts, settings: Settings, *, now: datetime, environment: str = PRODUCTION) -> list[MetricValue]:
    """Every metric of every day, week and month that was collected; a period that was not has no value at all.

    `now` bounds the periods: one that has not begun has none either. Raises ValueError on naive datetimes.
    """
    found, source = attempts(facts, settings, environment=environment)
    deployed = joined([_until(facts.coverage.get(STREAM_OF[source]), now)])
    if deployed is None:
        return []
    successes = [attempt for attempt in found if attempt.is_success]
    lost = unknown_shas(successes, facts.parents) if facts.parents else set()
    flags_of = {attempt: set(_flags(attempt, source, lost)) for attempt in successes}
    values = deployment_frequency(successes, list(_periods(deployed, settings)), settings, deployed, environment=environment, flags_of=flags_of)
    # Without pull requests, or without the history that leads from them to a deployment, lead time is unknown.
    needed = ["pull_requests"] if source == "pulls" else ["pull_requests", "commits"]
    both = joined([deployed, *(_until(facts.coverage.get(stream), now) for stream in needed)])
    if both is None:
        return values
    carriers = first_carriers(facts.pull_requests, successes, facts.parents, default_branch=settings.default_branch)
    lead_times = [lead_time(pull, carriers[pull.number], bots=settings.bots) for pull in facts.pull_requests if pull.number in carriers]
    return values + change_lead_time(
        lead_times,
        list(_periods(both, settings)),
        settings,
        both,
        environment=environment,
        unknown_sha_dates=[local_date(attempt.finished_at, settings.time_zone) for attempt in lost],
    )


def _until(coverage: Coverage | None, now: datetime) -> Coverage | None:
    return coverage and Coverage(coverage.since, min(coverage.until, now))


def _flags(attempt: Attempt, source: str, lost: Iterable[Attempt]) -> Iterator[str]:
    if source == "pulls":
        yield PROXY
    if attempt in lost:
        yield UNKNOWN_SHA


def _periods(coverage: Coverage, settings: Settings) -> Iterator[Period]:
    first = local_date(coverage.since, settings.time_zone)
    last = local_date(coverage.until, settings.time_zone)
    for kind in KINDS:
        yield from periods_between(first, last + ONE_DAY, kind)
