"""The page of a service and the comparison: every number is the report's."""

import json
import re
from datetime import UTC, date, datetime
from html import unescape
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dashboard.services import views
from dashboard.templatetags.display import METRIC_NAMES
from dora_metrics.calculators.quality_flags import MEANING
from dora_metrics.models import Service
from dora_metrics.selectors import report
from etl_tasks.pipeline import BrokerAway
from tests.dora_metrics.example_service import NOW, a_service

RANGE = {"by": "month", "from": "2026-01-01", "to": "2026-02-28"}
ASKED: dict[str, Any] = {"environment": "production", "time_zone": "UTC", "now": NOW}


@pytest.fixture
def reader(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("lead"))
    return client


@pytest.fixture
def billing(db: None) -> Service:
    return a_service("billing")


def page(client: Client, path: str, **query: Any) -> str:
    with time_machine.travel(NOW, tick=False):
        answer = client.get(path, query)
    assert answer.status_code == 200, answer.content.decode()[:2000]
    return answer.content.decode()


def charts(html: str) -> dict[str, dict]:
    found = re.findall(r'<script id="data-(\w+)" type="application/json">(.*?)</script>', html, re.DOTALL)
    return {name: json.loads(unescape(text)) for name, text in found}


def test_the_charts_have_the_numbers_of_the_report(reader: Client, billing: Service) -> None:
    html = page(reader, reverse("dashboard:service", args=["billing"]), **RANGE)
    numbers = report(billing, start=date(2026, 1, 1), end=date(2026, 3, 1), by="month", environment="production", time_zone="UTC", now=NOW)
    drawn = charts(html)
    for metric, key in views.VALUE_KEYS.items():
        assert drawn[metric]["series"][0]["values"] == [period[metric][key] for period in numbers["periods"]], metric
    assert drawn["change_lead_time"]["labels"] == ["2026-01", "2026-02"]
    assert re.search("Last whole period: (January|February) 2026", html)
    assert ">January 2026" in html
    assert drawn["change_lead_time"]["partial"] == [period["partial"] for period in numbers["periods"]]
    stages = {series["name"]: series["values"] for series in drawn["stages"]["series"]}
    assert stages["review"] == [period["change_lead_time"]["stages"]["review"]["p50"] for period in numbers["periods"]]


def test_failed_deployments_and_incidents_are_marked_in_their_periods(reader: Client, billing: Service) -> None:
    marks = {
        mark["kind"]: mark["counts"] for mark in charts(page(reader, reverse("dashboard:service", args=["billing"]), **RANGE))["stages"]["marks"]
    }
    assert sum(marks["incidents"]) == billing.incidents.filter(started_at__gte=datetime(2026, 1, 1, tzinfo=UTC)).count() > 0
    assert sum(marks["failed_deployments"]) == billing.attempts.filter(is_failed=True).count() > 0


def test_a_period_that_began_before_the_first_day_has_all_of_its_marks(reader: Client, billing: Service) -> None:
    """The values of a month are those of the whole month, so its marks are, too."""
    whole, part = (
        charts(page(reader, reverse("dashboard:service", args=["billing"]), by="month", **{"from": first, "to": last}))["stages"]["marks"]
        for first, last in (("2026-01-01", "2026-01-31"), ("2026-01-06", "2026-01-07"))
    )
    assert part == whole
    assert all(sum(mark["counts"]) > 1 for mark in whole)


def test_the_latest_values_are_compared_with_a_period_before_the_first_day(reader: Client, billing: Service) -> None:
    text = page(reader, reverse("dashboard:service", args=["billing"]), by="month", **{"from": "2026-01-01", "to": "2026-02-28"})
    [before] = report(billing, start=date(2025, 12, 1), end=date(2026, 1, 1), by="month", **ASKED)["periods"]
    assert before["deployment_frequency"]["value"] == 0
    assert "Last whole period: January 2026" in text
    assert "better, was 0 a day" in text
    assert charts(text)["stages"]["labels"] == ["2026-01", "2026-02"]


def test_an_unknown_latest_value_names_the_earlier_one(reader: Client, billing: Service) -> None:
    """On 11 January nothing was deployed, so its fail rate is unknown. On the 10th the only attempt failed."""
    tiles = page(reader, reverse("dashboard:service", args=["billing"]), by="day", **{"from": "2026-01-11", "to": "2026-01-11"}).partition("tiles")[2]
    assert "was 100.0%" in tiles


@pytest.mark.parametrize("first", ["1970-01-01", "2026-03-01", "2999-12-31"])
def test_the_earliest_and_future_first_days_are_shown(reader: Client, billing: Service, first: str) -> None:
    assert page(reader, reverse("dashboard:service", args=["billing"]), by="month", **{"from": first})


def test_every_point_leads_to_the_facts_behind_it(reader: Client, billing: Service) -> None:
    drawn = charts(page(reader, reverse("dashboard:service", args=["billing"]), **RANGE))
    assert drawn["change_fail_rate"]["links"] == [
        reverse("dashboard:value", args=["billing", "change_fail_rate", month]) for month in ("2026-01", "2026-02")
    ]


