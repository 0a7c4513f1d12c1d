"""Explain why a value moved: compare it with the value of another period, and find the facts that made the difference.

A share, or a number of deployments per day, is a quotient. Each fact that counts in the numerator of one of the two periods, and the
change of the denominator, contribute an amount, and the amounts add up exactly to the difference. A median cannot be split that way.
For it each fact has an influence: how far the median would move without the fact.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dora_metrics.calculators.lead_time_stages import STAGES
from dora_metrics.calculators.metric_interface import Measures, Member
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import ONE_DAY, Period, local_date

# The count that makes a member a part of the numerator.
COUNTED_IN_NUMERATOR: Mapping[str, str] = {
    "deployment_frequency": "deployments",
    "change_fail_rate": "failed",
    "deployment_rework_rate": "unplanned",
}
SHARES = (0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two values that are compared: its numbers, the facts that count in it, and the days that were collected."""

    measures: Measures
    members: Sequence[Member]
    collected: Period


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one fact adds to the difference. `is_before`: it counts in the value of the other period, so its amount is negative."""

    member: Member
    is_before: bool
    amount: Fraction


@dataclass(frozen=True, slots=True)
class Group:
    """Facts that count for the same reason: their numbers in both periods, and the sum of their contributions.

    `rules`: the rules by which they count. For the deployment frequency it is the number of the weekday instead, from 0 (Monday).
    `days`: how many of these weekdays were collected, before and after; None for the other metrics.
    """

    rules: tuple[str, ...] | int
    before: int
    after: int
    amount: Fraction
    days: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class QuotientMovement:
    """The difference of two quotients, split into amounts that add up to it exactly.

    `each`: what one fact in the numerator is worth: the mean of its worth in the two periods. `volume`: what the change of the
    denominator from `denominators[0]` to `denominators[1]` adds. `contributions`: one for each fact in a numerator. Those with the sign
    of the difference come first, and of those the latest. `groups`: the same facts by reason, the largest first.
    """

    difference: Fraction
    each: Fraction
    volume: Fraction
    denominators: tuple[int, int]
    contributions: list[Contribution]
    groups: list[Group]


@dataclass(frozen=True, slots=True)
class Distribution:
    """The durations of one period. `percentiles`: p25, p50, p75 and p90. `above`: how many are greater than the median before."""

    n: int
    percentiles: dict[str, float | None]
    above: int


@dataclass(frozen=True, slots=True)
class Influence:
    """How one duration influences a median.

    `amount`: how far the median moved because the fact came, or because it went (`is_before`); None if there is no median without it.
    """

    member: Member
    is_before: bool
    seconds: float
    amount: float | None


@dataclass(frozen=True, slots=True)
class StageMovement:
    """The medians of one stage of the lead time in the two periods, and their numbers of values."""

    stage: str
    before: float | None
    after: float | None
    n: tuple[int, int]

    @property
    def difference(self) -> float | None:
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True)
class MedianMovement:
    """The difference of two medians.

    `influences`: those of the facts of both periods. Those with the sign of the difference come first, and of those the largest, and of
    equally large ones the one farthest from the median before. `stages`: for the lead time only, the one that moved most first.
    """

    difference: float
    before: Distribution
    after: Distribution
    influences: list[Influence]
    stages: list[StageMovement]


Movement = QuotientMovement | MedianMovement


def movement(metric: str, before: Side, after: Side, *, time_zone: str) -> Movement | None:
    """Return what made the difference between two values of the metric; None if one of them is unknown."""
    if before.measures.value is None or after.measures.value is None:
        return None
    if metric in COUNTED_IN_NUMERATOR:
        return _quotient_movement(metric, before, after, time_zone=time_zone)
    return _median_movement(metric, before, after)


# --- quotients --------------------------------------------------------------------------------------------------------


def _quotient_movement(metric: str, before: Side, after: Side, *, time_zone: str) -> QuotientMovement:
    """Split the difference.

    With b/m before and a/n after: a/n - b/m = (a - b) * (1/n + 1/m) / 2 + (a + b) / 2 * (1/n - 1/m). The first term is the facts',
    each of which is worth (1/n + 1/m) / 2. The second is that of the denominator.
    """
    counted = COUNTED_IN_NUMERATOR[metric]
    gone, come = ([member for member in side.members if member.counts.get(counted)] for side in (before, after))
    m, n = (int(side.measures.denominator or 0) for side in (before, after))
    each = (Fraction(1, m) + Fraction(1, n)) / 2
    contributions = [Contribution(member, False, each) for member in come] + [Contribution(member, True, -each) for member in gone]
    difference = Fraction(len(come), n) - Fraction(len(gone), m)
    contributions.sort(key=lambda one: (_is_against(one.amount, difference), -one.member.at.timestamp()))
    if metric == "deployment_frequency":
        days = tuple(_weekdays(side.collected) for side in (before, after))
        groups = _groups(contributions, lambda member: local_date(member.at, time_zone).weekday(), each)
        groups = [Group(group.rules, group.before, group.after, group.amount, (days[0][_day(group)], days[1][_day(group)])) for group in groups]
    else:
        groups = _groups(contributions, lambda member: member.reasons, each)
    return QuotientMovement(
        difference=difference,
        each=each,
        volume=Fraction(len(come) + len(gone), 2) * (Fraction(1, n) - Fraction(1, m)),
        denominators=(m, n),
        contributions=contributions,
        groups=groups,
    )


def _groups(contributions: Iterable[Contribution], key: Callable[[Member], tuple[str, ...] | int], each: Fraction) -> list[Group]:
    counts: dict[tuple[str, ...] | int, list[int]] = {}
    for one in contributions:
        counts.setdefault(key(one.member), [0, 0])[0 if one.is_before else 1] += 1
    found = [Group(rules, before, after, (after - before) * each) for rules, (before, after) in counts.items()]
    return sorted(found, key=lambda group: (-abs(group.amount), -group.after, group.rules))


def _day(group: Group) -> int:
    if not isinstance(group.rules, int):
        raise TypeError("only the deployment frequency is grouped by weekday")
    return group.rules


def _weekdays(collected: Period) -> list[int]:
    """Return how often each weekday, from Monday, occurs in the period."""
    found = [collected.days // 7] * 7
    for offset in range(collected.days % 7):
        found[(collected.start + offset * ONE_DAY).weekday()] += 1
    return found


def _is_against(amount: float | Fraction, difference: float | Fraction) -> bool:
    """Return whether a fact moved the value into the other direction than the one into which it moved in all."""
    return amount * difference < 0


# --- medians ----------------------------------------------------------------------------------------------------------


def _median_movement(metric: str, before: Side, after: Side) -> MedianMovement:
    earlier, later = ([member for member in side.members if "seconds" in member.counts] for side in (before, after))
    ordered, later_ordered = (sorted(member.counts["seconds"] for member in members) for members in (earlier, later))
    median, later_median = percentile(ordered, 0.5) or 0.0, percentile(later_ordered, 0.5) or 0.0
    influences = [_influence(member, later_ordered, later_median, is_before=False) for member in later]
    influences += [_influence(member, ordered, median, is_before=True) for member in earlier]
    difference = later_median - median
    influences.sort(key=lambda one: (*_order(one.amount, difference), -abs(one.seconds - median), one.member.key))
    return MedianMovement(
        difference=difference,
        before=_distribution(ordered, median),
        after=_distribution(later_ordered, median),
        influences=influences,
        stages=_stages(before.measures, after.measures) if metric == "change_lead_time" else [],
    )


def _order(amount: float | None, difference: float) -> tuple[bool, float]:
    return (False, float("-inf")) if amount is None else (_is_against(amount, difference), -abs(amount))


def _distribution(ordered: Sequence[float], median: float) -> Distribution:
    percentiles = {f"p{share * 100:.0f}": percentile(ordered, share) for share in SHARES}
    return Distribution(n=len(ordered), percentiles=percentiles, above=len(ordered) - bisect_right(ordered, median))


def _influence(member: Member, ordered: Sequence[float], median: float, *, is_before: bool) -> Influence:
    seconds = member.counts["seconds"]
    without = median_without(ordered, bisect_left(ordered, seconds))
    amount = None if without is None else without - median if is_before else median - without
    return Influence(member, is_before, seconds, amount)


def median_without(ordered: Sequence[float], position: int) -> float | None:
    """Return the median of the sorted values without the one at `position`; None if there is no other value."""
    left = len(ordered) - 1
    if not left:
        return None
    low, high = (place + (place >= position) for place in ((left - 1) // 2, left // 2))
    return ordered[low] + (ordered[high] - ordered[low]) * 0.5


def _stages(before: Measures, after: Measures) -> list[StageMovement]:
    found = []
    for stage in STAGES:
        earlier, later = (measures.details["stages"][stage] for measures in (before, after))
        found.append(StageMovement(stage, earlier["p50"], later["p50"], (earlier["n"], later["n"])))
    return sorted(found, key=lambda one: -abs(one.difference) if one.difference is not None else 1.0)
