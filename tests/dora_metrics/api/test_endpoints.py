"""The JSON API returns what is stored."""

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client

from dora_metrics.calculators.quality_flags import MEANING
from dora_metrics.models import Attempt, Change, Delivery, Deployment, Incident, Service
from tests.conftest import END
from tests.dora_metrics.api.requests_to_api import ENDPOINTS, LISTS, attempt, get, merged, pages, table

pytestmark = pytest.mark.django_db


# --- the content of a row ---------------------------------------------------------------------------------------------


def test_a_deployment_says_whether_it_failed_and_why(service: Service, reader: Client) -> None:
    shown = {row["external_id"]: row for row in get(reader, "deployments", limit=1000)["items"]}
    assert len(shown) == Attempt.objects.count() > 10
    row = Attempt.objects.filter(is_failed=True, is_success=True, recovered_at__isnull=False).order_by("pk")[0]
    one = shown[row.key]
    assert (one["service"], one["url"], one["staged_page"], one["ids"]) == ("billing", row.url, row.page_id, row.ids)
    assert datetime.fromisoformat(one["finished_at"]) == row.finished_at
    assert one["finished_at"].endswith("+00:00")
    assert (one["succeeded"], one["failed"]) == (True, True)
    assert [(cause["reason"], cause["fact"], cause["ended_at"]) for cause in one["reasons"]] == [
        (cause["rule"], cause["fact"], cause["ended_at"]) for cause in row.causes
    ]
    assert one["recovery_seconds"] == (row.recovered_at - row.finished_at).total_seconds()
    assert sum(bool(one["failed"]) for one in shown.values()) == Attempt.objects.filter(is_failed=True).count()


def test_what_is_not_known_of_a_deployment_is_null(service: Service, reader: Client) -> None:
    attempt(service, "99", END, sha="")
    Attempt.objects.filter(key="99").update(is_failed=None, is_unplanned=None)
    one = get(reader, "deployments", limit=1000)["items"][-1]
    assert one["external_id"] == "99"
    assert {one[name] for name in ("failed", "unplanned", "sha", "url", "recovered_at", "recovered_by", "recovery_seconds")} == {None}
    assert not [one for one in get(reader, "deployments", limit=1000, failed="false")["items"] if one["failed"] is not False]


def test_a_change_says_its_deployment_how_it_was_matched_and_its_stages(service: Service, reader: Client) -> None:
    keys = {row["external_id"] for row in get(reader, "deployments", limit=1000)["items"]}
    shown = {row["number"]: row for row in get(reader, "changes", limit=1000)["items"]}
    assert len(shown) == Change.objects.filter(merged_at__isnull=False).count()
    delivery = Delivery.objects.select_related("change").order_by("pk")[3]
    one = shown[delivery.change.number]
    assert (one["deployment"], one["matched_by"], one["lead_time_seconds"]) == (delivery.deployment, delivery.how, delivery.lead_time_seconds)
    assert one["stages"] == delivery.stages
    assert set(one["stages"]) == {"coding", "draft", "pickup", "review", "deploy"}
    assert datetime.fromisoformat(one["change_start"]) == delivery.change_start
    assert (one["external_id"], one["url"], one["staged_page"]) == (str(delivery.change.external_id), delivery.change.url, delivery.change.page_id)
    assert {row["deployment"] for row in shown.values() if row["deployment"]} <= keys
    assert sum(row["by_bot"] for row in shown.values() if row["deployment"]) == Delivery.objects.filter(is_bots=True).count() > 0


def test_a_change_that_was_not_deployed_has_nulls_and_says_whose_it_is(service: Service, reader: Client) -> None:
    Service.objects.update(bots=["robo"])
    for number, author in ((9001, "robo"), (9002, "kim"), (9003, "x[bot]")):
        merged(service, number, END, author=author)
    *_, robo, kim, marked = get(reader, "changes", limit=1000)["items"]
    assert [one["by_bot"] for one in (robo, kim, marked)] == [True, False, True]
    assert {robo[name] for name in ("deployment", "deployed_at", "change_start", "matched_by", "lead_time_seconds")} == {None}
    assert set(robo["stages"].values()) == {None}


def test_an_incident_says_its_deployment_and_how_it_was_linked(service: Service, reader: Client) -> None:
    shown = {row["external_id"]: row for row in get(reader, "incidents", limit=1000)["items"]}
    assert len(shown) == Incident.objects.count() > 2
    for row in Incident.objects.all():
        one = shown[row.key]
        assert (one["deployment"], one["linked_by"], one["number"]) == (row.deployment or None, row.how or None, row.number)
        assert one["duration_seconds"] == ((row.ended_at - row.started_at).total_seconds() if row.ended_at else None)
    assert {one["linked_by"] for one in shown.values()} & {"explicit", "revert", "time"}


