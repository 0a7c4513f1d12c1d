"""The lists of the API, page by page and as CSV, contain every row once."""

import csv
import io
from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from dora_metrics.models import Incident, Service
from tests.conftest import END
from tests.dora_metrics.api.requests_to_api import ENDPOINTS, LISTS, STORED, TIME, attempt, get, merged, pages, table

pytestmark = pytest.mark.django_db


# --- pages -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", LISTS)
def test_all_pages_have_each_row_once_and_in_order_while_rows_are_added(service: Service, reader: Client, what: str) -> None:
    before = {row["external_id"] for row in get(reader, what, limit=1000)["items"]}
    early, late = END - timedelta(days=50), END + timedelta(days=1)
    seen = []
    for number, page in enumerate(pages(reader, what, limit=7), 1):
        assert len(page["items"]) <= 7
        seen += page["items"]
        if number <= 5:
            for offset, moment in enumerate((early, late)):
                key = 10_000 + 2 * number + offset
                match what:
                    case "deployments":
                        attempt(service, str(key), moment)
                    case "changes":
                        merged(service, key, moment, external_id=key)
                    case "incidents":
                        Incident.objects.create(service=service, key=str(key), started_at=moment, page_id=1)
    ids = [row["external_id"] for row in seen]
    assert len(ids) == len(set(ids))
    assert before <= set(ids)
    assert [row[TIME[what]] for row in seen] == sorted(row[TIME[what]] for row in seen)


def test_rows_of_one_instant_are_neither_lost_nor_repeated(nothing: None, reader: Client) -> None:
    other = Service.objects.create(name="other")
    moment = END + timedelta(microseconds=123456)
    for number in range(25):
        attempt(other, str(number), moment)
    seen = [row["external_id"] for page in pages(reader, "deployments", limit=4) for row in page["items"]]
    assert seen == [str(number) for number in range(25)]


def test_the_next_page_keeps_what_was_asked_for(service: Service, reader: Client) -> None:
    asked = {"service": "billing", "failed": "false", "from": "2026-02-01", "to": "2026-03-10"}
    seen = [row for page in pages(reader, "deployments", limit=5, **asked) for row in page["items"]]
    assert seen == get(reader, "deployments", limit=1000, **asked)["items"]


def test_services_and_their_metrics_are_paged_by_name(service: Service, reader: Client) -> None:
    Service.objects.bulk_create(Service(name=name) for name in ("z last", "é = +~1", "a first", "m ~ middle"))
    names = list(Service.objects.values_list("name", flat=True))
    assert [row["name"] for page in pages(reader, "services", limit=2) for row in page["items"]] == names
    seen = [report["service"] for page in pages(reader, "metrics", limit=2, by="week") for report in page["reports"]]
    assert seen == names


def test_many_periods_make_a_page_of_few_services(nothing: None, reader: Client) -> None:
    Service.objects.bulk_create(Service(name=f"s{number}") for number in range(3))
    with time_machine.travel(END, tick=False):
        sizes = [len(page["reports"]) for page in pages(reader, "metrics", by="day", **{"from": "2020-01-01"})]
    assert sizes == [2, 1]


@pytest.mark.parametrize("what", ENDPOINTS)
def test_a_page_costs_the_same_queries_however_long_it_is(service: Service, reader: Client, what: str) -> None:
    others = [Service.objects.create(name=f"other {number}") for number in range(20)]
    for number, other in enumerate(others):
        attempt(other, "1", END + timedelta(hours=number))
        merged(other, 1, END + timedelta(hours=number))
        Incident.objects.create(service=other, key="1", started_at=END, page_id=1)
    get(reader, what)  # the first request stores when the token was used
    # Queries for the token, for the page, and for the services, coverage or metrics of its rows.
    for asked in ({"limit": 2}, {"limit": 1000}, {"limit": 2, "service": "billing"}):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            get(reader, what, **asked)
        assert len(queries) == 3 + (what != "metrics") + ("service" in asked), [query["sql"] for query in queries]
        assert not any("COUNT(" in query["sql"] for query in queries)


