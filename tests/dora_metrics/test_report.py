"""A report lists every period that has begun. Unknown values are null."""

import json
from datetime import date
from io import StringIO

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Coverage, Deployment, Service
from dora_metrics.selectors import UNKNOWN, UnknownEnvironment, report
from tests.dora_metrics.calculators.examples import at, change, covering, facts, issue, one_a_day
from tests.dora_metrics.stored_rows import repository_of, store

pytestmark = pytest.mark.django_db

NOW = at(40)
METRICS = list(UNKNOWN)


@pytest.fixture
def billing() -> Service:
    service = Service.objects.create(name="billing")
    plain = one_a_day("a", "m1", pull_requests=(change(1),), issues=(issue(100, at(-1), at(2)),))
    store(service, facts(**plain | {"coverage": covering(at(-1), at(35))}))
    recompute(service, moment=NOW)
    return service


def periods(service: Service, start: date, end: date, by: str = "month") -> list[dict]:
    return report(service, start=start, end=end, by=by, environment="production", time_zone="UTC", now=NOW)["periods"]


def numbers(shown: dict) -> set:
    """Return every value of a metric at any depth, without its unit and tier."""
    return {
        number for name, value in shown.items() if name not in ("unit", "tier") for number in (numbers(value) if isinstance(value, dict) else {value})
    }


def test_every_whole_period_that_overlaps_the_range_and_has_begun_is_listed(billing):
    found = periods(billing, date(2026, 1, 31), date(2026, 6, 1))
    assert [(one["start"], one["end"]) for one in found] == [("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-03-01")]


@pytest.mark.parametrize("words", [("--from=2027-11-01",), ("--from=2027-11-01", "--to=2028-01-01"), ("--from=2027-11-01", "--by=week")])
def test_a_range_that_has_not_begun_is_said_to_be_in_the_future(billing, words):
    out = StringIO()
    call_command("dora_report", *words, stdout=out)
    assert "2027-11-01 has not begun" in out.getvalue()
    assert "not_collected" not in out.getvalue()
    assert "partial period" not in out.getvalue()


def test_by_range_it_has_one_period_from_the_first_day_to_the_last(billing):
    [one] = periods(billing, date(2025, 12, 30), date(2026, 1, 2), "range")
    assert (one["start"], one["end"], one["partial"]) == ("2025-12-30", "2026-01-02", True)  # collection began inside it
    assert one["deployment_frequency"]["deployments"] == 1
    assert one["deployment_frequency"]["value"] == 1 / 2
    [none] = periods(billing, date(2025, 1, 1), date(2025, 12, 1), "range")
    assert [numbers(none[metric]) for metric in METRICS] == [{None}] * 5


def test_by_range_the_command_names_the_first_and_the_last_day(billing):
    out = StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("dora_report", "--by=range", "--from=2026-01-01", "--to=2026-01-04", stdout=out)
    assert "billing, production, by range (UTC)" in out.getvalue()
    assert "  2026-01-01..2026-01-03  0.67/day (2)" in out.getvalue()


def test_by_range_the_default_is_the_last_thirty_whole_days(billing):
    out = StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("dora_report", "--service=billing", "--by=range", format="json", stdout=out)
    [one] = json.loads(out.getvalue())["periods"]
    assert (one["start"], one["end"]) == ("2026-01-11", "2026-02-10")  # the 10th is today


def table(*words: str) -> str:
    out = StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("dora_report", "--service=billing", *words, stdout=out)
    return out.getvalue()


def test_without_a_start_the_table_begins_with_the_first_collected_period(billing):
    text = table()
    assert text.splitlines()[2].startswith("  2025-12-01*")
    assert "not_collected" not in text
    assert table("--from=2025-11-01").splitlines()[2].split() == ["2025-11-01", "-", "-", "-", "-", "-"]


def test_if_nothing_was_collected_the_table_is_a_sentence(billing):
    Coverage.objects.all().delete()
    recompute(billing, moment=NOW)
    [line] = table().splitlines()
    assert line.startswith("billing, production, by month (UTC): nothing was collected since 2025-02-01")


def test_the_first_line_is_compared_with_the_period_before_it(billing):
    by_day = table("--from=2026-01-03", "--to=2026-01-05", "--by=day").splitlines()
    assert by_day[2].startswith("  2026-01-03  0.00/day (0)")
    assert "(0) ↓ worse" in by_day[2]
    assert "(0) ↓ worse" in table("--by=range", "--from=2026-01-03", "--to=2026-01-05").splitlines()[2]


def test_the_flags_of_each_metric_are_known(billing):
    [january] = periods(billing, date(2026, 1, 1), date(2026, 1, 2))
    assert january["metric_flags"]["change_lead_time"] == ["low_n"]
    assert january["metric_flags"]["deployment_frequency"] == []
    [november] = periods(billing, date(2025, 11, 1), date(2025, 11, 2))
    assert november["metric_flags"] == {metric: ["not_collected"] for metric in METRICS}


