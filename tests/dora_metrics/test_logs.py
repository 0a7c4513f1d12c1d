"""Deployments and incidents from logs, from the facts to every place that shows them."""

import csv
import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command, load_command_class
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from dora_metrics import explain, selectors
from dora_metrics.calculators.inputs import Coverage, Facts
from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Attempt, DORAMetric, Incident, LogDeployment, LogTraffic, MetricRevision, Service
from dora_metrics.models import Coverage as CoverageRow
from dora_metrics.period_input import parse_period
from tests.dora_metrics.api.requests_to_api import get
from tests.dora_metrics.calculators.examples import at, covering, deployment, issue, line, log_hours, logged
from tests.dora_metrics.example_service import NOW
from tests.dora_metrics.stored_rows import derived, store

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
NOON = at(3, hours=12)
KEY = "logs 2026-01-04T12:00Z"
LINES = "/logs/?source=web&from=2026-01-04T12:00:00Z&to=2026-01-04T12:08:00Z&level=error"
# One deployment a day, of which the one on day 5 failed. At noon of day 3 eight minutes are bad.
LOGGED = Facts(
    log_deployments=tuple(logged(day, at(day), sha=sha, state="failed" if day == 5 else "") for day, sha in enumerate("abcdef")),
    log_hours=log_hours(NOON, *[(100, 30)] * 8, *[(100, 0)] * 15),
    parents=line(*"abcdef"),
    coverage=covering(at(-5), at(41)),
)


def a_service(known: Facts = LOGGED, **values: Any) -> Service:
    service = Service.objects.create(name="billing", **values)
    store(service, known)
    recompute(service, run_id=1, moment=NOW)
    return service


@pytest.fixture
def billing() -> Service:
    return a_service()


def month(metric: str) -> DORAMetric:
    return DORAMetric.objects.get(metric=metric, period="month", period_start="2026-01-01")


# --- deployments ------------------------------------------------------------------------------------------------------


def test_logs_alone_are_enough_for_the_metrics(billing: Service) -> None:
    assert month("deployment_frequency").details["deployments"] == 5
    fails = month("change_fail_rate")
    assert (fails.numerator, fails.denominator, fails.details["reasons"]) == (2, 6, {"state": 1, "incident": 1})
    assert month("failed_deployment_recovery_time").value == 12 * 3600 + 8 * 60
    assert set(Attempt.objects.values_list("source", flat=True)) == {"logs"}


def test_without_coverage_of_the_lines_that_tell_of_deployments_nothing_is_known(billing: Service) -> None:
    CoverageRow.objects.filter(stream="log_deployments").delete()
    recompute(billing, moment=NOW)
    assert not DORAMetric.objects.exists()


def test_one_deployment_that_api_and_log_tell_of_counts_once() -> None:
    a_service(replace(LOGGED, deployments=tuple(deployment(day + 100, sha, at(day)) for day, sha in enumerate("abcdef"))))
    assert month("deployment_frequency").details["deployments"] == 6
    assert set(Attempt.objects.values_list("source", flat=True)) == {"github"}


def test_environments_of_lines_can_be_asked_for() -> None:
    service = a_service(replace(LOGGED, log_deployments=(*LOGGED.log_deployments, logged(9, at(9), environment="staging"))))
    selectors.check_environment(service, "staging")
    with pytest.raises(selectors.UnknownEnvironment, match="known: production, staging"):
        selectors.check_environment(service, "test")
    assert explained(service, "deployment_frequency", environment="staging")["sums"] == {"deployments": 1}


# --- incidents --------------------------------------------------------------------------------------------------------


def test_an_incident_is_kept_with_what_shows_it(billing: Service) -> None:
    [row] = Incident.objects.all()
    assert (row.key, row.number, row.title) == (KEY, None, "240 errors among 800 events of web")
    assert (row.started_at, row.ended_at, row.deployment, row.how) == (NOON, NOON + 8 * MINUTE, "3", "time")
    assert (row.url, row.page_id) == (LINES, 1)
    assert row.evidence == {
        "first_minute": NOON.isoformat(),
        "last_minute": (NOON + 7 * MINUTE).isoformat(),
        "bad_minutes": 8,
        "events": 800,
        "errors": 240,
        "sources": [{"source": "web", "events": 800, "errors": 240, "url": LINES}],
    }


