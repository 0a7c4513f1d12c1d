"""A service elsewhere is told of each night once: that it began, that it was good, or that it was bad and why; and that it was mended."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import time_machine
from django_celery_beat.models import PeriodicTask
from pytest_django import Settings
from tenacity import wait_none

from etl_tasks import ledger, night_ping, sweeper
from etl_tasks.models import ETLRun, Fault, NightPing, Source
from tests.http_servers import served

pytestmark = pytest.mark.django_db
DUE = datetime(2026, 3, 20, 1, tzinfo=UTC)


class HealthChecks(HTTPServer):
    """A service in the protocol of healthchecks.io. It records the pings, and answers with `statuses` in turn, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pings: list[tuple[str, str]] = []
        self.statuses: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/ping/secret-id"

    def take(self) -> list[tuple[str, str]]:
        """Return the pings since the last call: what follows the URL, and the body."""
        taken, self.pings = self.pings, []
        return taken


class Handler(BaseHTTPRequestHandler):
    server: HealthChecks

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.pings.append((self.path.removeprefix("/ping/secret-id"), body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def health_checks(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthChecks]:
    """Start the service and set HEARTBEAT_URL to it. A ping that fails is tried again at once."""
    monkeypatch.setattr(night_ping._post.retry, "wait", wait_none())
    with served(HealthChecks()) as server:
        settings.HEARTBEAT_URL = server.url
        yield server


@pytest.fixture
def service(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthChecks]:
    with health_checks(settings, monkeypatch) as server:
        yield server


@pytest.fixture
def clock(billing: Source) -> Iterator[time_machine.Traveller]:
    """Set the time to five minutes after the night was due."""
    Source.objects.update(created_at=DUE - timedelta(days=3))
    with time_machine.travel(DUE + timedelta(minutes=5), tick=False) as clock:
        yield clock


def begin_night(source: Source) -> ETLRun:
    run = ledger.open_run(source, trigger="beat", logical_date=DUE.date())
    assert run
    return run


def test_a_good_night_is_told_once(billing: Source, service: HealthChecks, clock: time_machine.Traveller) -> None:
    run = begin_night(billing)
    night_ping.ping()
    night_ping.ping()
    assert [suffix for suffix, _ in service.take()] == ["/start"]

    ledger.close(run.pk, ETLRun.Status.SUCCESS)
    night_ping.ping()
    night_ping.ping()
    assert service.take() == [("", "last night (2026-03-20 01:00 UTC): 1 of 1 sources succeeded")]


def test_a_bad_night_is_told_with_its_sentence_and_again_when_it_is_mended(
    billing: Source, service: HealthChecks, clock: time_machine.Traveller
) -> None:
    run = begin_night(billing)
    ledger.close(run.pk, ETLRun.Status.FAILED, error="GitHub answered HTTP 502")
    night_ping.ping()
    night_ping.ping()
    assert service.take() == [("/fail", "last night (2026-03-20 01:00 UTC): 0 of 1 sources succeeded; billing failed: GitHub answered HTTP 502")]

    ledger.reopen(run)
    night_ping.ping()
    assert service.take() == []
    ledger.close(run.pk, ETLRun.Status.SUCCESS)
    night_ping.ping()
    assert [suffix for suffix, _ in service.take()] == [""]


def test_a_night_that_nobody_started_is_bad_once_the_sweeper_has_had_its_time(
    billing: Source, service: HealthChecks, clock: time_machine.Traveller
) -> None:
    run = begin_night(billing)  # yesterday beat started the nights
    ETLRun.objects.filter(pk=run.pk).update(logical_date=DUE.date() - timedelta(days=1), created_at=DUE - timedelta(days=1))
    ledger.close(run.pk, ETLRun.Status.SUCCESS)
    night_ping.ping()
    assert [suffix for suffix, _ in service.take()] == ["/start"]
    clock.shift(timedelta(minutes=6))
    night_ping.ping()
    assert service.take() == [("/fail", "last night (2026-03-20 01:00 UTC): 0 of 1 sources succeeded; billing did not run")]


def test_a_postponed_run_is_waited_for_but_not_all_day(billing: Source, service: HealthChecks, clock: time_machine.Traveller) -> None:
    begin_night(billing)
    run = ledger.claim(ETLRun.objects.get().pk, "extract", "worker")
    ledger.postpone(run, DUE + timedelta(hours=9))
    night_ping.ping()
    assert [suffix for suffix, _ in service.take()] == ["/start"]
    clock.move_to(DUE + night_ping.POSTPONED_FOR)
    night_ping.ping()
    [(suffix, body)] = service.take()
    assert (suffix, "billing is postponed until 2026-03-20 10:00" in body) == ("", True)


def test_the_next_night_is_told_anew_and_old_rows_are_deleted(billing: Source, service: HealthChecks, clock: time_machine.Traveller) -> None:
    NightPing.objects.create(due=DUE - timedelta(days=100), verdict="good")
    NightPing.objects.create(due=DUE - timedelta(days=1), verdict="good")
    ledger.close(begin_night(billing).pk, ETLRun.Status.SUCCESS)
    night_ping.ping()
    assert [suffix for suffix, _ in service.take()] == [""]
    assert [ping.due for ping in NightPing.objects.all()] == [DUE - timedelta(days=1), DUE]


def test_a_ping_that_fails_is_tried_again_by_the_next_sweep_and_told_without_the_address(
    billing: Source, service: HealthChecks, clock: time_machine.Traveller
) -> None:
    ledger.close(begin_night(billing).pk, ETLRun.Status.SUCCESS)
    service.statuses = [503, 503]
    sweeper.sweep()
    fault = Fault.objects.get()
    assert (fault.name, fault.error) == ("the report of the night to HEARTBEAT_URL", "the server of HEARTBEAT_URL answered HTTP 503")

    service.take()
    sweeper.sweep()
    assert [suffix for suffix, _ in service.take()] == [""]
    assert not Fault.objects.exists()


def test_a_service_that_does_not_know_start_is_no_failure(billing: Source, service: HealthChecks, clock: time_machine.Traveller) -> None:
    begin_night(billing)
    service.statuses = [404, 404]
    night_ping.ping()
    service.take()
    night_ping.ping()
    assert service.take() == []


def test_a_service_that_hangs_holds_the_sweep_up_for_seconds_only(
    billing: Source, settings: Settings, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.close(begin_night(billing).pk, ETLRun.Status.SUCCESS)
    monkeypatch.setattr(night_ping, "LONGEST_WAIT_SECONDS", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as hanging:
        settings.HEARTBEAT_URL = f"http://127.0.0.1:{hanging.getsockname()[1]}/secret-id"
        began = time.perf_counter()
        with pytest.raises(night_ping.PingFailed, match=r"has not answered within 0\.2 seconds") as told:
            night_ping.ping()
        assert time.perf_counter() - began < 5
    assert "secret-id" not in str(told.value)


def test_without_an_address_or_a_night_nobody_is_told(billing: Source, service: HealthChecks, settings: Settings) -> None:
    PeriodicTask.objects.filter(task="etl.nightly").delete()
    night_ping.ping()
    settings.HEARTBEAT_URL = ""
    night_ping.ping()
    assert (service.take(), NightPing.objects.count()) == ([], 0)


def test_the_suffix_goes_before_a_query() -> None:
    assert night_ping.address("https://example.com/ping/1?create=1", "/fail") == "https://example.com/ping/1/fail?create=1"
    assert night_ping.address("https://example.com/ping/1/", "") == "https://example.com/ping/1/"
