"""A second implementation of the five metrics, from docs/metrics.md alone, with simple loops. The calculators are compared with it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.inputs import Facts, PullRequest
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.naive.attempts import PRODUCTION, order
from tests.dora_metrics.naive.causes import World, is_recovered_early, is_unplanned, reasons_of, recovered_at, world_of
from tests.dora_metrics.naive.periods import Part, local_date, percentile, periods

Values = dict[tuple[str, str, date], dict[str, Any]]
STREAM = {"github": "deployments", "logs": "log_deployments", "releases": "releases", "workflows": "workflow_runs", "pulls": "pull_requests"}
STAGES = ("coding", "draft", "pickup", "review", "deploy")
HOUR_S, DAY_S = 3600, 86400


def naive_values(
    facts: Facts, settings: Settings, *, now: datetime, environment: str = PRODUCTION, ranges: Sequence[tuple[date, date]] | None = None
) -> Values:
    """Return all values by metric, period kind and first day of the period. Durations are in seconds.

    `ranges`: first days, and the days after the last days. If they are given, the periods are these ranges, as far as one of their days
    was collected. No two of them begin on the same day.
    """
    world = world_of(facts, settings, environment, now)
    attempts = [_AttemptOutcome(attempt, reasons_of(world, attempt)) for attempt in world.attempts]
    values: Values = {}
    for metric in METRICS:
        collected = _collected(world, _streams(metric, world.source), now)
        if collected is None:
            continue
        since, until = collected
        zone = ZoneInfo(settings.time_zone)
        wanted = periods(local_date(since, zone), local_date(until, zone)) if ranges is None else [("range", *days) for days in ranges]
        for kind, start, end in wanted:
            part = Part(kind, start, end, since, until, zone, now)
            if not part.days:
                continue
            values[metric, kind, start] = EMPTY | {"is_partial": part.is_partial} | METRICS[metric](world, attempts, part)
            values[metric, kind, start]["quality_flags"] = tuple(sorted(values[metric, kind, start]["quality_flags"]))
    return values


EMPTY: dict[str, Any] = {"value": None, "n": 0, "numerator": None, "denominator": None, "p50": None, "p75": None, "p90": None, "tier": None}


def _streams(metric: str, source: str) -> list[str]:
    needed = [STREAM.get(source, "")]
    if metric == "deployment_frequency":
        return needed
    needed.append("pull_requests")
    if source != "pulls":
        needed.append("commits")
    return needed if metric == "change_lead_time" else [*needed, "issues"]


def _collected(world: World, streams: Sequence[str], now: datetime) -> tuple[datetime, datetime] | None:
    coverage = world.facts.coverage
    if any(stream not in coverage for stream in streams):
        return None
    since = max(coverage[stream].since for stream in streams)
    until = min(min(coverage[stream].until, now) for stream in streams)
    return (since, until) if since <= until else None


class _AttemptOutcome:
    """An attempt, the reasons of its failure, and when it recovered."""

    def __init__(self, attempt: Attempt, reasons: dict[str, list[datetime]]) -> None:
        self.attempt, self.reasons = attempt, reasons
        self.recovered_at = recovered_at(attempt, reasons)
        self.is_recovered_early = is_recovered_early(attempt, reasons)


def _spread(seconds: Sequence[float]) -> dict[str, Any]:
    p50, p75, p90 = (percentile(seconds, share) for share in (0.5, 0.75, 0.9))
    return {"value": p50, "n": len(seconds), "p50": p50, "p75": p75, "p90": p90}


def _low_n(seconds: Sequence[float]) -> set[str]:
    return {"low_n"} if 1 <= len(seconds) <= 9 else set()


def _tier_below(value: float | None, bounds: Sequence[float]) -> str | None:
    if value is None:
        return None
    for tier, bound in zip(("elite", "high", "medium"), bounds, strict=True):
        if value < bound:
            return tier
    return "low"


def flags_of_attempt(world: World, attempt: Attempt) -> set[str]:
    flags = set()
    if attempt.has_skew:
        flags.add("clock_skew")
    if world.source == "pulls":
        flags.add("proxy_pr_merge")
    elif attempt.is_success and attempt.sha:
        ours = [part.parents for part in world.facts.parts if part.repository == attempt.repository]
        if any(part.parents for part in world.facts.parts) and not any(attempt.sha in parents for parents in ours):
            flags.add("unknown_sha")
    return flags


# Deployment frequency


def _deployment_frequency(world: World, _: list[_AttemptOutcome], part: Part) -> dict[str, Any]:
    successes = [success for success in world.successes if part.has(success.finished_at)]
    days = len(part.days)
    flags: set[str] = set()
    for success in successes:
        flags |= flags_of_attempt(world, success)
    per_week = _deploy_days_per_week(world, part)
    return {
        "value": len(successes) / days,
        "n": len(successes),
        "numerator": len(successes),
        "denominator": days,
        "tier": _frequency_tier(world, part, per_week),
        "quality_flags": flags,
        "details": {
            "deployments": len(successes),
            "deploy_days": len({part.date_of(success.finished_at) for success in successes}),
            "deploy_days_per_week": per_week,
        },
    }


def _deploy_days_per_week(world: World, part: Part) -> float | None:
    if part.end - part.start < timedelta(days=7):
        return None
    counts = []
    for sunday in part.days:
        monday = sunday - timedelta(days=6)
        if sunday.weekday() != 6 or part.is_partly_collected(monday, sunday + timedelta(days=1)):
            continue
        dates = {part.date_of(success.finished_at) for success in world.successes}
        counts.append(len([day for day in dates if monday <= day <= sunday]))
    return percentile(counts, 0.5)


def _frequency_tier(world: World, part: Part, per_week: float | None) -> str | None:
    if per_week is None:
        return None
    if per_week >= 5:
        return "elite"
    if per_week >= 1:
        return "high"
    last = part.days[-1]
    for success in world.successes:
        if last - timedelta(days=30) <= part.date_of(success.finished_at) <= last:
            return "medium"
    return "low"


# Change lead time


def is_bot(world: World, login: str, *, is_marked: bool) -> bool:
    return is_marked or login.endswith("[bot]") or login in world.settings.bots


def change_start(pull: PullRequest) -> datetime:
    start = pull.created_at
    for authored_at in pull.authored_at:
        if not is_impossible(pull, authored_at) and authored_at < start:
            start = authored_at
    return start


def is_impossible(pull: PullRequest, authored_at: datetime) -> bool:
    return authored_at < datetime(2005, 1, 1, tzinfo=UTC) or authored_at > pull.merged_at


def stages(world: World, pull: PullRequest, deployed_at: datetime) -> dict[str, float | None]:
    """Return how many seconds each stage of the lead time took; None if the start or end of the stage is missing."""
    readies = [event.at for event in pull.draft_events if event.kind == "ready_for_review"]
    converted = [event.at for event in pull.draft_events if event.kind == "convert_to_draft"]
    was_draft = bool(readies) and not any(at < min(readies) for at in converted)
    ready = min(readies) if was_draft else pull.created_at
    reviews = [
        review.submitted_at
        for review in pull.reviews
        if pull.created_at <= review.submitted_at <= pull.merged_at
        and review.login != pull.author
        and not is_bot(world, review.login, is_marked=review.is_bot)
    ]
    reviewed = min(reviews) if reviews else None
    return {
        "coding": _seconds(change_start(pull), pull.created_at),
        "draft": _seconds(pull.created_at, ready) if was_draft else None,
        "pickup": _seconds(ready, reviewed),
        "review": _seconds(reviewed, pull.merged_at),
        "deploy": _seconds(pull.merged_at, deployed_at),
    }


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())


def flags_of_change(world: World, pull: PullRequest, deployed_at: datetime) -> set[str]:
    flags = set()
    if any(is_impossible(pull, at) for at in pull.authored_at) or pull.merged_at < pull.created_at or pull.closed_at is None:
        flags.add("clock_skew")
    if deployed_at < pull.merged_at:
        flags.add("deployed_before_merge")
    if world.is_by_time:
        flags.add("time_matched")
    if world.source == "pulls":
        flags.add("proxy_pr_merge")
    return flags


def _change_lead_time(world: World, _: list[_AttemptOutcome], part: Part) -> dict[str, Any]:
    flags: set[str] = set()
    seconds: list[float] = []
    n_bots = 0
    by_stage: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for home, pull in world.pulls:
        carrier = world.carriers[home.repository, pull.number]
        if carrier is None or not part.has(carrier.finished_at):
            continue
        if is_bot(world, pull.author, is_marked=pull.author_is_bot):
            n_bots += 1
            continue
        flags |= flags_of_change(world, pull, carrier.finished_at)
        seconds.append(_seconds(change_start(pull), carrier.finished_at) or 0.0)
        for stage, length in stages(world, pull, carrier.finished_at).items():
            if length is not None:
                by_stage[stage].append(length)
    for success in world.successes:
        if part.has(success.finished_at):
            flags |= flags_of_attempt(world, success) & {"unknown_sha"}
    spread = _spread(seconds)
    return spread | {
        "tier": _tier_below(spread["p50"], (DAY_S, 7 * DAY_S, 30 * DAY_S)),
        "quality_flags": flags | _low_n(seconds),
        "details": {"n_bots": n_bots, "stages": {stage: {"p50": percentile(by_stage[stage], 0.5), "n": len(by_stage[stage])} for stage in STAGES}},
    }


# Change fail rate, recovery time and rework rate


def _change_fail_rate(world: World, attempts: list[_AttemptOutcome], part: Part) -> dict[str, Any]:
    flags: set[str] = set()
    finished = [told for told in attempts if part.has(told.attempt.finished_at)]
    reasons: dict[str, int] = {}
    n_failed = n_successes = n_with_incident = 0
    for told in finished:
        flags |= flags_of_attempt(world, told.attempt)
        n_failed += bool(told.reasons)
        for reason in told.reasons:
            reasons[reason] = reasons.get(reason, 0) + 1
        if told.attempt.is_success:
            n_successes += 1
            n_with_incident += "incident" in told.reasons
    n_unlinked = 0
    for incident in world.incidents:
        if not part.has(incident.start) or (world.environment != PRODUCTION and incident.attempt is None):
            continue
        if incident.has_skew:
            flags.add("clock_skew")
        if incident.has_impossible_cause:
            flags.add("impossible_cause")
        if incident.attempt is None:
            n_unlinked += 1
            flags.add("unlinked_incidents")
    value = n_failed / len(finished) if finished else None
    return {
        "value": value,
        "n": len(finished),
        "numerator": n_failed,
        "denominator": len(finished),
        "tier": _fail_tier(value),
        "quality_flags": flags,
        "details": {
            "failed": n_failed,
            "deployments": len(finished),
            "reasons": reasons,
            "unlinked_incidents": n_unlinked,
            "devlake_value": n_with_incident / n_successes if n_successes else None,
        },
    }


def _fail_tier(value: float | None) -> str | None:
    if value is None:
        return None
    for tier, bound in (("elite", 0.05), ("high", 0.10), ("medium", 0.15)):
        if value <= bound:
            return tier
    return "low"


def _recovery_time(world: World, attempts: list[_AttemptOutcome], part: Part) -> dict[str, Any]:
    flags: set[str] = set()
    seconds: list[float] = []
    n_open = 0
    for told in attempts:
        if told.reasons and told.recovered_at is None:
            n_open += part.has(told.attempt.finished_at)
        elif told.recovered_at is not None and part.has(told.recovered_at):
            seconds.append((told.recovered_at - told.attempt.finished_at).total_seconds())
            flags |= flags_of_attempt(world, told.attempt)
            flags |= {"recovered_before_finish"} if told.is_recovered_early else set()
    restored: list[float] = []
    for incident in world.incidents:
        if incident.end is None or not part.has(incident.end) or (world.environment != PRODUCTION and incident.attempt is None):
            continue
        restored.append((incident.end - incident.start).total_seconds())
        if incident.has_skew:
            flags.add("clock_skew")
        if incident.has_impossible_cause:
            flags.add("impossible_cause")
    spread = _spread(seconds)
    return spread | {
        "tier": _tier_below(spread["p50"], (HOUR_S, DAY_S, 7 * DAY_S)),
        "quality_flags": flags | _low_n(seconds),
        "details": {"n_open": n_open, "mean_time_to_restore": {"mean": sum(restored) / len(restored) if restored else None, "n": len(restored)}},
    }


def _rework_rate(world: World, _: list[_AttemptOutcome], part: Part) -> dict[str, Any]:
    flags: set[str] = set()
    successes = [success for success in sorted(world.successes, key=order) if part.has(success.finished_at)]
    n_unplanned = 0
    for success in successes:
        flags |= flags_of_attempt(world, success)
        n_unplanned += is_unplanned(world, success)
    return {
        "value": n_unplanned / len(successes) if successes else None,
        "n": len(successes),
        "numerator": n_unplanned,
        "denominator": len(successes),
        "quality_flags": flags,
        "details": {"unplanned": n_unplanned, "deployments": len(successes)},
    }


METRICS = {
    "deployment_frequency": _deployment_frequency,
    "change_lead_time": _change_lead_time,
    "change_fail_rate": _change_fail_rate,
    "failed_deployment_recovery_time": _recovery_time,
    "deployment_rework_rate": _rework_rate,
}
