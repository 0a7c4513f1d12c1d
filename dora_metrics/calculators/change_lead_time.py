"""M2, change lead time: from a change's first commit to the first deployment that carries it, and its five stages."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from dora_metrics.calculators.facts import Coverage, MetricValue, PullRequest, Settings
from dora_metrics.calculators.matching import PROXY, TIME_MATCHED, UNKNOWN_SHA, Match
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import Period, collected_part, is_partial, local_date
from dora_metrics.calculators.tiers import TIER_YEAR, lead_time_tier

METRIC, UNIT = "change_lead_time", "seconds"
STAGES = ("coding", "draft", "pickup", "review", "deploy")
BEFORE_GIT = datetime(2005, 1, 1, tzinfo=UTC)
FEW = 10


@dataclass(frozen=True, slots=True)
class LeadTime:
    """One deployed change. Stages in seconds, None where an end is missing."""

    pull: PullRequest
    match: Match
    change_start: datetime
    seconds: float
    stages: Mapping[str, float | None]
    flags: frozenset[str]


def lead_time(pull: PullRequest, match: Match, *, bots: frozenset[str] = frozenset()) -> LeadTime:
    """Raises TypeError on naive datetimes."""
    deployed_at = match.deployment.finished_at
    sane = [moment for moment in pull.authored_at if BEFORE_GIT <= moment <= pull.merged_at]
    start = min([pull.created_at, *sane])
    flags = set()
    if len(sane) < len(pull.authored_at):
        flags.add("clock_skew")
    if deployed_at < pull.merged_at:
        flags.add("deployed_before_merge")
    if match.how == TIME_MATCHED:
        flags.add(TIME_MATCHED)
    if match.deployment.pull_request is not None:
        flags.add(PROXY)
    ready, has_draft = _ready(pull)
    reviewed = _first_review(pull, bots)
    stages = {
        "coding": _seconds(start, pull.created_at),
        "draft": _seconds(pull.created_at, ready) if has_draft else None,
        "pickup": _seconds(ready, reviewed),
        "review": _seconds(reviewed, pull.merged_at),
        "deploy": _seconds(pull.merged_at, deployed_at),
    }
    seconds = max(0.0, (deployed_at - start).total_seconds())
    return LeadTime(pull=pull, match=match, change_start=start, seconds=seconds, stages=stages, flags=frozenset(flags))


def change_lead_time(
    lead_times: Sequence[LeadTime],
    periods: Sequence[Period],
    settings: Settings,
    coverage: Coverage,
    *,
    environment: str,
    unknown_sha_dates: Sequence[date] = (),
) -> list[MetricValue]:
    """One value a period, in the period of deployed_at; bots' changes are left out and counted."""
    zone = settings.time_zone
    by_date = sorted(
        ((local_date(one.match.deployment.finished_at, zone), one) for one in lead_times), key=lambda pair: (pair[0], pair[1].pull.number)
    )
    values = []
    for period in periods:
        part = collected_part(period, coverage, zone)
        if part.days == 0:
            continue
        found = [one for day, one in _within(by_date, part)]
        mine = [one for one in found if not is_bots(one.pull, settings.bots)]
        flags = set().union(*(one.flags for one in mine)) if mine else set()
        if 0 < len(mine) < FEW:
            flags.add("low_n")
        if any(day in part for day in unknown_sha_dates):
            flags.add(UNKNOWN_SHA)
        seconds = [one.seconds for one in mine]
        p50 = percentile(seconds, 0.5)
        values.append(
            MetricValue(
                metric=METRIC,
                environment=environment,
                period_kind=period.kind,
                period_start=period.start,
                period_end=period.end,
                unit=UNIT,
                n=len(mine),
                value=p50,
                p50=p50,
                p75=percentile(seconds, 0.75),
                p90=percentile(seconds, 0.9),
                tier=(tier := lead_time_tier(p50)),
                tier_year=TIER_YEAR if tier else None,
                is_partial=is_partial(period, coverage, zone),
                quality_flags=tuple(sorted(flags)),
                details={"n_bots": len(found) - len(mine), "stages": {stage: _stage(stage, mine) for stage in STAGES}},
            )
        )
    return values


def is_bots(pull: PullRequest, bots: frozenset[str]) -> bool:
    return is_bot(pull.author, pull.author_is_bot, bots)


def is_bot(login: str, is_marked: bool, bots: frozenset[str]) -> bool:
    return is_marked or login.endswith("[bot]") or login in bots


def _within(by_date: Sequence[tuple[date, LeadTime]], period: Period) -> Sequence[tuple[date, LeadTime]]:
    first = bisect_left(by_date, period.start, key=lambda pair: pair[0])
    last = bisect_left(by_date, period.end, key=lambda pair: pair[0])
    return by_date[first:last]


def _stage(stage: str, lead_times: Sequence[LeadTime]) -> dict[str, float | int | None]:
    known = [seconds for one in lead_times if (seconds := one.stages[stage]) is not None]
    return {"p50": percentile(known, 0.5), "n": len(known)}


def _ready(pull: PullRequest) -> tuple[datetime, bool]:
    """When it was first ready for review, and whether a draft stage came before."""
    ready = min((event.at for event in pull.draft_events if event.kind == "ready_for_review"), default=None)
    drafted = min((event.at for event in pull.draft_events if event.kind == "convert_to_draft"), default=None)
    if ready is None or (drafted is not None and drafted < ready):
        return pull.created_at, False
    return ready, True


def _first_review(pull: PullRequest, bots: frozenset[str]) -> datetime | None:
    """The earliest review between creation and merge by a person other than the author."""
    return min(
        (
            review.submitted_at
            for review in pull.reviews
            if pull.created_at <= review.submitted_at <= pull.merged_at
            and not is_bot(review.login, review.is_bot, bots)
            and review.login != pull.author
        ),
        default=None,
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())
