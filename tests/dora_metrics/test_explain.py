"""Explanations list a value's members: the deployments, changes and incidents behind it, each with its rule and source.

What the members count for adds up to the numbers of the report.
"""

import json
import re
from datetime import date
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from dora_metrics import explain, selectors
from dora_metrics.calculators.inputs import Facts
from dora_metrics.calculators.quality_flags import MEANING
from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Change, Coverage, Deployment, DORAMetric, Issue, Service
from dora_metrics.period_input import parse_period
from tests.dora_metrics.calculators.examples import at, issue
from tests.dora_metrics.example_service import NOW, a_service
from tests.dora_metrics.stored_rows import repository_of, store

pytestmark = pytest.mark.django_db
# For each metric, the numbers of the report that its members add up to.
SUMS = {
    "deployment_frequency": ("deployments",),
    "change_lead_time": ("n_bots",),
    "change_fail_rate": ("failed", "deployments", "unlinked_incidents"),
    "failed_deployment_recovery_time": ("n_open",),
    "deployment_rework_rate": ("unplanned", "deployments"),
}


@pytest.fixture
def billing() -> Service:
    return a_service("billing")


def opened(service: Service, metric: str, period: str, environment: str = "production") -> dict[str, Any]:
    return explain.explanation(service, metric=metric, period=parse_period(period), environment=environment, moment=NOW)


@pytest.mark.parametrize("metric", explain.METRICS)
def test_the_sums_equal_what_is_stored_in_every_period(billing, metric):
    rows = list(DORAMetric.objects.filter(service=billing, metric=metric).exclude(period="day"))
    assert len(rows) > 5
    for row in rows:
        period = {"week": f"{row.period_start:%G-W%V}", "month": f"{row.period_start:%Y-%m}"}[row.period]
        found = opened(billing, metric, period)
        assert found["value"] == row.value
        assert found["quality_flags"] == row.quality_flags
        assert found["numbers"] == row.details
        assert {name: found["sums"].get(name, 0) for name in SUMS[metric]} == {name: row.details[name] for name in SUMS[metric]}
        assert found["sums"].get("n", row.n) == row.n or metric not in ("change_lead_time", "failed_deployment_recovery_time")


def test_it_is_the_value_of_the_report(billing):
    asked = {"start": date(2026, 1, 1), "end": date(2026, 2, 1), "by": "month", "environment": "production", "time_zone": "UTC"}
    [january] = selectors.report(billing, **asked, now=NOW)["periods"]
    for metric in explain.METRICS:
        reported = january[metric]
        assert opened(billing, metric, "2026-01")["value"] == reported.get("value", reported.get("p50"))


@pytest.mark.parametrize("metric", explain.METRICS)
def test_a_range_is_explained_with_the_numbers_of_its_report(billing, metric):
    asked = {"start": date(2026, 1, 3), "end": date(2026, 1, 29), "by": "range", "environment": "production", "time_zone": "UTC"}
    [period] = selectors.report(billing, **asked, now=NOW)["periods"]
    found = opened(billing, metric, "2026-01-03..2026-01-28")
    reported = period[metric]
    assert found["period"] == {"kind": "range", "start": "2026-01-03", "end": "2026-01-29"}
    assert found["value"] == reported.get("value", reported.get("p50"))
    assert {name: found["sums"].get(name, 0) for name in SUMS[metric]} == {name: reported[name] for name in SUMS[metric]}


@pytest.mark.parametrize("metric", explain.METRICS)
def test_a_range_of_a_month_s_days_has_the_values_of_the_month(billing, metric):
    month, days = opened(billing, metric, "2026-01"), opened(billing, metric, "2026-01-01..2026-01-31")
    same = ("value", "numbers", "sums", "arithmetic", "quality_flags", "members", "collected")
    assert {name: days[name] for name in same} == {name: month[name] for name in same}


def test_reasons_are_counted_one_by_one(billing):
    found = opened(billing, "change_fail_rate", "2026-01")
    reasons = {name.removeprefix("reasons."): count for name, count in found["sums"].items() if name.startswith("reasons.")}
    assert reasons == found["numbers"]["reasons"]
    assert len(reasons) >= 4