def test_the_second_time_nothing_is_written_and_all_over_again_is_identical(billing: Service) -> None:
    before, again = derived(billing), derived(billing, without=("id",))
    with CaptureQueriesContext(connection) as queries:
        assert recompute(billing, run_id=2, moment=NOW) == 0
    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
    assert derived(billing) == before
    for model in (Attempt, Incident, DORAMetric):
        model.objects.all().delete()
    recompute(billing, run_id=1, moment=NOW)
    assert derived(billing, without=("id",)) == again


def test_lines_that_come_late_change_a_past_incident_and_its_period(billing: Service) -> None:
    store(billing, Facts(log_hours=log_hours(NOON - 3 * MINUTE, *[(100, 30)] * 3, source="worker")))
    assert recompute(billing, run_id=77, moment=NOW) > 0
    [row] = Incident.objects.all()
    assert (row.key, row.evidence["bad_minutes"], len(row.evidence["sources"])) == ("logs 2026-01-04T11:57Z", 11, 2)
    assert month("failed_deployment_recovery_time").details["mean_time_to_restore"] == {"mean": 11 * 60, "n": 1}
    assert "failed_deployment_recovery_time" in set(MetricRevision.objects.values_list("metric", flat=True))


def test_an_incident_that_is_open_ends_when_the_logs_have_been_read_beyond_it() -> None:
    service = a_service(replace(LOGGED, coverage=covering(at(-5), at(41)) | {"log_events": Coverage(at(-5), NOON + 8 * MINUTE)}))
    assert Incident.objects.get().ended_at is None
    assert month("failed_deployment_recovery_time").details["n_open"] == 2
    CoverageRow.objects.filter(stream="log_events").update(until=at(4))
    recompute(service, moment=NOW)
    assert Incident.objects.get().ended_at == NOON + 8 * MINUTE


def test_an_issue_about_the_same_outage_stands_for_it() -> None:
    a_service(replace(LOGGED, issues=(issue(100, NOON + 5 * MINUTE, NOON + 60 * MINUTE),)))
    assert [row.key for row in Incident.objects.all()] == ["issue 100"]


def test_a_service_without_incidents_from_logs_has_none() -> None:
    a_service(log_incidents=False)
    assert not Incident.objects.exists()


def test_every_number_of_it_is_an_option_of_add_service_that_stays_until_it_is_given_again() -> None:
    given = {"log_minute_events": 1, "log_error_share": 2.5, "log_bad_minutes": 2, "log_good_minutes": 3, "log_issue_hours": 4}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    call_command("add_service", "billing", "--repository=acme/billing", "--no-log-incidents", "--deployments=logs", *words, stdout=io.StringIO())
    call_command("add_service", "billing", "--repository=acme/billing", stdout=io.StringIO())
    service = Service.objects.get()
    assert {name: getattr(service, name) for name in given} == given
    assert (service.log_incidents, service.deployments_from) == (False, "logs")


# --- where deployments and incidents are shown ------------------------------------------------------------------------


def explained(service: Service, metric: str, environment: str = "production") -> dict[str, Any]:
    return explain.explanation(service, metric=metric, period=parse_period("2026-01"), environment=environment, moment=NOW)


SHOWN = [
    "from the logs: 8 bad minutes from 2026-01-04 12:00 UTC to 2026-01-04 12:07 UTC",
    "240 errors among 800 events: manage.py log_events --source web --from 2026-01-04T12:00:00Z --to 2026-01-04T12:08:00Z --level error --limit 0",
]


