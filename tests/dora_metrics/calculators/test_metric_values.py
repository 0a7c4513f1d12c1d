from datetime import date

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.metric_values import metric_values
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import GITHUB, at, covering, deployment, facts, line, pull, run

METRICS = ["deployment_frequency", "change_lead_time", "change_fail_rate", "failed_deployment_recovery_time", "deployment_rework_rate"]


def test_every_day_week_and_month_from_the_first_to_the_last_collected_day_has_a_value():
    values = metric_values(facts(coverage=covering(at(0), at(5, hours=1))), GITHUB, now=at(400))
    for metric in METRICS:
        found = [(v.period_kind, v.period_start) for v in values if v.metric == metric]
        assert found == [
            *(("day", date(2026, 1, day)) for day in range(1, 7)),
            ("week", date(2025, 12, 29)),
            ("week", date(2026, 1, 5)),
            ("month", date(2026, 1, 1)),
        ]


def test_the_deployments_of_the_periods_add_up():
    deployments = tuple(deployment(n, "a", at(n / 3)) for n in range(90))
    values = metric_values(facts(deployments=deployments), GITHUB, now=at(400))
    for kind in ("day", "week", "month"):
        assert sum(v.numerator for v in values if v.metric == "deployment_frequency" and v.period_kind == kind) == 90


def test_the_same_facts_twice_give_the_same_values():
    everything = facts(
        deployments=(deployment(1, "m1", at(0)), deployment(2, "m2", at(1))), pull_requests=(pull(1), pull(2)), parents=line("m1", "m2")
    )
    assert metric_values(everything, GITHUB, now=at(9)) == metric_values(everything, GITHUB, now=at(9))


def test_one_deployment_seen_by_api_and_workflow_counts_once():
    both = facts(deployments=(deployment(1, "a", at(0)),), workflow_runs=(run(1),))
    day = next(v for v in metric_values(both, Settings(), now=at(9)) if v.metric == "deployment_frequency")
    assert day.numerator == 1


def test_the_definition_has_a_version():
    assert DEFINITION_VERSION == "2026.1"
