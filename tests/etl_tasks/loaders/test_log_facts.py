"""Derive deployments, errors per minute and coverage from log events. Loading the same events again changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dora_metrics.models import Coverage, LogDeployment, LogTraffic, Service
from etl_tasks.loaders import log_facts
from etl_tasks.log_coverage import READ_STREAM, update_log_coverage
from etl_tasks.models import Cursor, Source
from log_store.event import LogEvent, event_id, file_key
from log_store.store import Tally, position

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 1, 4, 12, tzinfo=UTC)
KEY = file_key(1, "a file")
SHA = "abcdef1" + "0" * 33


@pytest.fixture
def service() -> Service:
    return Service.objects.create(name="billing")


def event(offset: int, time: datetime = NOON, **extra: str) -> LogEvent:
    return LogEvent(event_id(KEY, offset), "web", time, "info", extra={f"deploy.{name}": value for name, value in extra.items()})


def tally(segment: str = "s1", hour: datetime = NOON, **minutes: tuple[int, int]) -> Tally:
    return Tally("web", segment, hour, {}, {int(minute[1:]): counts for minute, counts in minutes.items()})


def keep(service: Service, *, events: Any = (), tallies: Any = (), page_id: int = 7) -> int:
    """Load the events and tallies (counts of events per minute). Return the number of queries."""
    with CaptureQueriesContext(connection) as queries:
        log_facts.upsert(service, source="web", run_id=1, page_id=page_id, events=events, tallies=tallies)
    return len(queries)


def everything() -> list[tuple[Any, ...]]:
    return [*LogDeployment.objects.order_by("pk").values_list(), *LogTraffic.objects.order_by("pk").values_list()]


# --- deployments ------------------------------------------------------------------------------------------------------


def test_a_line_that_tells_of_a_deployment_becomes_one_with_the_way_back_to_it(service: Service) -> None:
    told = event(5, NOON + timedelta(milliseconds=123), state="success", sha=SHA, environment="prod-eu")
    keep(service, events=[event(1), told])
    [row] = LogDeployment.objects.all()
    assert (row.source, row.event_id, row.time, row.sha, row.environment, row.state) == ("web", told.event_id, told.time, SHA, "prod-eu", "success")
    assert (row.url, row.run_id, row.page_id) == (f"/logs/event/web/{position(told)}/", 1, 7)


@pytest.mark.parametrize(("said", "kept"), [("ABCDEF1", "abcdef1"), (" abcdef1 ", "abcdef1"), ("abcdef", ""), ("v1.2.3", ""), ("", "")])
def test_what_is_no_sha_is_none(service: Service, said: str, kept: str) -> None:
    keep(service, events=[event(1, state="success", sha=said)])
    assert LogDeployment.objects.get().sha == kept


def test_texts_too_long_for_their_columns_are_cut(service: Service) -> None:
    keep(service, events=[event(1, state="s" * 300, environment="é" * 300)])
    row = LogDeployment.objects.get()
    assert (row.state, row.environment) == ("s" * 30, "é" * 255)


def test_a_line_that_is_read_otherwise_the_next_time_is_kept_as_it_was_read_last(service: Service) -> None:
    keep(service, events=[event(1, state="success", environment="staging")])
    keep(service, events=[event(1, NOON + timedelta(hours=1), state="failed", sha=SHA)], page_id=8)
    [row] = LogDeployment.objects.all()
    assert (row.time, row.state, row.sha, row.environment, row.page_id) == (NOON + timedelta(hours=1), "failed", SHA, "", 8)


def test_a_line_that_tells_of_a_deployment_no_more_is_none_and_its_neighbours_stay(service: Service) -> None:
    keep(service, events=[event(offset, state="success") for offset in (1, 3, 5, 9)])
    keep(service, events=[event(3), event(5, state="success")], page_id=8)
    assert list(LogDeployment.objects.order_by("event_id").values_list("event_id", flat=True)) == [event_id(KEY, offset) for offset in (1, 5, 9)]


def test_a_service_s_deployments_are_its_own(service: Service) -> None:
    keep(service, events=[event(1, state="success")])
    keep(Service.objects.create(name="web"), events=[event(1, state="success")])
    assert LogDeployment.objects.count() == 2


# --- errors per minute ------------------------------------------------------------------------------------------------


def test_a_tally_is_kept_with_its_worst_minute(service: Service) -> None:
    keep(service, tallies=[tally(m3=(20, 1), m4=(10, 2), m59=(5, 0))])
    [row] = LogTraffic.objects.all()
    assert row.minutes == {"3": [20, 1], "4": [10, 2], "59": [5, 0]}
    assert (row.source, row.segment, row.hour, row.events, row.errors, row.worst_share) == ("web", "s1", NOON, 35, 3, 20.0)


def test_a_later_tally_of_the_same_segment_and_hour_replaces_the_earlier_one(service: Service) -> None:
    keep(service, tallies=[tally(m3=(20, 1)), tally("s2", m3=(1, 0)), tally(hour=NOON + timedelta(hours=1), m0=(1, 0))])
    keep(service, tallies=[tally(m3=(30, 1), m5=(1, 0))])
    kept = LogTraffic.objects.order_by("segment", "hour").values_list("segment", "hour", "events", "errors")
    assert list(kept) == [("s1", NOON, 31, 1), ("s1", NOON + timedelta(hours=1), 1, 0), ("s2", NOON, 1, 0)]


def test_twice_is_once(service: Service) -> None:
    page = {"events": [event(9, state="failed"), event(1, state="success"), event(1, state="success")], "tallies": [tally(m3=(20, 1)), tally("s2")]}
    keep(service, **page)
    before = everything()
    keep(service, **page)
    assert everything() == before
    assert len(before) == 4


def test_a_page_costs_one_query_a_table_beside_the_look_at_what_it_told_before(service: Service) -> None:
    events = [event(offset) for offset in range(500)]
    assert keep(service, events=events) == 1
    assert keep(service, events=events, tallies=[tally(f"s{number}", m3=(20, 1)) for number in range(30)]) == 2
    deployments = [event(offset, state="success") for offset in range(30)]
    assert keep(service, events=deployments, tallies=[tally(m3=(20, 1))]) == 3


# --- coverage ---------------------------------------------------------------------------------------------------------


def log_source(service: Service, name: str, until: datetime | None, **values: Any) -> Source:
    source = Source.objects.create(name=name, service=service, kind="logs", path="/var/log/x", log_format="json", **values)
    if until:
        Cursor.objects.create(source=source, stream=READ_STREAM, position={"until": until.isoformat()})
    return source


def covered(service: Service) -> dict[str, tuple[datetime, datetime]]:
    update_log_coverage(service)
    return {row.stream: (row.since, row.until) for row in Coverage.objects.filter(service=service)}


def hours(number: int) -> datetime:
    return NOON + timedelta(hours=number)


def test_logs_are_known_as_far_as_the_one_that_was_read_least_lately(service: Service) -> None:
    log_source(service, "web", hours(20), deploy_pattern="deployed")
    log_source(service, "worker", hours(10))
    log_source(service, "disabled", hours(1), is_enabled=False)
    log_source(service, "never read", None)
    log_source(Service.objects.create(name="other"), "another service's", hours(2))
    keep(service, events=[event(1, hours(3), state="success")], tallies=[tally(hour=hours(1), m3=(1, 0)), tally(hour=hours(2), m3=(1, 0))])
    assert covered(service) == {"log_events": (hours(1), hours(10)), "log_deployments": (hours(3), hours(20))}
    Cursor.objects.filter(source__name="worker").update(position={"until": hours(30).isoformat()})
    assert covered(service)["log_events"] == (hours(1), hours(20))


def test_without_a_line_that_tells_of_a_deployment_nothing_is_known_of_them(service: Service) -> None:
    log_source(service, "web", hours(20), deploy_pattern="deployed")
    keep(service, tallies=[tally(m3=(1, 0))])
    assert covered(service) == {"log_events": (NOON, hours(20))}


def test_years_that_no_log_is_from_begin_nothing(service: Service) -> None:
    log_source(service, "web", hours(20), deploy_pattern="deployed")
    long_ago = datetime(1970, 1, 1, tzinfo=UTC)
    keep(service, events=[event(1, long_ago, state="success"), event(2, hours(99), state="success")], tallies=[tally(hour=long_ago), tally()])
    assert covered(service) == {"log_events": (NOON, hours(20))}
