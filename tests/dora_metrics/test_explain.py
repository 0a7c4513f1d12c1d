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
from dora_metrics.calculators.quality_flags import MEANING
from dora_metrics.models import Change, Coverage, Deployment, DORAMetric, Issue, Service
from dora_metrics.period_input import parse_period
from tests.dora_metrics.calculators.examples import at
from tests.dora_metrics.example_service import NOW, a_service
from tests.dora_metrics.stored_rows import repository_of

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


def test_reasons_are_counted_one_by_one(billing):
    found = opened(billing, "change_fail_rate", "2026-01")
    reasons = {name.removeprefix("reasons."): count for name, count in found["sums"].items() if name.startswith("reasons.")}
    assert reasons == found["numbers"]["reasons"]
    assert len(reasons) >= 4


def test_a_member_names_its_rule_its_page_on_github_and_its_staged_page(billing):
    Deployment.objects.filter(external_id=9).update(url="https://github.example/acme/billing/deployments/production", page_id=5)
    found = opened(billing, "change_fail_rate", "2026-01-10")
    [member] = [one for one in found["members"] if one["kind"] == "deployment"]
    assert member["key"] == "9"
    assert "failed: the attempt itself failed" in member["rules"]
    assert "failed: issue 102 is linked to it" in member["rules"]
    assert (member["url"], member["staged_page"]) == ("https://github.example/acme/billing/deployments/production", 5)


def test_an_unlinked_incident_is_a_member_too(billing):
    Issue.objects.filter(number=101).update(url="https://github.example/acme/billing/issues/101", page_id=7)
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


def test_a_partial_period_says_which_of_its_days_count(billing):
    assert "only 11 days of the period count: from 2026-02-01 to 2026-02-12" in command("billing", "deployment_frequency", "2026-02")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nobody", "change_fail_rate", "2026-01"), "there is no service 'nobody'; known: billing"),
        (("billing", "change_fail_rate", "2026-13"), "'2026-13' is no period: write a day as"),
        (("billing", "change_fail_rate", "2026-W54"), "'2026-W54' is no period"),
        (("billing", "change_fail_rate", "January"), "'January' is no period"),
        (("billing", "change_fail_rate", "9999-12"), "'9999-12' is no period"),
        (("billing", "change_fail_rate", "9999-W52"), "'9999-W52' is no period"),
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
    with pytest.raises(selectors.UnknownEnvironment, match=r"known: production, staging"):
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
        ({"period": "2026-13"}, 422, "period: '2026-13' is no period: write a day as 2026-02-28"),
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