def test_an_explanation_shows_the_minutes_and_how_to_see_their_lines(billing: Service) -> None:
    deployed, ended = [one for one in explained(billing, "failed_deployment_recovery_time")["members"] if KEY in str(one)]
    assert deployed["rules"] == [f"failed: {KEY} is linked to it", *SHOWN, f"recovered by {KEY}"]
    assert (ended["key"], ended["url"], ended["rules"]) == (KEY, LINES, ["an incident that ended in the period", *SHOWN])
    [failed] = [one for one in explained(billing, "change_fail_rate")["members"] if one["key"] == "3"]
    assert failed["rules"] == [f"failed: {KEY} is linked to it", *SHOWN]
    LogDeployment.objects.all().delete()
    recompute(billing, moment=NOW)
    CoverageRow.objects.update_or_create(service=billing, stream="deployments", defaults={"since": at(-5), "until": at(41)})
    [unlinked] = explained(billing, "change_fail_rate")["members"]
    assert (unlinked["key"], unlinked["rules"][1:]) == (KEY, SHOWN)


def test_the_command_that_it_names_for_an_incident_s_lines_shows_all_of_them() -> None:
    _, _, named = SHOWN[1].partition("manage.py log_events ")
    options = load_command_class("etl_tasks", "log_events").create_parser("manage.py", "log_events").parse_args(named.split())
    assert (options.source, options.start, options.end, options.level, options.limit) == (
        "web",
        "2026-01-04T12:00:00Z",
        "2026-01-04T12:08:00Z",
        "error",
        0,
    )


def test_the_command_prints_it(billing: Service) -> None:
    out = io.StringIO()
    call_command("dora_explain", "billing", "change_fail_rate", "2026-01", stdout=out)
    assert f"    {SHOWN[1]}\n" in out.getvalue()


def test_a_deployment_leads_to_its_line(billing: Service) -> None:
    LogDeployment.objects.filter(event_id="5").update(url="/logs/event/web/1-2/", page_id=8)
    recompute(billing, moment=NOW)
    [member] = [one for one in explained(billing, "change_fail_rate")["members"] if one["key"] == "5"]
    assert (member["url"], member["staged_page"]) == ("/logs/event/web/1-2/", 8)


def test_the_api_and_the_export_show_them(billing: Service, admin_client: Client) -> None:
    Incident.objects.create(service=billing, key="issue 7", number=7, started_at=at(9), page_id=0)
    [shown, other] = get(admin_client, "incidents")["items"]
    assert (shown["external_id"], shown["number"], shown["url"], other["logs"]) == (KEY, None, LINES, None)
    assert shown["logs"] == Incident.objects.get(key=KEY).evidence
    assert {one["source"] for one in get(admin_client, "deployments")["items"]} == {"logs"}
    out = io.StringIO()
    call_command("dora_export", "incidents", stdout=out)
    assert [json.loads(row) for row in out.getvalue().splitlines()] == [shown, other]
    out = io.StringIO()
    call_command("dora_export", "incidents", format="csv", stdout=out)
    lines = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [(row["logs"], row["log_bad_minutes"], row["log_errors"]) for row in lines] == [("web", "8", "240"), ("", "", "")]
    assert lines[0]["log_first_minute"] == NOON.isoformat()


def test_the_settings_are_shown_beside_the_others(billing: Service, admin_client: Client) -> None:
    [shown] = get(admin_client, "services")["items"]
    settings = {name: value for name, value in shown.items() if name.startswith("log_")}
    assert settings == {
        "log_incidents": True,
        "log_minute_events": 20,
        "log_error_share": 5,
        "log_bad_minutes": 5,
        "log_good_minutes": 10,
        "log_issue_hours": 24,
    }


@pytest.mark.parametrize("model", [Incident, LogDeployment, LogTraffic, Attempt])
def test_the_admin_opens_every_list_and_row(billing: Service, admin_client: Client, model: Any) -> None:
    name = f"admin:dora_metrics_{model._meta.model_name}"
    assert admin_client.get(reverse(f"{name}_changelist")).status_code == 200
    assert admin_client.get(reverse(f"{name}_change", args=[model.objects.first().pk])).status_code == 200
