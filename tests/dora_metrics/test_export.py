"""dora_export writes the same rows as the API to standard output: all of them, one at a time."""

import csv
import io
import json
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from dora_metrics import selectors
from dora_metrics.models import Attempt, Change, Deployment, Incident, Service
from tests.conftest import END
from tests.dora_metrics.stored_rows import repository_of

pytestmark = pytest.mark.django_db
LISTS = ("deployments", "changes", "incidents")


def export(what: str, *words: str) -> str:
    out = io.StringIO()
    call_command("dora_export", what, *words, stdout=out)
    return out.getvalue()


def exported(what: str, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export(what, *words).splitlines()]


@pytest.mark.parametrize("what", LISTS)
def test_it_writes_the_rows_of_the_api(service: Service, reader: Client, what: str) -> None:
    rows = exported(what)
    assert rows == reader.get(f"/api/v1/{what}", {"limit": 1000}).json()["items"]
    assert len(rows) > 2
    for row in rows:
        assert row["service"] == "billing"
        assert row["external_id"]
        assert row["staged_page"] > 0
    assert any(row["url"] for row in rows)


@pytest.mark.parametrize("what", [*LISTS, "metrics"])
def test_it_writes_the_csv_of_the_api(service: Service, reader: Client, what: str) -> None:
    with time_machine.travel(END, tick=False):
        assert export(what, "--format", "csv") == reader.get(f"/api/v1/{what}?format=csv").getvalue().decode()


@pytest.mark.parametrize("what", LISTS)
def test_it_chooses_as_the_api_does(service: Service, reader: Client, what: str) -> None:
    Service.objects.create(name="other")
    asked = {"service": "billing", "from": "2026-02-10", "to": "2026-03-01"}
    rows = exported(what, *(f"--{name}={value}" for name, value in asked.items()))
    assert rows == reader.get(f"/api/v1/{what}", {"limit": 1000, **asked}).json()["items"] != []
    assert exported(what, "--service=other") == []


def test_metrics_are_the_periods_of_dora_report(service: Service) -> None:
    out = io.StringIO()
    words = ["--service=billing", "--from=2026-01-01", "--to=2026-04-01", "--by=week"]
    call_command("dora_report", *words, format="json", stdout=out)
    report = json.loads(out.getvalue())
    of_report = {name: report[name] for name in ("service", "environment", "by", "time_zone", "definition_version")}
    assert exported("metrics", *words) == [of_report | period for period in report["periods"]]


def test_metrics_of_another_environment(service: Service) -> None:
    name = next(name for name in Deployment.objects.order_by("pk").values_list("environment", flat=True) if name != "production")
    assert {row["environment"] for row in exported("metrics", "--environment", name)} == {name}
    out = io.StringIO()
    with pytest.raises(CommandError, match="was never deployed to 'moon'") as refused:
        call_command("dora_export", "metrics", "--environment=moon", "--format=csv", stdout=out)
    assert out.getvalue() == ""
    assert refused.value.returncode == 2


def test_a_fact_is_one_line_whatever_its_text(nothing: None) -> None:
    other = Service.objects.create(name="other")
    Incident.objects.create(service=other, key="issue 1", title='two\nlines\r, "ñ" \u2028', started_at=END, page_id=1)
    text = export("incidents")
    assert text.count("\n") == 1
    assert json.loads(text)["title"] == 'two\nlines\r, "ñ" \u2028'


def test_a_cell_that_begins_like_a_formula_is_harmless(nothing: None) -> None:
    other = Service.objects.create(name="=1+1")
    Incident.objects.create(service=other, key="issue 1", title="@SUM(A1)", started_at=END, page_id=1)
    [line] = csv.DictReader(io.StringIO(export("incidents", "--format=csv"), newline=""))
    assert (line["service"], line["title"]) == ("'=1+1", "'@SUM(A1)")
    for command in (("dora_export", "metrics"), ("dora_report",)):
        out = io.StringIO()
        call_command(*command, format="csv", stdout=out)
        assert all(line["service"] == "'=1+1" for line in csv.DictReader(io.StringIO(out.getvalue(), newline="")))


def test_many_facts_are_read_a_page_at_a_time(nothing: None) -> None:
    other = Service.objects.create(name="other")
    rows = [
        Attempt(service=other, key=str(number), started_at=END, finished_at=END + timedelta(seconds=number // 3), is_success=True, page_id=1)
        for number in range(2500)
    ]
    Attempt.objects.bulk_create(rows)
    with CaptureQueriesContext(connection) as queries:
        assert [row["external_id"] for row in exported("deployments")] == [str(number) for number in range(2500)]
    assert len(queries) == 3 * 2  # per page: one for its rows, one for their services


def test_memory_does_not_grow_with_the_facts(nothing: None) -> None:
    other = Service.objects.create(name="other")
    common = {
        "service": other,
        "repository": repository_of(other),
        "state": "merged",
        "run_id": 1,
        "page_id": 1,
        "created_at": END,
        "merged_at": END,
        "version_at": END,
    }
    Change.objects.bulk_create([Change(number=number, title="x" * 2000, **common) for number in range(1500)], batch_size=500)

    def peak(count: int) -> int:
        tracemalloc.start()
        pages = selectors.changes(selectors.FactFilter()).pages(100)
        for _ in range(count):
            next(pages)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(1)  # allocates what is allocated only once
    assert peak(15) < 1.5 * peak(3)


def test_metrics_of_a_range_that_has_not_begun_are_no_rows_and_a_sentence(service: Service) -> None:
    out, err = io.StringIO(), io.StringIO()
    call_command("dora_export", "metrics", "--from=2999-01-01", stdout=out, stderr=err)
    assert (out.getvalue(), "2999-01-01 has not begun" in err.getvalue()) == ("", True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        *(([what, "--service", "nobody"], "there is no service 'nobody'; known: ") for what in (*LISTS, "metrics")),
        *(([what, "--from=2026-02-02", "--to=2026-02-01"], "the period would end before it starts") for what in (*LISTS, "metrics")),
        (["changes", "--by=week"], "--by and --environment are of metrics"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_status_2(service: Service, words: list[str], sentence: str) -> None:
    with pytest.raises(CommandError, match=sentence) as refused:
        export(*words)
    assert refused.value.returncode == 2