def test_a_member_names_its_rule_its_page_on_github_and_its_staged_page(billing):
    Deployment.objects.filter(external_id=9).update(url="https://github.example/acme/billing/deployments/production", page_id=5)
    recompute(billing, moment=NOW)
    found = opened(billing, "change_fail_rate", "2026-01-10")
    [member] = [one for one in found["members"] if one["kind"] == "deployment"]
    assert member["key"] == "9"
    assert "failed: the attempt itself failed" in member["rules"]
    assert "failed: issue 102 is linked to it" in member["rules"]
    assert (member["url"], member["staged_page"]) == ("https://github.example/acme/billing/deployments/production", 5)


def test_an_unlinked_incident_is_a_member_too(billing):
    Issue.objects.filter(number=101).update(url="https://github.example/acme/billing/issues/101", page_id=7)
    recompute(billing, moment=NOW)
    found = opened(billing, "change_fail_rate", "2025-12-31")
    [member] = found["members"]
    assert (member["kind"], member["key"], member["counts"]) == ("incident", "issue 101", {"unlinked_incidents": 1})
    assert (member["url"], member["staged_page"]) == ("https://github.example/acme/billing/issues/101", 7)
    assert found["flags"] == {"unlinked_incidents": MEANING["unlinked_incidents"]}


def test_a_change_says_how_it_was_matched_and_a_bot_s_that_it_is_left_out(billing):
    Change.objects.filter(number=1).update(url="https://github.example/acme/billing/pull/1", title="Add invoices")
    members = {one["key"]: one for one in opened(billing, "change_lead_time", "2026-01")["members"]}
    assert members["pull request 1"]["rules"] == ["has the very commit that was deployed: deployment 1"]
    assert members["pull request 1"]["title"] == "Add invoices"
    assert members["pull request 2"]["counts"] == {"n_bots": 1}
    assert members["pull request 2"]["rules"][0] == "by a bot (ada): left out"


def test_what_was_not_collected_has_no_members_and_says_so(billing):
    found = opened(billing, "change_fail_rate", "2024-01")
    assert (found["value"], found["members"], found["sums"], found["collected"]) == (None, [], {}, None)
    assert found["arithmetic"] == "unknown: the facts that it needs were collected from 2025-12-27 on only"
    assert found["quality_flags"] == ["not_collected"]


@pytest.mark.parametrize("period", ["2027-11", "2026-03", "2026-W08", "2026-02-12"])
@pytest.mark.parametrize("metric", explain.METRICS)
def test_a_period_that_has_not_begun_says_so_and_not_that_it_was_not_collected(billing, metric, period):
    with_now = explain.explanation(billing, metric=metric, period=parse_period(period), environment="production", moment=at(41.9))
    assert (with_now["value"], with_now["members"], with_now["collected"]) == (None, [], None)
    assert with_now["arithmetic"] == "unknown: the period has not begun; today is 2026-02-11"
    assert with_now["flags"] == {"not_begun": MEANING["not_begun"]}


def test_whether_a_period_has_begun_is_asked_in_the_business_s_zone(billing, settings):
    settings.ETL_TIME_ZONE = "Asia/Kolkata"
    found = explain.explanation(billing, metric="change_fail_rate", period=parse_period("2026-02-12"), environment="production", moment=at(41.9))
    assert found["quality_flags"] != ["not_begun"]


def test_what_was_not_collected_yet_says_how_far_it_was(billing):
    found = explain.explanation(billing, metric="change_fail_rate", period=parse_period("2026-04"), environment="production", moment=at(100))
    assert found["arithmetic"] == "unknown: the facts that it needs have been collected up to 2026-02-11 only"
    assert found["quality_flags"] == ["not_collected"]


def test_what_was_never_collected_says_so(billing):
    Coverage.objects.filter(service=billing, stream="issues").delete()
    found = opened(billing, "change_fail_rate", "2026-01")
    assert found["arithmetic"] == "unknown: not all of the facts that it needs were ever collected"


@pytest.mark.parametrize(
    ("metric", "arithmetic"),
    [
        ("deployment_frequency", "7 / 31 days = 0.2258"),
        ("change_fail_rate", "5 / 8 = 0.625"),
        ("deployment_rework_rate", "4 / 7 = 0.5714"),
    ],
)
def test_one_line_says_how_the_value_comes_about(billing, metric, arithmetic):
    assert opened(billing, metric, "2026-01")["arithmetic"] == arithmetic


def command(*words: str) -> str:
    out = StringIO()
    call_command("dora_explain", *words, stdout=out)
    return out.getvalue()