@pytest.mark.parametrize("what", LISTS)
@pytest.mark.parametrize("asked", [{}, {"service": "billing"}, {"service": "billing", "from": "2026-01-01", "to": "2026-04-01"}])
def test_a_page_is_read_along_an_index(service: Service, reader: Client, what: str, asked: dict[str, str]) -> None:
    """The database neither sorts nor reads a whole table."""
    first = get(reader, what, limit=1, **asked)
    with CaptureQueriesContext(connection) as queries:
        get(reader, first["next"])
    [page] = [query["sql"] for query in queries if "ORDER BY" in query["sql"] and TIME[what] in query["sql"]]
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":  # reads a small table whole, but names the indexes that it could use
            cursor.execute(f"EXPLAIN {page}")
            names = [column[0] for column in cursor.description]
            indexes = [str(dict(zip(names, row, strict=True))["possible_keys"]) for row in cursor.fetchall()]
            assert f"{STORED[what]._meta.model_name}_" in indexes[0], indexes
            return
        cursor.execute(f"EXPLAIN QUERY PLAN {page}")
        plan = [row[-1] for row in cursor.fetchall()]
    assert f"USING INDEX {STORED[what]._meta.model_name}_" in plan[0], plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


# --- CSV ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", LISTS)
def test_csv_has_all_rows_not_one_page(service: Service, reader: Client, what: str) -> None:
    rows, lines = get(reader, what, limit=1000)["items"], table(reader, what, limit=3)
    assert [line["external_id"] for line in lines] == [row["external_id"] for row in rows]
    for row, line in zip(rows, lines, strict=True):
        for name, value in row.items():
            if isinstance(value, str):
                assert line[name] == value
            elif value is None:
                assert line[name] == ""


def test_csv_flattens_what_is_nested(service: Service, reader: Client) -> None:
    failed = get(reader, "deployments", limit=1000, failed="true")["items"]
    for row, line in zip(failed, table(reader, "deployments", failed="true"), strict=True):
        assert line["reasons"] == " ".join(cause["reason"] for cause in row["reasons"])
        assert line["reason_facts"] == "; ".join(cause["fact"] for cause in row["reasons"])
        assert (line["failed"], line["ids"]) == ("true", " ".join(row["ids"]))
    for row, line in zip(get(reader, "changes", limit=1000)["items"], table(reader, "changes"), strict=True):
        assert line["review_seconds"] == ("" if row["stages"]["review"] is None else str(row["stages"]["review"]))
    [one] = table(reader, "services")
    assert "deployments=2026-" in one["coverage"]


def test_csv_of_metrics_is_that_of_dora_report(service: Service, reader: Client) -> None:
    out = io.StringIO()
    call_command("dora_report", "--from=2026-01-01", format="csv", stdout=out)
    lines = table(reader, "metrics", **{"from": "2026-01-01"})
    assert lines == list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert lines[0]["service"] == "billing"
    assert lines[0]["partial"] in ("true", "false")


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_begins_like_a_formula_is_harmless(nothing: None, reader: Client, begin: str) -> None:
    evil = f'{begin}HYPERLINK("http://x"),\n\'1é'
    other = Service.objects.create(name=f"{begin}svc")
    merged(other, 1, END, title=evil, author=evil[:50])
    Incident.objects.create(service=other, key="issue 1", title=evil, started_at=END, page_id=1)
    attempt(other, "1", END, sha=evil, causes=[{"rule": begin + "x", "fact": evil, "ended_at": None}])
    for what in ENDPOINTS:
        for line in table(reader, what):
            assert not [cell for cell in line.values() if cell[:1] == begin]
    assert table(reader, "changes")[0]["title"] == f"'{evil}"


def test_csv_of_nothing_is_its_header(nothing: None, reader: Client) -> None:
    for what in ENDPOINTS:
        response = reader.get(f"/api/v1/{what}?format=csv")
        assert response.getvalue().count(b"\r\n") == 1
        assert response["Content-Disposition"] == f'attachment; filename="{what}.csv"'
