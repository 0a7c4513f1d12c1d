"""docs/metrics.md, "Incidents from logs": which minutes are bad, and when an incident begins and ends."""

from dataclasses import replace
from datetime import timedelta

import pytest

from dora_metrics.calculators.inputs import Coverage
from dora_metrics.calculators.log_incidents import log_incidents
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import (
    DAY,
    DAY_S,
    GITHUB,
    assessed,
    at,
    covering,
    days_with,
    deployment,
    failed,
    issue,
    log_hours,
    one_a_day,
    value_of,
)

BAD, GOOD, QUIET = (100, 6), (100, 5), (0, 0)
NOON = at(3.5)
MINUTE = timedelta(minutes=1)


def lasted(*minutes, settings=GITHUB, until=at(4)):
    """Return the start and end of each incident, in minutes after noon."""
    found = log_incidents(log_hours(NOON, *minutes), settings, until=until)
    return [((one.started_at - NOON) // MINUTE, (one.ended_at - NOON) // MINUTE if one.ended_at else None) for one in found]


# --- bad minutes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "errors", "is_bad"),
    [(20, 2, True), (20, 1, False), (19, 19, False), (100, 5, False), (100, 6, True), (40, 3, True), (10**6, 50_000, False), (10**6, 50_001, True)],
)
def test_a_minute_is_bad_with_20_events_of_which_more_than_5_percent_are_errors(events, errors, is_bad):
    assert bool(lasted(*[(events, errors)] * 5)) == is_bad


def test_five_in_a_row_are_an_incident_and_four_are_none():
    assert lasted(*[BAD] * 5) == [(0, 5)]
    assert lasted(*[BAD] * 4) == []
    assert lasted(*[BAD] * 4, GOOD, *[BAD] * 4) == []
    assert lasted(GOOD, *[BAD] * 2, GOOD, *[BAD] * 7) == [(4, 11)]


def test_ten_good_minutes_in_a_row_end_it_and_nine_do_not():
    assert lasted(*[BAD] * 5, *[GOOD] * 9, BAD) == [(0, 15)]
    assert lasted(*[BAD] * 5, *[GOOD] * 10, BAD) == [(0, 5)]
    assert lasted(*[BAD] * 5, *[GOOD] * 10, *[BAD] * 5) == [(0, 5), (15, 20)]


def test_minutes_without_a_line_are_good_as_well():
    assert lasted(*[BAD] * 5, *[QUIET] * 9, BAD) == [(0, 15)]
    assert lasted(*[BAD] * 5, *[QUIET] * 10, *[BAD] * 5) == [(0, 5), (15, 20)]
    assert lasted(*[BAD] * 3, QUIET, *[BAD] * 4) == []


def test_an_incident_goes_on_over_the_hour_and_over_midnight():
    assert lasted(*[GOOD] * 715, *[BAD] * 10, until=at(5)) == [(715, 725)]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, [(2, 9)]),
        ({"log_incidents": False}, []),
        ({"log_minute_events": 101}, []),
        ({"log_minute_events": 100}, [(2, 9)]),
        ({"log_error_share": 6}, []),
        ({"log_error_share": 5.9}, [(2, 9)]),
        ({"log_bad_minutes": 8}, []),
        ({"log_bad_minutes": 1}, [(0, 9)]),
        ({"log_good_minutes": 1, "log_bad_minutes": 1}, [(0, 1), (2, 9)]),
    ],
)
def test_all_four_numbers_and_the_whole_are_settings(changed, expected):
    assert lasted(BAD, GOOD, *[BAD] * 7, settings=replace(GITHUB, **changed)) == expected


def test_without_a_share_to_pass_one_error_is_enough():
    every = Settings(log_error_share=0, log_minute_events=1)
    assert lasted(*[(1, 1)] * 5, settings=every) == [(0, 5)]
    assert lasted(*[(1000, 0)] * 5, settings=every) == []


# --- how far the logs were read ---------------------------------------------------------------------------------------


def test_it_is_open_until_ten_good_minutes_were_read():
    assert lasted(*[BAD] * 6, until=NOON + 16 * MINUTE) == [(0, 6)]
    assert lasted(*[BAD] * 6, until=NOON + 15.9 * MINUTE) == [(0, None)]
    assert lasted(*[BAD] * 6, until=None) == [(0, None)]


def test_logs_that_stop_end_it_once_they_were_read_beyond():
    [one] = assessed(log_hours=log_hours(NOON, *[BAD] * 6), coverage=covering(at(0), at(4))).incidents
    assert one.incident.ended_at == NOON + 6 * MINUTE
    still = covering(at(0), at(31)) | {"log_events": Coverage(at(0), NOON + 6 * MINUTE)}
    [one] = assessed(log_hours=log_hours(NOON, *[BAD] * 6), coverage=still).incidents
    assert one.incident.ended_at is None
    [one] = assessed(log_hours=log_hours(NOON, *[BAD] * 6), now=NOON + 10 * MINUTE).incidents
    assert one.incident.ended_at is None


# --- several logs -----------------------------------------------------------------------------------------------------


