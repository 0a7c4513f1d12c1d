"""The overview page: one row for each service, with the numbers of the report."""

import csv
import io
import re
from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.core.cache import caches
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from dora_metrics.calculators.production import PRODUCTION
from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Deployment, Service
from dora_metrics.selectors import report
from dora_metrics.selectors.period_values import METRICS
from etl_tasks.models import ETLRun, Source
from tests.dora_metrics.calculators.examples import at
from tests.dora_metrics.example_service import NOW, a_service
from tests.dora_metrics.stored_rows import repository_of

pytestmark = pytest.mark.django_db
MOST_QUERIES = 15


@pytest.fixture(autouse=True)
def at_the_end() -> Any:
    caches["overview"].clear()
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def viewer() -> Client:
    return client_of("Viewer")


def client_of(group: str) -> Client:
    user = User.objects.create_user(group.lower())
    user.groups.add(Group.objects.get(name=group))
    client = Client()
    client.force_login(user)
    return client


def html(client: Client, status: int = 200, **asked: Any) -> str:
    response = client.get("/", asked)
    assert response.status_code == status
    return response.content.decode()


def plain(text: str) -> str:
    """Return the text that a reader sees, with single spaces."""
    without_charts = re.sub(r"<title>.*?</title>", "", text.partition("<main")[2], flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", without_charts).split())


def test_a_row_has_the_five_metrics_with_tier_counts_change_and_flags(viewer: Client) -> None:
    a_service("billing")
    shown = plain(html(viewer, period="2026-01"))
    for expected in (
        "1 service",
        "0.23 a day high 7 deployments ▲ better, was 0 a day",
        "5 of 8 attempts",
        "4 of 7 successes",
        "few values",
        "no earlier value",
    ):
        assert expected in shown, shown


@pytest.mark.parametrize("period", ["2026-01", "2026-01-04..2026-02-05", "30d"])
def test_every_number_is_that_of_the_report_and_leads_to_its_explanation(viewer: Client, period: str) -> None:
    service = a_service("billing")
    page = html(viewer, period=period)
    shown = viewer.get("/", {"period": period}).context
    chosen = shown["query"].period
    asked = {"start": chosen.start, "end": chosen.end, "by": chosen.kind, "environment": PRODUCTION, "time_zone": "UTC", "now": NOW}
    [numbers] = report(service, **asked)["periods"]
    [row] = shown["found"].rows
    for metric in METRICS:
        assert row.values[metric].value == numbers[metric].get("value", numbers[metric].get("p50"))
        [url] = set(re.findall(rf'href="(/services/billing/{metric}/[^"]+)"', page))
        assert viewer.get(url).status_code == 200


def test_what_was_not_collected_is_a_dash_with_a_word_and_no_link(viewer: Client) -> None:
    Service.objects.create(name="new-one")
    page = html(viewer)
    assert plain(page).count("– not collected") == 5
    assert "/services/new-one/deployment_frequency/" not in page


def test_a_period_that_was_collected_in_part_says_how_many_days(viewer: Client) -> None:
    a_service("billing")
    assert "partial: 11 of 20 days" in plain(html(viewer, period="2026-02-01..2026-02-20"))
    assert "partial" not in plain(html(viewer, period="2026-01"))


def test_names_are_searched_and_the_search_is_shown_as_text(viewer: Client) -> None:
    a_service("billing")
    Service.objects.create(name="till")
    shown = html(viewer, search="BIL")
    assert "1 service" in plain(shown)
    hostile = '"><script>alert(1)</script>'
    page = html(viewer, search=hostile)
    assert "No service found" in plain(page)
    assert "<script>alert" not in page


def test_columns_are_sorted_by_links_that_say_so(viewer: Client) -> None:
    a_service("billing")
    Service.objects.create(name="aaa")
    page = html(viewer, sort="-change_fail_rate")
    assert page.index(">billing<") < page.index(">aaa<")
    assert page.count("aria-sort=") == 1
    assert 'aria-sort="descending"' in page
    assert 'href="?period=30d&amp;sort=change_fail_rate"' in page


def test_another_environment_is_chosen_by_its_name_and_kept_in_links(viewer: Client) -> None:
    service = a_service("billing")
    staged = {"created_at": at(3), "version_at": at(3), "statuses": [{"state": "success", "created_at": at(3).isoformat(), "log_url": ""}]}
    Deployment.objects.create(
        service=service, repository=repository_of(service), external_id=50, environment="stage <1>", sha="m1", run_id=0, page_id=0, **staged
    )
    with transaction.atomic():
        recompute(service, moment=NOW)
    page = html(viewer, environment="stage <1>", period="2026-01")
    assert "1 deployment" in plain(page)
    assert "environment=stage+%3C1%3E" in page
    assert "<option selected>stage &lt;1&gt;</option>" in page
    assert "computed for the services of this page now" in plain(page)
    assert "No service was deployed to moon." in plain(html(viewer, environment="moon"))


@pytest.mark.parametrize("count", [1, 3])
def test_another_environment_takes_at_most_fifteen_queries_however_many_services_there_are(viewer: Client, count: int) -> None:
    for number in range(count):
        service = a_service(f"service-{number}")
        Deployment.objects.filter(service=service, sha__in=["m1", "m2"]).update(environment="staging")
        with transaction.atomic():
            recompute(service, moment=NOW)
    with CaptureQueriesContext(connection) as queries:
        page = html(viewer, environment="staging", period="2026-01")
    assert page.count('scope="row"') == count
    assert "deployment" in plain(page)
    assert len(queries) <= MOST_QUERIES


def test_twenty_five_services_are_a_page(viewer: Client) -> None:
    Service.objects.bulk_create(Service(name=f"service-{number:03}") for number in range(26))
    first = html(viewer, search="service")
    assert "Page 1 of 2" in plain(first)
    assert first.count('scope="row"') == 25
    assert "search=service&amp;page=2" in first
    assert "Page 2 of 2" in plain(html(viewer, page=99))


@pytest.mark.parametrize("count", [2, 60])
@pytest.mark.parametrize("asked", [{}, {"sort": "change_lead_time"}, {"sort": "deployment_rework_rate", "period": "365d"}, {"period": "2026-01"}])
def test_it_takes_at_most_fifteen_queries_however_many_services_there_are(viewer: Client, count: int, asked: dict[str, str]) -> None:
    service = a_service("billing")
    Service.objects.bulk_create(Service(name=f"service-{number:03}") for number in range(count))
    source = Source.objects.create(name="billing", service=service, kind="github", repository="acme/billing")
    ETLRun.objects.create(source=source, trigger="beat", status="success", lease_until=NOW, logical_date=date(2026, 2, 10))
    with CaptureQueriesContext(connection) as queries:
        html(viewer, **asked)
    assert len(queries) <= MOST_QUERIES


@pytest.mark.parametrize("asked", [{"period": "soon"}, {"page": "x"}, {"sort": "x"}, {"from": "2026-01-01"}])
def test_a_wrong_choice_is_a_page_with_a_sentence(viewer: Client, asked: dict[str, str]) -> None:
    assert "This request cannot be answered" in html(viewer, 400, **asked)
    assert viewer.get("/overview.csv", asked).status_code == 400


def test_without_a_service_it_invites_to_add_one() -> None:
    assert "No service yet" in plain(html(client_of("Operator")))
    assert "Ask somebody of the group Operator" in plain(html(client_of("Viewer")))


def test_last_night_is_told_on_top(viewer: Client) -> None:
    service = Service.objects.create(name="shop")
    source = Source.objects.create(name="calls", service=service, kind="github", repository="acme/calls")
    Source.objects.update(created_at=NOW - timedelta(days=9))
    run = ETLRun.objects.create(source=source, trigger="beat", status="failed", lease_until=NOW, error="<i>GitHub</i> answered HTTP 502")
    ETLRun.objects.update(created_at=NOW - timedelta(hours=2))
    page = html(viewer)
    assert "1 source failed: calls, &lt;i&gt;GitHub&lt;/i&gt; answered HTTP 502" in page
    assert "Replay" not in plain(page)
    operator = html(client_of("Operator"))
    assert f'<form method="post" action="/operations/runs/{run.pk}/replay/"' in operator


def test_the_export_has_the_numbers_of_all_pages(viewer: Client) -> None:
    a_service("billing")
    Service.objects.bulk_create(Service(name=f"service-{number:03}") for number in range(60))
    response = viewer.get("/overview.csv", {"period": "2026-01-04..2026-02-05", "sort": "-deployment_frequency"})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="overview-2026-01-04..2026-02-05.csv"'
    rows = list(csv.DictReader(io.StringIO(response.getvalue().decode(), newline="")))
    assert len(rows) == 61
    [shown] = viewer.get("/", {"period": "2026-01-04..2026-02-05", "search": "billing"}).context["found"].rows
    assert (rows[0]["service"], rows[0]["first_day"], rows[0]["last_day"]) == ("billing", "2026-01-04", "2026-02-05")
    for metric in METRICS:
        value, earlier = shown.values[metric], shown.earlier[metric]
        assert rows[0][metric] == ("" if value.value is None else str(value.value))
        assert rows[0][f"{metric}_before"] == ("" if earlier.value is None else str(earlier.value))
        assert rows[0][f"{metric}_tier"] == (value.tier or "")
        assert rows[0][f"{metric}_flags"] == " ".join(value.flags)
    assert rows[1]["deployment_frequency"] == ""


def test_a_service_s_name_cannot_become_a_formula_in_a_spreadsheet(viewer: Client) -> None:
    Service.objects.create(name="-1.2")
    assert b"\r\n'-1.2," in viewer.get("/overview.csv").getvalue()