def test_a_fact_that_met_a_reason_is_found_under_its_external_id(service: Service, reader: Client) -> None:
    of_incidents = {
        cause["fact"] for row in get(reader, "deployments", limit=1000)["items"] for cause in row["reasons"] if cause["reason"] == "incident"
    }
    assert of_incidents
    assert of_incidents <= {row["external_id"] for row in get(reader, "incidents", limit=1000)["items"]}


def test_pull_requests_beside_the_path_of_a_service_are_no_changes(service: Service, reader: Client) -> None:
    part = Service.objects.create(name="part", path="api/**")
    for number, paths in ((1, ["api/x.py"]), (2, ["web/y.js"]), (3, ["web/y.js", "api/z.py"]), (4, [])):
        merged(part, number, END + timedelta(hours=number), paths=paths)
    found = [page["items"] for page in pages(reader, "changes", service="part", limit=2)]
    assert [[one["number"] for one in items] for items in found] == [[1], [3]]
    assert [row["number"] for row in table(reader, "changes", service="part")] == ["1", "3"]


def test_a_service_has_its_settings_and_its_coverage(service: Service, reader: Client) -> None:
    [one] = get(reader, "services")["items"]
    assert (one["name"], one["deployments_from"], one["path"]) == ("billing", "auto", None)
    assert one["repositories"] == ["acme/billing"]
    assert {span["stream"] for span in one["coverage"]} >= {"deployments", "pull_requests", "commits", "issues"}


@pytest.mark.parametrize("by", ["day", "week", "month"])
@pytest.mark.parametrize("name", ["billing", None])
def test_metrics_are_exactly_the_objects_of_dora_report(service: Service, reader: Client, by: str, name: str | None) -> None:
    Service.objects.create(name="a new one")
    out = io.StringIO()
    asked = {"by": by, "from": "2026-01-01", "to": "2026-03-21"} | ({"service": name} if name else {})
    call_command("dora_report", *(f"--{key}={value}" for key, value in asked.items()), format="json", stdout=out)
    reports = json.loads(out.getvalue())
    answer = get(reader, "metrics", **asked)
    assert answer["reports"] == (reports if name is None else [reports])
    assert len(answer["reports"]) == (2 if name is None else 1)
    told = {flag for report in answer["reports"] for period in report["periods"] for flag in period["quality_flags"]}
    assert told
    assert answer["flags"] == {flag: MEANING[flag] for flag in told}


def test_metrics_default_to_the_last_twelve_months_and_this_one(service: Service, reader: Client) -> None:
    with time_machine.travel(END, tick=False):
        [report] = get(reader, "metrics", service="billing")["reports"]
        assert len(report["periods"]) == 13
        assert (report["from"], report["to"], report["by"]) == ("2025-03-01", "2026-03-21", "month")


@pytest.mark.parametrize("asked", [{"from": "2027-11-01"}, {"from": "2027-11-01", "to": "2028-01-01"}])
def test_metrics_of_a_range_that_has_not_begun_say_so(service: Service, reader: Client, asked: dict[str, str]) -> None:
    answer = get(reader, "metrics", service="billing", **asked)
    assert [report["periods"] for report in answer["reports"]] == [[]]
    assert answer["flags"] == {"not_begun": MEANING["not_begun"]}


def test_metrics_of_another_environment_are_computed_for_a_named_service(service: Service, reader: Client) -> None:
    name = next(name for name in Deployment.objects.order_by("pk").values_list("environment", flat=True) if name != "production")
    out = io.StringIO()
    call_command("dora_report", "--service=billing", "--from=2026-02-01", f"--environment={name}", format="json", stdout=out)
    asked = {"from": "2026-02-01", "environment": name}
    assert get(reader, "metrics", service="billing", **asked)["reports"] == [json.loads(out.getvalue())]
    assert "name the service" in get(reader, "metrics", 422, **asked)["detail"]
    assert "was never deployed to 'moon'" in get(reader, "metrics", 404, service="billing", environment="moon")["detail"]


def test_metrics_of_one_range_are_computed_for_a_named_service(service: Service, reader: Client) -> None:
    out = io.StringIO()
    call_command("dora_report", "--service=billing", "--by=range", "--from=2026-02-03", "--to=2026-03-06", format="json", stdout=out)
    asked = {"service": "billing", "by": "range", "from": "2026-02-03", "to": "2026-03-06"}
    answer = get(reader, "metrics", **asked)
    assert answer["reports"] == [json.loads(out.getvalue())]
    [period] = answer["reports"][0]["periods"]
    assert (period["start"], period["end"]) == ("2026-02-03", "2026-03-06")
    assert period["deployment_frequency"]["deployments"] > 5
    [row] = table(reader, "metrics", **asked)
    assert (row["start"], row["deployments"]) == ("2026-02-03", str(period["deployment_frequency"]["deployments"]))


def test_flags_of_facts_are_told_in_words(service: Service, reader: Client) -> None:
    attempt(service, "99", END, flags=["unknown_sha"])
    assert get(reader, "deployments", **{"from": "2026-03-20"})["flags"]["unknown_sha"] == MEANING["unknown_sha"]