def test_all_logs_of_a_service_are_counted_together():
    parts = (*log_hours(NOON, *[(15, 2)] * 5), *log_hours(NOON, *[(15, 0)] * 5, source="worker"))
    [one] = log_incidents(parts, GITHUB, until=at(4))
    assert (one.evidence.events, one.evidence.errors) == (150, 10)
    healthy = (*log_hours(NOON, *[BAD] * 5), *log_hours(NOON, *[(100, 0)] * 5, source="worker"))
    assert log_incidents(healthy, GITHUB, until=at(4)) == []


def test_an_hour_that_comes_in_parts_is_one():
    parts = log_hours(NOON, *[(10, 1)] * 5)
    assert log_incidents(parts, GITHUB, until=at(4)) == []
    assert len(log_incidents((*parts, *parts), GITHUB, until=at(4))) == 1


def test_it_says_which_minutes_and_which_lines():
    parts = (*log_hours(NOON, *[BAD] * 5, GOOD, *[BAD] * 2), *log_hours(NOON, *[(100, 30)] * 5, source="the worker"))
    [one] = log_incidents((*parts, *log_hours(NOON, *[(9, 0)] * 9, source="other")), replace(GITHUB, log_page_url="/logs/"), until=at(4))
    said = one.evidence
    assert one.key == "logs 2026-01-04T12:00Z"
    assert one.title == "192 errors among 1263 events of the worker and 1 more"
    assert (said.first_minute, said.last_minute, said.bad_minutes) == (NOON, NOON + 7 * MINUTE, 7)
    assert (said.events, said.errors) == (1263, 192)
    assert [(source.source, source.events, source.errors) for source in said.sources] == [("the worker", 500, 150), ("web", 700, 42)]
    assert said.sources[0].url == "/logs/?source=the+worker&from=2026-01-04T12:00:00Z&to=2026-01-04T12:08:00Z&level=error"
    assert one.origin.url == said.sources[0].url


# --- in the metrics ---------------------------------------------------------------------------------------------------

OUTAGE = log_hours(NOON, *[BAD] * 60)
DEPLOYED = one_a_day(*"abcdef")


def test_it_is_the_latest_deployment_s_and_over_when_it_ends():
    assert failed(**DEPLOYED, log_hours=OUTAGE) == {"3": {"incident"}}
    recovery = value_of("failed_deployment_recovery_time", **DEPLOYED, log_hours=OUTAGE)
    assert recovery.value == DAY_S / 2 + 3600
    assert recovery.details["mean_time_to_restore"] == {"mean": 3600, "n": 1}


def test_without_a_deployment_before_it_is_unlinked():
    before = log_hours(at(0) - DAY, *[BAD] * 60)
    coverage = covering(at(-5), at(31))
    assert days_with("change_fail_rate", "unlinked_incidents", **DEPLOYED, log_hours=before, coverage=coverage) == {-1: 1}


def test_it_is_no_other_environment_s():
    everywhere = (deployment(1, "a", at(3), environment="staging"), deployment(2, "a", at(3)))
    [one] = assessed(deployments=everywhere, log_hours=OUTAGE, environment="staging").incidents
    assert one.link.attempt is None
    assert assessed(deployments=everywhere, log_hours=OUTAGE, environment="staging").counted_incidents == []


@pytest.mark.parametrize(
    ("created_at", "closed_at", "is_the_same"),
    [
        (at(3.5, minutes=20), at(3.9), True),
        (at(3.4), at(3.5, minutes=1), True),
        (at(3.4), None, True),
        (at(3.5, minutes=20), None, True),
        (at(3.5, minutes=20), at(3.5, minutes=10), True),  # closed before it was created: lasts one moment, during the outage
        (at(3.4), at(3.5), False),
        (at(3.5, minutes=60), None, False),
    ],
)
def test_an_outage_of_which_people_have_written_an_issue_is_the_issue_s(created_at, closed_at, is_the_same):
    found = assessed(**DEPLOYED, log_hours=OUTAGE, issues=(issue(7, created_at, closed_at),)).incidents
    assert [one.incident.key for one in found if one.incident.number is None] == ([] if is_the_same else ["logs 2026-01-04T12:00Z"])
    assert "issue 7" in [one.incident.key for one in found]


@pytest.mark.parametrize(
    ("created_at", "closed_at", "hours", "is_the_same"),
    [
        (at(2.5), None, 24, True),
        (at(2.5) - timedelta(minutes=1), None, 24, False),
        (at(0), None, 24, False),  # forgotten and still open
        (at(0), at(30), 24, False),  # forgotten, and closed much later
        (at(0), at(30), 24 * 7, True),
        (at(3.4), None, 0, False),
        (at(3.5), None, 0, True),
    ],
)
def test_an_issue_stands_for_the_outages_near_its_start_only(created_at, closed_at, hours, is_the_same):
    """Regression: one forgotten open incident hid every later incident from logs."""
    settings = replace(GITHUB, log_issue_hours=hours)
    found = assessed(**DEPLOYED, log_hours=OUTAGE, issues=(issue(7, created_at, closed_at),), settings=settings).incidents
    assert ("logs 2026-01-04T12:00Z" not in [one.incident.key for one in found]) is is_the_same


def test_an_issue_that_is_no_incident_hides_nothing():
    found = assessed(**DEPLOYED, log_hours=OUTAGE, issues=(issue(7, at(3), labels=("bug",)),)).incidents
    assert [one.incident.key for one in found] == ["logs 2026-01-04T12:00Z"]