def test_periods_before_the_first_collected_one_are_left_out_unless_they_were_asked_for(reader: Client, billing: Service) -> None:
    by_itself = charts(page(reader, reverse("dashboard:service", args=["billing"]), by="month"))["change_lead_time"]["labels"]
    asked = charts(page(reader, reverse("dashboard:service", args=["billing"]), by="month", **{"from": "2025-10-01"}))["change_lead_time"]
    assert by_itself == ["2025-12", "2026-01", "2026-02"]
    assert asked["labels"][0] == "2025-10"
    assert asked["missing"][0] is True


@pytest.mark.parametrize(
    "query",
    [
        {"by": "year"},
        {"from": "tomorrow"},
        {"from": "2026-02-01", "to": "2026-01-01"},
        {"environment": "nowhere"},
        {"by": "day", "from": "1990-01-01"},
    ],
)
def test_an_invalid_choice_is_explained(reader: Client, billing: Service, query: dict[str, str]) -> None:
    answer = reader.get(reverse("dashboard:service", args=["billing"]), query)
    assert answer.status_code == 400
    assert "This request cannot be answered" in answer.content.decode()


def test_an_unknown_service_is_not_found(reader: Client) -> None:
    answer = reader.get(reverse("dashboard:service", args=["<b>nobody"]))
    assert answer.status_code == 404
    assert "&lt;b&gt;nobody" in answer.content.decode()


def test_a_service_without_facts_says_so(reader: Client, db: None) -> None:
    Service.objects.create(name="new")
    assert "No numbers yet" in page(reader, reverse("dashboard:service", args=["new"]))


def test_the_page_asks_the_database_at_most_fifteen_times(reader: Client, billing: Service) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page(reader, reverse("dashboard:service", args=["billing"]), by="day")
    assert len(queries) <= 15, [query["sql"][:100] for query in queries]


def test_a_comparison_has_a_line_for_each_service(reader: Client, billing: Service) -> None:
    a_service("calls")
    drawn = charts(page(reader, reverse("dashboard:compare"), service=["billing", "calls"], **RANGE))
    assert [series["name"] for series in drawn["change_fail_rate"]["series"]] == ["billing", "calls"]
    assert set(drawn) == set(views.METRIC_NAMES)


def test_a_comparison_of_nothing_asks_for_services(reader: Client, db: None) -> None:
    assert "Choose the services" in page(reader, reverse("dashboard:compare"))


@pytest.mark.parametrize("names", [[f"s{number}" for number in range(7)], ["nobody"]])
def test_a_comparison_of_too_many_or_unknown_services_is_refused(reader: Client, db: None, names: list[str]) -> None:
    answer = reader.get(reverse("dashboard:compare"), {"service": names})
    assert answer.status_code == 400


def test_a_person_with_the_permission_lets_a_worker_compute_the_numbers_again(
    reader: Client, billing: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Service] = []
    monkeypatch.setattr(views, "send_recompute", sent.append)
    answer = reader.post(reverse("dashboard:recompute", args=["billing"]), follow=True)
    assert (sent, answer.status_code) == ([billing], 200)
    assert LogEntry.objects.get().change_message == "recompute requested"


def test_without_a_broker_nothing_is_promised(reader: Client, billing: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_service: Service) -> None:
        raise BrokerAway("the broker cannot be reached")

    monkeypatch.setattr(views, "send_recompute", away)
    assert "the broker cannot be reached" in reader.post(reverse("dashboard:recompute", args=["billing"]), follow=True).content.decode()
    assert not LogEntry.objects.exists()


def test_the_counts_behind_a_share_are_named_as_on_the_overview(reader: Client, billing: Service) -> None:
    for shown in (
        page(reader, "/services/billing/", **RANGE),
        page(reader, "/compare/", service="billing", **RANGE),
        page(reader, "/", period="2026-01"),
    ):
        assert "5 of 8 attempts" in shown
        assert "4 of 7 successes" in shown


@pytest.mark.parametrize("name", ["a.b", "ñandú_1", "-x", ".hidden", "..a", "delete", "x" * 100])
def test_a_service_has_its_pages_whatever_name_is_allowed(reader: Client, billing: Service, name: str) -> None:
    billing.name = name
    billing.full_clean()
    billing.save()
    overview = page(reader, "/", period="2026-01")
    links = {unescape(link) for link in re.findall(r'href="(/services/[^"]+)"', overview)}
    assert len(links) == 1 + len(METRIC_NAMES)
    shown = page(reader, reverse("dashboard:service", args=[name]), **RANGE)
    links |= {unescape(link) for link in re.findall(r'href="(/services/[^"]+)"', shown)}
    for link in sorted(links):
        page(reader, link)
    assert reader.post(reverse("dashboard:recompute", args=[name])).status_code == 302


@pytest.mark.parametrize("name", ["a/b", "a b", "a?b", "a%2Fb", "..", "a\n", ""])
def test_a_name_that_no_address_could_carry_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Service(name=name).clean_fields()
    assert refused.value.message_dict["name"]


def test_notes_on_quality_are_in_the_reader_s_language(reader: Client, billing: Service) -> None:
    with time_machine.travel(NOW, tick=False):
        answer = reader.get(reverse("dashboard:service", args=["billing"]), RANGE, headers={"Accept-Language": "es"})
    shown = answer.content.decode()
    assert "<dt>pocos valores</dt>" in shown
    assert MEANING["low_n"] not in unescape(shown)