def test_the_end_of_the_range_is_exclusive(billing):
    assert [one["start"] for one in periods(billing, date(2026, 1, 1), date(2026, 2, 1))] == ["2026-01-01"]


def test_a_period_is_partial_while_it_runs_or_if_collection_began_inside_it(billing):
    found = periods(billing, date(2025, 12, 1), date(2026, 3, 1))
    assert [one["partial"] for one in found] == [True, False, True]


def test_of_a_period_that_was_not_collected_every_number_is_null_and_counts_too(billing):
    (november,) = periods(billing, date(2025, 11, 1), date(2025, 12, 1))
    assert [numbers(november[metric]) for metric in METRICS] == [{None}] * 5
    assert november["quality_flags"] == ["not_collected"]


def test_a_collected_period_without_deployments_has_a_true_frequency_of_0(billing):
    (february,) = periods(billing, date(2026, 2, 1), date(2026, 2, 2))
    assert (february["deployment_frequency"]["value"], february["deployment_frequency"]["deployments"]) == (0, 0)
    assert (february["change_lead_time"]["p50"], february["change_lead_time"]["n"]) == (None, 0)
    assert (february["change_fail_rate"]["value"], february["change_fail_rate"]["failed"]) == (None, 0)
    assert (february["deployment_rework_rate"]["value"], february["deployment_rework_rate"]["unplanned"]) == (None, 0)
    assert (february["failed_deployment_recovery_time"]["p50"], february["failed_deployment_recovery_time"]["n_open"]) == (None, 0)
    assert february["quality_flags"] == []


@pytest.mark.parametrize(("missing", "known"), [("issues", 2), ("pull_requests", 1), ("commits", 1), ("deployments", 0)])
def test_a_metric_is_null_without_a_stream_that_it_needs_and_the_others_are_known(billing, missing, known):
    Coverage.objects.filter(stream=missing).delete()
    recompute(billing, moment=NOW)
    (january,) = periods(billing, date(2026, 1, 1), date(2026, 2, 1))
    assert [numbers(january[metric]) == {None} for metric in METRICS] == [False] * known + [True] * (5 - known)
    assert "not_collected" in january["quality_flags"]


def test_a_period_has_the_flags_of_its_five_metrics(billing):
    (december, january) = periods(billing, date(2025, 12, 1), date(2026, 2, 1))
    assert (december["quality_flags"], january["quality_flags"]) == (["unlinked_incidents"], ["low_n"])


def test_values_are_not_rounded(billing):
    (january,) = periods(billing, date(2026, 1, 1), date(2026, 2, 1))
    assert january["deployment_frequency"]["value"] == 2 / 31


@pytest.mark.parametrize("others", [0, 30])
def test_the_command_takes_two_queries_by_their_indexes_however_many_services_there_are(billing, others):
    Service.objects.bulk_create(Service(name=f"service-{number}") for number in range(others))
    with CaptureQueriesContext(connection) as asked:
        call_command("dora_report", "--service", "billing", "--from", "2023-01-01", "--to", "2026-02-01", "--by", "day", stdout=StringIO())
    assert len(asked) == 2
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            for query in asked.captured_queries:
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                assert [row[3] for row in cursor.fetchall() if row[3].startswith("SCAN")] == []


def test_changes_that_were_collected_without_their_paths_are_unknown_to_a_path_filter(billing):
    Service.objects.update(path="api/**")
    recompute(billing, moment=NOW)
    [january] = periods(billing, date(2026, 1, 1), date(2026, 1, 2))
    assert january["deployment_frequency"]["deployments"] == 2
    assert january["change_lead_time"]["n"] is None
    assert january["change_fail_rate"]["deployments"] is None
    assert january["quality_flags"] == ["not_collected"]


def test_an_environment_is_known_only_where_the_source_that_counts_names_it(billing):
    billing.deployments_from = "workflows"
    billing.save()
    with pytest.raises(UnknownEnvironment, match=r"never deployed to 'staging'; known: production$"):
        report(billing, start=date(2026, 1, 1), end=date(2026, 1, 2), by="month", environment="staging", time_zone="UTC", now=NOW)


def test_environments_that_differ_by_capitals_are_two(billing):
    for number, name in ((50, "staging"), (51, "Staging")):
        Deployment.objects.create(
            service=billing,
            repository=repository_of(billing),
            external_id=number,
            environment=name,
            sha="m1",
            created_at=at(3),
            version_at=at(3),
            statuses=[{"state": "success", "created_at": at(3).isoformat(), "log_url": ""}],
            run_id=0,
            page_id=0,
        )
    for name in ("staging", "Staging"):
        found = report(billing, start=date(2026, 1, 1), end=date(2026, 1, 2), by="month", environment=name, time_zone="UTC", now=NOW)
        assert found["periods"][0]["deployment_frequency"]["deployments"] == 1
