"""What makes the difference between two values of a metric, fact by fact."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dora_metrics.calculators.inputs import Facts
from dora_metrics.calculators.linked_facts import link_facts
from dora_metrics.calculators.metric_interface import Measures, Member
from dora_metrics.calculators.metric_values import metrics_of
from dora_metrics.calculators.movement import (
    COUNTED_IN_NUMERATOR,
    MedianMovement,
    QuotientMovement,
    Side,
    median_without,
    movement,
)
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import Period, collected_part, period_of_date
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import HOUR_S, JANUARY, at
from tests.dora_metrics.calculators.random_facts import FIRST_DAY, LAST_DAY, now, patient, services, settings

JAN = period_of_date(JANUARY, "month")
FEB = period_of_date(at(31).date(), "month")


def attempt(key: str, day: float, *reasons: str) -> Member:
    counts = {"deployments": 1.0, **({"failed": 1.0} if reasons else {})}
    return Member(kind="deployment", key=key, at=at(day), counts=counts, rules=("…",), reasons=reasons)


def fail_rate(*members: Member, collected: Period) -> Side:
    failed = sum("failed" in member.counts for member in members)
    value = failed / len(members) if members else None
    return Side(Measures(n=len(members), value=value, numerator=failed, denominator=len(members)), members, collected)


def moved(before: Side, after: Side, metric: str = "change_fail_rate") -> QuotientMovement:
    found = movement(metric, before, after, time_zone="UTC")
    assert isinstance(found, QuotientMovement)
    return found


def total(found: QuotientMovement) -> Fraction:
    return sum((one.amount for one in found.contributions), Fraction(0)) + found.volume


# --- quotients --------------------------------------------------------------------------------------------------------


def test_each_failure_is_worth_the_mean_of_its_worth_in_the_two_periods_and_the_rest_is_the_number_of_attempts():
    before = fail_rate(attempt("1", 1, "state"), *(attempt(str(number), number) for number in range(2, 5)), collected=JAN)  # 1 of 4
    after = fail_rate(
        attempt("6", 32, "incident"), attempt("7", 33, "incident"), *(attempt(str(n), 34) for n in range(8, 14)), collected=FEB
    )  # 2 of 8
    found = moved(before, after)
    assert (found.difference, found.each, found.denominators) == (0, Fraction(3, 16), (4, 8))
    assert found.volume == Fraction(3, 2) * (Fraction(1, 8) - Fraction(1, 4)) == Fraction(-3, 16)
    assert total(found) == 0


def test_facts_are_grouped_by_reason_with_the_largest_effect_first():
    before = fail_rate(attempt("1", 1, "state"), attempt("2", 2, "state"), attempt("3", 3), attempt("4", 4), collected=JAN)
    after = fail_rate(attempt("5", 32, "incident", "rollback"), attempt("6", 33, "state"), attempt("7", 34), attempt("8", 35), collected=FEB)
    assert [(group.rules, group.before, group.after, group.amount) for group in moved(before, after).groups] == [
        (("incident", "rollback"), 0, 1, Fraction(1, 4)),
        (("state",), 2, 1, Fraction(-1, 4)),
    ]


def test_facts_in_the_direction_of_the_difference_come_first_and_of_those_the_latest():
    before = fail_rate(attempt("1", 1, "state"), attempt("2", 2), collected=JAN)
    after = fail_rate(attempt("5", 32, "state"), attempt("6", 33, "state"), attempt("7", 34), collected=FEB)
    assert [(one.member.key, one.is_before) for one in moved(before, after).contributions] == [("6", False), ("5", False), ("1", True)]
    assert [(one.member.key, one.is_before) for one in moved(after, before).contributions] == [("6", True), ("5", True), ("1", False)]


@pytest.mark.parametrize("is_before", [True, False])
def test_there_is_no_movement_from_or_to_the_unknown(is_before):
    known, unknown = fail_rate(attempt("1", 1), collected=JAN), fail_rate(collected=FEB)
    assert movement("change_fail_rate", *((unknown, known) if is_before else (known, unknown)), time_zone="UTC") is None


def test_the_frequency_is_grouped_by_weekday_with_the_number_of_such_days():
    def frequency(*members: Member, collected: Period) -> Side:
        return Side(Measures(len(members), len(members) / collected.days, len(members), collected.days), members, collected)

    january = frequency(attempt("1", 0), attempt("2", 0.5), collected=JAN)  # 1 January 2026 is a Thursday
    february = frequency(attempt("3", 35), attempt("4", 36), attempt("5", 42), collected=FEB)  # a Thursday, a Friday, a Thursday
    found = moved(january, february, "deployment_frequency")
    assert [(group.rules, group.before, group.after, group.days) for group in found.groups] == [(4, 0, 1, (5, 4)), (3, 2, 2, (5, 4))]
    assert found.denominators == (31, 28)
    assert total(found) == found.difference == Fraction(3, 28) - Fraction(2, 31)


@pytest.mark.slow
@pytest.mark.timeout(600)
@patient
@given(services, settings, st.integers(FIRST_DAY, LAST_DAY), st.integers(1, 9), st.integers(1, 9))
def test_the_amounts_add_up_exactly_to_the_difference_of_the_two_values(facts, chosen, day, length, other_length):
    middle = at(day).date()
    earlier, later = Period(at(day - length).date(), middle, "range"), Period(middle, at(day + other_length).date(), "range")
    for metric in metrics_of(link_facts(facts, chosen, now=now)):
        if metric.coverage:
            parts = [collected_part(period, metric.coverage, chosen.time_zone) for period in (earlier, later)]
            if all(part.days for part in parts):
                before, after = (Side(metric.measure(part, part), metric.members(part), part) for part in parts)
                found = movement(metric.name, before, after, time_zone=chosen.time_zone)
                assert (found is None) == (None in (before.measures.value, after.measures.value))
                if isinstance(found, QuotientMovement):
                    assert_exact(metric.name, before, after, found)
                elif found:
                    assert_each_influence(before, after, found)


def assert_exact(metric, before, after, found):
    quotients = [Fraction(int(side.measures.numerator), int(side.measures.denominator)) for side in (before, after)]
    assert total(found) == found.difference == quotients[1] - quotients[0]
    assert sum(group.amount for group in found.groups) + found.volume == found.difference
    assert [sum(getattr(group, name) for group in found.groups) for name in ("before", "after")] == [
        before.measures.numerator,
        after.measures.numerator,
    ]
    if metric == "deployment_frequency":
        assert all(0 <= group.rules < 7 for group in found.groups)


def assert_each_influence(before, after, found):
    assert found.difference == after.measures.value - before.measures.value
    for one in found.influences:
        side = before if one.is_before else after
        others = [member.counts["seconds"] for member in side.members if "seconds" in member.counts and member is not one.member]
        median = percentile(others, 0.5)
        effect = None if median is None else (side.measures.value - median) * (-1 if one.is_before else 1)
        assert one.amount == effect


def test_every_metric_is_either_a_quotient_or_a_median():
    found = metrics_of(link_facts(Facts(), Settings(), now=now))
    assert {metric.name for metric in found if metric.unit != "seconds"} == set(COUNTED_IN_NUMERATOR)


# --- medians ----------------------------------------------------------------------------------------------------------


def change(key: str, hours: float) -> Member:
    return Member(kind="change", key=key, at=at(1), counts={"n": 1, "seconds": hours * HOUR_S}, rules=("…",))


def lead_time(*members: Member, stages: dict[str, float | None] | None = None) -> Side:
    seconds = [member.counts["seconds"] for member in members if "seconds" in member.counts]
    found = {stage: {"p50": None, "n": 0} for stage in ("coding", "draft", "pickup", "review", "deploy")}
    found |= {stage: {"p50": value, "n": len(seconds)} for stage, value in (stages or {}).items()}
    return Side(Measures(n=len(seconds), value=percentile(seconds, 0.5), details={"stages": found}), members, JAN)


def median_moved(before: Side, after: Side) -> MedianMovement:
    found = movement("change_lead_time", before, after, time_zone="UTC")
    assert isinstance(found, MedianMovement)
    return found


def test_the_facts_that_pull_the_median_farthest_into_the_direction_of_the_difference_come_first():
    before = lead_time(change("a", 1), change("b", 2), change("c", 3))
    after = lead_time(change("d", 2), change("e", 9), change("f", 30))
    found = median_moved(before, after)
    assert found.difference == 7 * HOUR_S
    amounts = {one.member.key: one.amount / HOUR_S for one in found.influences}
    assert amounts == {"d": -10.5, "e": -7.0, "f": 3.5, "a": 0.5, "b": 0.0, "c": -0.5}
    assert [one.member.key for one in found.influences] == ["f", "a", "b", "d", "e", "c"]


def test_the_distribution_says_how_many_lie_above_the_median_before():
    found = median_moved(lead_time(change("a", 1), change("b", 2), change("c", 3)), lead_time(change("d", 2), change("e", 9), change("f", 30)))
    assert (found.before.n, found.before.above, found.after.above) == (3, 1, 2)
    assert found.after.percentiles["p50"] == 9 * HOUR_S


def test_a_bot_s_change_has_no_influence():
    bot = Member(kind="change", key="x", at=at(1), counts={"n_bots": 1}, rules=("by a bot",))
    found = median_moved(lead_time(change("a", 1)), lead_time(change("d", 2), bot))
    assert {one.member.key: one.amount for one in found.influences} == {"a": None, "d": None}


def test_the_stage_that_moved_most_comes_first_and_unknown_ones_last():
    before = lead_time(change("a", 1), stages={"coding": 60.0, "pickup": 600.0, "review": 50.0, "deploy": 0.0})
    after = lead_time(change("b", 2), stages={"coding": 90.0, "pickup": 60.0, "deploy": 0.0})
    found = median_moved(before, after).stages
    assert [(stage.stage, stage.difference) for stage in found] == [
        ("pickup", -540.0),
        ("coding", 30.0),
        ("deploy", 0.0),
        ("draft", None),
        ("review", None),
    ]


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30), st.data())
def test_the_median_without_one_value_is_that_of_the_others(values, data):
    ordered = sorted(values)
    position = data.draw(st.integers(0, len(ordered) - 1))
    assert median_without(ordered, position) == percentile(ordered[:position] + ordered[position + 1 :], 0.5)