# --- filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ENDPOINTS)
def test_only_one_service_s(service: Service, reader: Client, what: str) -> None:
    other = Service.objects.create(name="other")
    attempt(other, "1", END)
    merged(other, 1, END)
    Incident.objects.create(service=other, key="issue 1", started_at=END, page_id=1)
    name = "name" if what == "services" else "service"
    rows = get(reader, what, service="other")["reports" if what == "metrics" else "items"]
    assert [row[name] for row in rows] == ["other"]


@pytest.mark.parametrize("what", LISTS)
def test_dates_are_local_and_the_last_is_exclusive(service: Service, reader: Client, settings: Any, what: str) -> None:
    settings.ETL_TIME_ZONE = "America/Mexico_City"  # six hours behind UTC
    other = Service.objects.create(name="other")
    for number, hour in enumerate((5, 6, 29, 30), 1):
        moment = datetime(2026, 2, 10, tzinfo=UTC) + timedelta(hours=hour)
        attempt(other, str(number), moment)
        merged(other, number, moment)
        Incident.objects.create(service=other, key=str(number), number=number, started_at=moment, page_id=1)
    found = get(reader, what, service="other", **{"from": "2026-02-10", "to": "2026-02-11"})["items"]
    assert [row.get("number") or int(row["external_id"]) for row in found] == [2, 3]


def test_failed_and_open_choose(service: Service, reader: Client) -> None:
    everything = get(reader, "deployments", limit=1000)["items"]
    for failed in (True, False):
        found = get(reader, "deployments", limit=1000, failed=str(failed).lower())["items"]
        assert found == [row for row in everything if row["failed"] is failed] != []
    Incident.objects.create(service=service, key="issue 999", started_at=END, page_id=1)
    incidents = get(reader, "incidents", limit=1000)["items"]
    for is_open in (True, False):
        found = get(reader, "incidents", limit=1000, open=str(is_open).lower())["items"]
        assert found == [row for row in incidents if (row["ended_at"] is None) is is_open] != []


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        *((f"{what}?service=nobody", 404, "there is no service 'nobody'; known: billing") for what in ENDPOINTS),
        *((f"{what}?from=2026-02-02&to=2026-02-01", 422, "the period would end before it starts") for what in ("metrics", *LISTS)),
        *((f"{what}?from=2026-02-01&to=2026-02-01", 422, "the period would end before it starts") for what in ("metrics", *LISTS)),
        *((f"{what}?from=yesterday", 422, "from: 'yesterday' is not a valid date: write it as 2026-02-28") for what in ("metrics", *LISTS)),
        *((f"{what}?to=0001-01-01", 422, "is too far away") for what in ("metrics", *LISTS)),
        *((f"{what}?limit=0", 422, "limit: ") for what in ENDPOINTS),
        *((f"{what}?limit=1001", 422, "limit: ") for what in ENDPOINTS),
        *((f"{what}?cursor=x", 422, "is not one of this API's") for what in ENDPOINTS),
        *((f"{what}?cursor=2026-13-45T00:00:00%2B00:00~1", 422, "is not one of this API's") for what in LISTS),
        *((f"{what}?cursor=2026-01-01T00:00:00~1", 422, "is not one of this API's") for what in LISTS),
        *((f"{what}?cursor=2026-01-01T00:00:00%2B00:00~{'9' * 30}", 422, "is not one of this API's") for what in LISTS),
        *((f"{what}?format=xml", 422, "format: ") for what in ENDPOINTS),
        *((f"{what}?servcie=billing", 422, "there is no parameter 'servcie'; known: ") for what in ENDPOINTS),
        ("metrics?by=fortnight", 422, "by: Input should be 'day', 'week', 'month' or 'range'"),
        ("metrics?by=range", 422, "by=range is computed while you wait: name the service, too"),
        ("metrics?from=1990-01-01&by=day", 422, "ask for at most 5000 at a time"),
        ("deployments?failed=perhaps", 422, "failed: "),
        ("incidents?open=perhaps", 422, "open: "),
    ],
)
def test_what_cannot_be_used_is_refused_with_one_sentence(service: Service, reader: Client, path: str, status: int, sentence: str) -> None:
    response = reader.get(f"/api/v1/{path}")
    assert response.status_code == status
    assert set(response.json()) == {"detail"}
    assert sentence in response.json()["detail"]
    if "format=" not in path and "cursor=" not in path:
        assert reader.get(f"/api/v1/{path}&format=csv").json() == response.json()


def test_only_a_few_services_are_named_to_who_asks_for_another(nothing: None, reader: Client) -> None:
    Service.objects.bulk_create(Service(name=f"s{number:03}") for number in range(300))
    assert get(reader, "services", 404, service="nobody")["detail"].endswith("s009 and 290 more")