def test_the_command_prints_it_for_people_and_for_machines(billing):
    text = command("billing", "change_fail_rate", "2026-01")
    assert text.startswith("change_fail_rate of billing, production, 2026-01 (UTC)\n  5 / 8 = 0.625\n")
    assert "deployment 9  x" in text
    assert "    failed: the attempt itself failed\n" in text
    assert json.loads(command("billing", "change_fail_rate", "2026-W02", "--json"))["period"] == {
        "kind": "week",
        "start": "2026-01-05",
        "end": "2026-01-12",
    }


def test_the_command_takes_a_range_with_its_first_and_last_day(billing):
    text = command("billing", "change_fail_rate", "2026-01-01..2026-01-31")
    assert text.startswith("change_fail_rate of billing, production, 2026-01-01..2026-01-31 (UTC)\n  5 / 8 = 0.625\n")


def test_a_partial_period_says_which_of_its_days_count(billing):
    assert "only 11 days of the period count: from 2026-02-01 to 2026-02-12" in command("billing", "deployment_frequency", "2026-02")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nobody", "change_fail_rate", "2026-01"), "there is no service 'nobody'; known: billing"),
        (("billing", "change_fail_rate", "2026-13"), "'2026-13' is not a valid period: write a day as"),
        (("billing", "change_fail_rate", "2026-W54"), "'2026-W54' is not a valid period"),
        (("billing", "change_fail_rate", "January"), "'January' is not a valid period"),
        (("billing", "change_fail_rate", "9999-12"), "'9999-12' is not a valid period"),
        (("billing", "change_fail_rate", "9999-W52"), "'9999-W52' is not a valid period"),
        (("billing", "change_fail_rate", "2026-01..2026-02"), "'2026-01..2026-02' is not a valid period"),
        (("billing", "change_fail_rate", "2026-02-29..2026-03-01"), "'2026-02-29' is not a valid date"),
        (("billing", "change_fail_rate", "2026-02-02..2026-02-01"), "'2026-02-02..2026-02-01' ends before it starts"),
        (("", "change_fail_rate", "2026-01"), "there is no service ''; known: billing"),
        (("billing", "change_fail_rate", "2026-01", "--environment", "stage"), "billing was never deployed to 'stage'; known: production"),
    ],
)
def test_wrong_input_is_one_sentence(billing, words, sentence):
    with pytest.raises(CommandError, match=re.escape(sentence)) as raised:
        command(*words)
    assert raised.value.returncode == 2


def test_another_environment_is_computed_when_somebody_asks(billing):
    Deployment.objects.create(
        service=billing,
        repository=repository_of(billing),
        external_id=50,
        environment="staging",
        sha="m1",
        created_at=at(3),
        version_at=at(3),
        statuses=[{"state": "success", "created_at": at(3).isoformat(), "log_url": ""}],
        run_id=0,
        page_id=0,
    )
    assert opened(billing, "deployment_frequency", "2026-01", "staging")["sums"] == {"deployments": 1}
    asked = {"start": date(2026, 1, 1), "end": date(2026, 2, 1), "by": "month", "time_zone": "UTC", "now": NOW}
    report = selectors.report(billing, environment="staging", **asked)
    assert report["periods"][0]["deployment_frequency"]["deployments"] == 1
    assert not DORAMetric.objects.filter(environment="staging").exists()
    with pytest.raises(selectors.UnknownEnvironment, match="did you mean 'staging'"):
        selectors.report(billing, environment="Staging", **asked)


def test_the_api_gives_the_same_to_programs(billing, admin_client):
    with time_machine.travel(NOW, tick=False):
        answer = admin_client.get("/api/v1/explain", {"service": "billing", "metric": "change_fail_rate", "period": "2026-01"})
    assert answer.json() == json.loads(json.dumps(opened(billing, "change_fail_rate", "2026-01")))


@pytest.mark.parametrize(
    ("changed", "status", "sentence"),
    [
        ({"service": "nobody"}, 404, "there is no service 'nobody'; known: billing"),
        ({"metric": "velocity"}, 422, "metric: Input should be 'deployment_frequency', 'change_lead_time'"),
        ({"period": "2026-13"}, 422, "period: '2026-13' is not a valid period: write a day as 2026-02-28"),
        ({"environment": "stage"}, 404, "billing was never deployed to 'stage'"),
        ({"colour": "red"}, 422, "there is no parameter 'colour'; known: environment, metric, period, service"),
    ],
)
def test_what_the_api_cannot_use_is_refused_with_one_sentence(billing, admin_client, changed, status, sentence):
    asked = {"service": "billing", "metric": "change_fail_rate", "period": "2026-01", **changed}
    answer = admin_client.get("/api/v1/explain", asked)
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]


