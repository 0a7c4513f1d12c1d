"""The pages about values and facts: they show what dora_explain knows, and whatever is asked for, nothing fails."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from dashboard.facts.links import fact_label
from dashboard.facts.views import MEMBERS_PER_PAGE
from dora_metrics import explain
from dora_metrics.calculators.inputs import Facts
from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Attempt, Change, Delivery, Deployment, Incident, Issue, MetricRevision, Repository, Service
from dora_metrics.period_input import parse_period
from tests.dora_metrics.calculators.examples import at, change, deployment, issue
from tests.dora_metrics.example_service import NOW
from tests.dora_metrics.stored_rows import repository_of, store

PERIODS = ("2026-01-10", "2026-W02", "2026-01", "2026-01-02..2026-02-05", "2025-12", "2024-01", "2026-02", "2026-07")
MOST_QUERIES = 15


def value_url(metric: str, period: str, **query: str) -> str:
    path = reverse("dashboard:value", args=["billing", metric, period])
    return f"{path}?{'&'.join(f'{name}={text}' for name, text in query.items())}" if query else path


def text_of(answer: Any) -> str:
    """Return the text of the page, without its markup and with single spaces."""
    body = answer.content.decode()
    assert answer.status_code == 200, body
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body[body.index("<main") :]))


def opened(client: Client, path: str) -> tuple[str, int]:
    """Return the text of the page, and the number of its queries."""
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
    return text_of(answer), len(captured)


# --- a value ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("metric", explain.METRICS)
def test_the_page_of_a_value_has_every_fact_of_its_explanation(lead, billing, metric, period):
    answer = lead.get(value_url(metric, period))
    found = explain.explanation(billing, metric=metric, period=parse_period(period), environment="production", moment=NOW)
    shown = answer.context["found"]
    assert shown.measures.value == found["value"]
    assert [row["key"] for row in found["members"]] == [member.key for member in shown.members]
    text = text_of(answer)
    for row in found["members"][-MEMBERS_PER_PAGE:]:
        assert fact_label(f"deployment {row['key']}" if row["kind"] == "deployment" else row["key"]) in text


def test_the_other_metrics_of_the_period_are_the_values_of_their_explanations(lead, billing):
    others = lead.get(value_url("change_fail_rate", "2026-01")).context["others"]
    for other in others:
        found = explain.explanation(billing, metric=other.metric.name, period=parse_period("2026-01"), environment="production", moment=NOW)
        assert other.measures.value == found["value"]
    assert [other.metric.name for other in others] == list(explain.METRICS)


def test_a_value_says_how_it_is_computed_and_by_which_rule_each_fact_counts(lead, billing):
    text = text_of(lead.get(value_url("change_fail_rate", "2026-01")))
    assert "6 of 8 attempts failed" in text
    assert "failed: the attempt itself failed" in text
    assert re.search(r"failed: +issue 102 +is linked to it", text)
    assert "incident in the logs, 8 Jan 2026, 02:00 UTC" in text
    assert "bad minutes from 8 Jan 2026, 02:00 UTC to 8 Jan 2026, 02:19 UTC" in text


def test_the_neighbours_of_a_period_are_linked_and_the_future_is_not(lead, billing):
    page = lead.get(value_url("change_fail_rate", "2026-W02")).content.decode()
    assert value_url("change_fail_rate", "2026-W01") in page
    assert value_url("change_fail_rate", "2026-W03") in page
    assert value_url("change_fail_rate", "2026-03") not in lead.get(value_url("change_fail_rate", "2026-02")).content.decode()
    ranged = lead.get(value_url("change_fail_rate", "2026-01-08..2026-01-14")).content.decode()
    assert value_url("change_fail_rate", "2026-01-01..2026-01-07") in ranged
    assert value_url("change_fail_rate", "2026-01-15..2026-01-21") in ranged


def test_only_the_failed_or_those_of_one_reason_are_shown_on_request(lead, billing):
    failed = lead.get(value_url("change_fail_rate", "2026-01", only="failed")).context["rows"].object_list
    assert len(failed) == 6
    assert all(member.counts["failed"] for member in failed)
    rolled_back = lead.get(value_url("change_fail_rate", "2026-01", only="rollback")).context["rows"].object_list
    assert [member.key for member in rolled_back] == ["4"]
    everything = lead.get(value_url("change_fail_rate", "2026-01", only="nonsense")).context["rows"].object_list
    assert len(everything) == 8


def test_thousands_of_facts_come_in_pages(lead, billing):
    store(billing, Facts(deployments=tuple(deployment(100 + number, "m7", at(20) + timedelta(minutes=number)) for number in range(120))))
    recompute(billing, moment=NOW)
    first, last = (lead.get(value_url("deployment_frequency", "2026-01", page=page)).context["rows"] for page in ("", "999"))
    assert (len(first.object_list), first.paginator.num_pages, last.number) == (MEMBERS_PER_PAGE, 3, 3)
    assert first.object_list[0].key == "219"
    assert lead.get(value_url("deployment_frequency", "2026-01", page="x")).context["rows"].number == 1


@pytest.mark.parametrize("metric", explain.METRICS)
def test_a_value_takes_few_queries_whatever_the_number_of_facts(lead, billing, metric):
    few = opened(lead, value_url(metric, "2026-01"))[1]
    new = tuple(deployment(100 + number, "m7", at(20) + timedelta(minutes=number), "failure" if number % 2 else "success") for number in range(60))
    pulls = tuple(change(100 + number, merged_at=at(19), merge_sha="m7") for number in range(60))
    store(billing, Facts(deployments=new, pull_requests=pulls, issues=tuple(issue(200 + number, at(21), at(22)) for number in range(20))))
    recompute(billing, moment=NOW)
    assert opened(lead, value_url(metric, "2026-01"))[1] == few <= MOST_QUERIES


def test_settings_that_changed_since_are_mentioned(lead, billing):
    Service.objects.update(needs_recompute=True)
    assert "Settings of this service have changed" in text_of(lead.get(value_url("change_fail_rate", "2026-01")))


# --- why it moved -----------------------------------------------------------------------------------------------------


def test_a_value_is_compared_with_the_period_before(lead, billing):
    answer = lead.get(value_url("change_fail_rate", "2026-W02"))
    comparison, text = answer.context["comparison"], text_of(answer)
    told = explain.comparison(
        billing,
        metric="change_fail_rate",
        period=parse_period("2026-W02"),
        against=parse_period("2026-W01"),
        environment="production",
        moment=NOW,
    )["movement"]
    assert float(comparison.movement.difference) == told["difference"]
    assert [float(one.amount) for one in comparison.movement.contributions] == [fact["amount"] for fact in told["facts"]]
    assert "Why did it move?" in text
    assert "+50.0 points" in text
    assert "worse" in text


def test_a_long_period_is_compared_on_request(lead, billing):
    long = value_url("change_fail_rate", "2025-10-01..2026-02-10")
    answer = lead.get(long)
    assert answer.context["comparison"] is None
    assert "?against=2025-05-21..2025-09-30#why" in answer.content.decode()
    assert lead.get(long, {"against": "2025-05-21..2025-09-30"}).context["comparison"].before.period.days == 133


@pytest.mark.parametrize("metric", explain.METRICS)
@pytest.mark.parametrize("against", ["2026-W01", "2025-12", "2026-01-02..2026-01-09", "2024-01", "2026-W02"])
def test_a_value_may_be_compared_with_any_period(lead, billing, metric, against):
    answer = lead.get(value_url(metric, "2026-W02", against=against))
    assert answer.context["comparison"].before.period == parse_period(against)
    text_of(answer)


def test_what_changed_a_value_after_its_period_was_over_is_listed(lead, billing):
    store(billing, Facts(issues=(issue(103, at(3.5)),)))
    recompute(billing, run_id=77, moment=NOW)
    MetricRevision.objects.filter(metric="change_fail_rate", period="week").update(after={})
    text = text_of(lead.get(value_url("change_fail_rate", "2026-01")))
    assert "Late facts" in text
    assert "run 77" in text
    assert "Late facts" in text_of(lead.get(value_url("change_fail_rate", "2026-W01")))


# --- what cannot be shown ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        (value_url("change_fail_rate", "2026-13"), 404, "2026-13"),
        (value_url("change_fail_rate", "2026-01-09..2026-01-02"), 404, "ends before it starts"),
        (value_url("change_fail_rate", "2026-01", environment="nowhere"), 404, "was never deployed to"),
        (value_url("change_fail_rate", "2026-01", against="soon"), 400, "soon"),
        ("/services/nobody/change_fail_rate/2026-01/", 404, "there is no service"),
        ("/services/billing/velocity/2026-01/", 404, "There is no such page"),
        ("/services/billing/deployments/999/", 404, "billing has no deployment 999"),
        ("/services/billing/incidents/issue~20999/", 404, "billing has no incident issue 999"),
        ("/services/billing/changes/1/999/", 404, "billing has no pull request 999"),
        ("/services/billing/changes/99999999999999999999/99999999999999999999/", 404, "no pull request"),
        ("/services/billing/changes/1/99999999999999999999/", 404, "no pull request"),
        ("/staged/99999999999999999999/", 404, "is not stored"),
        ("/staged/1/", 404, "Staged page 1 is not stored"),
        ("/staged/1/raw/", 404, "Staged page 1 is not stored"),
    ],
)
def test_what_is_not_there_is_a_page_with_a_sentence(lead, billing, path, status, sentence):
    answer = lead.get(path)
    assert answer.status_code == status
    assert sentence in answer.content.decode()


def test_earliest_and_latest_periods_are_shown(lead, billing):
    for period in ("1970-01-01", "1970-W01", "1970-01", "2999-12", "2999-12-31", "1970-01-01..2999-12-31"):
        text_of(lead.get(value_url("deployment_frequency", period)))


PATHS = [
    value_url("change_fail_rate", "2026-01"),
    "/services/billing/deployments/9/",
    "/services/billing/incidents/issue~20102/",
    "/staged/1/",
    "/definitions/",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_login_and_the_permission_are_required(client, billing, path):
    assert client.get(path).url.startswith("/login/")
    user = User.objects.create_user("nobody")
    client.force_login(user)
    assert client.get(path).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_service"))
    assert client.get(path).status_code in (200, 404)
    assert client.post(path).status_code == 405


# --- facts ------------------------------------------------------------------------------------------------------------


def test_a_deployment_says_why_it_failed_what_it_carried_and_what_it_fixed(lead, billing):
    text, queries = opened(lead, reverse("dashboard:deployment", args=["billing", "4"]))
    assert re.search(r"deployment 5 +rolled it back", text)
    assert re.search(r"it carries +pull request 4 +, which closes the incident of an earlier deployment", text)
    assert re.search(r"Recovered by +deployment 5", text)
    assert "Changes that it carried first (1)" in text
    assert queries <= MOST_QUERIES


def test_every_deployment_change_and_incident_has_a_page(lead, billing):
    for attempt in Attempt.objects.all():
        found = lead.get(reverse("dashboard:deployment", args=["billing", attempt.key])).context["found"]
        assert found.outcome.is_failed == bool(attempt.causes)
        assert {one.pull.number for one in found.changes} == set(
            Delivery.objects.filter(deployment=attempt.key).values_list("change__number", flat=True)
        )
    for row in Change.objects.all():
        text_of(lead.get(reverse("dashboard:change", args=["billing", row.repository_id, row.number])))
    for row in Incident.objects.all():
        text_of(lead.get(reverse("dashboard:incident", args=["billing", row.key])))
    assert Incident.objects.filter(number=None).exists()


def test_the_number_of_queries_of_a_deployment_does_not_grow_with_its_changes(lead, billing):
    few = opened(lead, "/services/billing/deployments/6/")[1]
    store(billing, Facts(pull_requests=tuple(change(100 + number, merged_at=at(5.5), merge_sha="m7") for number in range(40))))
    recompute(billing, moment=NOW)
    text, queries = opened(lead, "/services/billing/deployments/6/")
    assert "Changes that it carried first (42)" in text
    assert queries == few


def test_a_deployment_has_its_statuses_and_its_retries(lead, billing):
    store(billing, Facts(deployments=(deployment(20, "m7", at(15), "in_progress", "failure"), deployment(21, "m7", at(15, minutes=20), "success"))))
    recompute(billing, moment=NOW)
    text = text_of(lead.get("/services/billing/deployments/21/"))
    assert "2 tries counted as one: 20, 21" in text
    assert "in progress" in text
    assert "in_progress" not in text
    assert lead.get("/services/billing/deployments/20/").status_code == 404


def test_a_change_has_its_timeline_and_who_reverted_it(lead, billing):
    Change.objects.filter(number=1).update(
        reviews=[{"login": "grace", "is_bot": False, "submitted_at": at(0.4).isoformat()}],
        draft_events=[{"kind": "ready_for_review", "at": at(0.3).isoformat()}],
        commits=[{"sha": "c1", "authored_at": at(0.1).isoformat()}],
    )
    recompute(billing, moment=NOW)
    answer = lead.get(reverse("dashboard:change", args=["billing", repository_of(billing).pk, 1]))
    text, delivery = text_of(answer), Delivery.objects.get(change__number=1)
    steps = answer.context["timeline"]
    assert [step.name for step in steps] == ["first_commit", "created", "ready", "first_review", "merged", "deployed"]
    assert {step.stage: step.seconds for step in steps if step.stage} == delivery.stages
    assert sum(step.width for step in steps) == pytest.approx(1000)
    assert re.search(r"Reverted by +#3", text)
    assert answer.context["found"].lead_time.seconds == delivery.lead_time_seconds


def test_a_change_takes_few_queries(lead, billing):
    path = reverse("dashboard:change", args=["billing", repository_of(billing).pk, 1])
    few = opened(lead, path)[1]
    store(billing, Facts(pull_requests=tuple(change(100 + number, reviews=(), merge_sha="m7", merged_at=at(9)) for number in range(40))))
    recompute(billing, moment=NOW)
    assert opened(lead, path)[1] == few <= MOST_QUERIES


def test_a_change_that_is_not_merged_or_not_deployed_says_so(lead, billing):
    repository = repository_of(billing).pk
    Change.objects.filter(number=7).update(merged_at=None)
    recompute(billing, moment=NOW)
    assert "It is not merged" in text_of(lead.get(reverse("dashboard:change", args=["billing", repository, 7])))
    Delivery.objects.filter(change__number=6).delete()
    assert "No deployment carried it first" in text_of(lead.get(reverse("dashboard:change", args=["billing", repository, 6])))


def test_pull_requests_of_repositories_with_the_same_name_and_number_are_told_apart(lead, billing):
    other = Repository.objects.create(service=billing, name="", names=["acme/billing"])
    first = Change.objects.get(number=1)
    Change.objects.create(
        **{
            field.attname: getattr(first, field.attname)
            for field in Change._meta.concrete_fields
            if field.attname not in ("id", "repository_id", "title")
        },
        repository=other,
        title="The other one",
    )
    assert "The other one" in text_of(lead.get(reverse("dashboard:change", args=["billing", other.pk, 1])))
    assert "The other one" not in text_of(lead.get(reverse("dashboard:change", args=["billing", first.repository_id, 1])))


def test_an_incident_says_what_caused_it_and_by_which_rule(lead, billing):
    text, queries = opened(lead, reverse("dashboard:incident", args=["billing", "issue 102"]))
    assert "deployment 9" in text
    assert "Its text names the cause" in text
    assert "open" in text
    assert queries <= MOST_QUERIES
    assert "No deployment could be linked" in text_of(lead.get(reverse("dashboard:incident", args=["billing", "issue 101"])))


def test_an_incident_from_the_logs_leads_to_its_lines(lead, billing):
    row = Incident.objects.get(number=None)
    page = lead.get(reverse("dashboard:incident", args=["billing", row.key])).content.decode()
    assert escape(row.evidence["sources"][0]["url"]) in page
    assert "20 bad minutes from" in page
    assert "400 errors among 800 events" in page


# --- another environment ----------------------------------------------------------------------------------------------


@pytest.fixture
def staging(billing: Service) -> str:
    name = "stage/<b>&"
    new = tuple(deployment(50 + number, sha, at(3 + number), environment=name) for number, sha in enumerate(("a", "m1", "m2")))
    store(billing, Facts(deployments=new))
    recompute(billing, moment=NOW)
    return name


def test_another_environment_has_its_own_values_and_facts(lead, billing, staging):
    query = {"environment": staging}
    path = value_url("deployment_frequency", "2026-01")
    with CaptureQueriesContext(connection) as captured:
        answer = lead.get(path, query)
    assert len(captured) <= MOST_QUERIES
    text = text_of(answer)
    assert escape(staging) in text
    assert [member.key for member in answer.context["rows"]] == ["52", "51", "50"]
    links = answer.context["fact_links"]
    assert "environment=stage%2F%3Cb%3E%26" in links.url("deployment 51")
    for kind in ("deployment 51", "pull request 1"):
        with CaptureQueriesContext(connection) as captured:
            text_of(lead.get(links.url(kind)))
        assert len(captured) <= MOST_QUERIES
    assert lead.get("/services/billing/deployments/51/").status_code == 404
    assert answer.context["comparison"].before.measures.value == 0


# --- hostile texts ----------------------------------------------------------------------------------------------------

SCRIPT = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def test_titles_logins_and_states_from_outside_are_shown_as_text(lead, billing):
    Change.objects.update(title=SCRIPT, author=SCRIPT[:90], labels=[SCRIPT], head_branch=SCRIPT, url="javascript:alert(1)")
    Issue.objects.update(title=SCRIPT, author=SCRIPT[:90], state_reason="completed", links={"deployments": [SCRIPT, "9"]}, url="javascript:alert(1)")
    Deployment.objects.filter(external_id=9).update(
        statuses=[{"state": "failure", "created_at": at(9).isoformat(), "log_url": "javascript:alert(1)"}]
    )
    recompute(billing, moment=NOW)
    repository = repository_of(billing).pk
    paths = [value_url(metric, "2026-01") for metric in explain.METRICS]
    paths += [reverse("dashboard:deployment", args=["billing", key]) for key in ("1", "4", "9")]
    paths += [reverse("dashboard:change", args=["billing", repository, number]) for number in (1, 3, 6)]
    paths += [reverse("dashboard:incident", args=["billing", key]) for key in ("issue 100", "issue 102")]
    for path in paths:
        page = lead.get(path).content.decode()
        assert "<script>alert" not in page
        assert "<img" not in page
        assert 'href="javascript' not in page