def test_nobody_else_may_ask(billing, client):
    assert client.get("/api/v1/explain", {"service": "billing", "metric": "change_fail_rate", "period": "2026-01"}).status_code == 401


# --- why it moved -----------------------------------------------------------------------------------------------------


def moved(service: Service, metric: str, period: str, against: str) -> dict[str, Any]:
    periods = {"period": parse_period(period), "against": parse_period(against)}
    return explain.comparison(service, metric=metric, **periods, environment="production", moment=NOW)


@pytest.mark.parametrize("metric", ["deployment_frequency", "change_fail_rate", "deployment_rework_rate"])
def test_the_facts_behind_a_difference_add_up_to_it(billing, metric):
    found = moved(billing, metric, "2026-W02", "2026-W01")
    assert found["value"] == opened(billing, metric, "2026-W02")["value"]
    told = found["movement"]
    assert told["before"] == opened(billing, metric, "2026-W01")["value"]
    assert sum(fact["amount"] for fact in told["facts"]) + told["volume"] == pytest.approx(found["value"] - told["before"])
    assert sum(group["amount"] for group in told["groups"]) + told["volume"] == pytest.approx(told["difference"])
    json.dumps(found)


def test_a_difference_of_medians_lists_changes_and_stages(billing):
    told = moved(billing, "change_lead_time", "2026-W02", "2026-W01")["movement"]
    assert {(fact["key"], fact["is_before"]) for fact in told["facts"]} >= {("pull request 1", True), ("pull request 7", False)}
    assert {stage["stage"] for stage in told["stages"]} == {"coding", "draft", "pickup", "review", "deploy"}
    assert told["difference"] == pytest.approx(told["distributions"]["after"]["percentiles"]["p50"] - told["before"])


def test_what_changed_a_value_after_its_period_was_over_is_listed(billing):
    store(billing, Facts(issues=(issue(103, at(6.5)),)))
    recompute(billing, run_id=77, moment=NOW)
    [revision] = moved(billing, "change_fail_rate", "2026-01", "2025-12")["movement"]["revisions"]
    assert (revision["before"], revision["after"], revision["run"], revision["start"]) == (5 / 8, 6 / 8, 77, "2026-01-01")


def test_nothing_is_said_about_a_difference_to_the_unknown(billing):
    told = moved(billing, "change_fail_rate", "2026-01", "2024-01")["movement"]
    assert (told["before"], told["difference"]) == (None, None)
    assert "facts" not in told
    assert "nothing to compare: one of the two values is unknown" in command("billing", "change_fail_rate", "2026-01", "--against", "2024-01")


def test_the_command_says_why_a_share_moved(billing):
    store(billing, Facts(issues=(issue(103, at(6.5)),)))
    recompute(billing, run_id=77, moment=NOW)
    text = command("billing", "change_fail_rate", "2026-W02", "--against", "2026-W01")
    part = text[text.index("why it moved") :].splitlines()
    assert part[:4] == [
        "why it moved against 2026-W01 (2 / 4 = 0.5)",
        "  +50.0 points in all; one fact is worth 25.0%",
        "  +0.0 points  4 deployments, before 4",
        "  +25.0 points  hotfix: 1, before 0",
    ]
    assert any(line.startswith("  +25.0 points  2026-01-10 00:00:00 UTC  deployment 9  x") for line in part)
    assert any(line.startswith("  -25.0 points  2026-01-03 ") and line.endswith("no more") for line in part)
    assert re.search(r"late facts: since .+ by run 77, the week of 2026-01-05 has 100\.0% instead of 75\.0%", part[-1])


def test_the_command_says_why_a_median_moved(billing):
    text = command("billing", "change_lead_time", "2026-W02", "--against", "2026-W01")
    part = text[text.index("why it moved") :]
    assert "  before: 2 durations, p25 " in part
    assert "  coding: " in part
    assert "pull request 7" in part


def test_a_wrong_period_to_compare_with_is_one_sentence(billing):
    with pytest.raises(CommandError, match="'2026-13' is not a valid period"):
        command("billing", "change_fail_rate", "2026-01", "--against", "2026-13")
