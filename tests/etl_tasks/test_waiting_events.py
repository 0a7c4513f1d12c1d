"""The log store is away when a run loads. The run ends as partial, and its log events are loaded later, although their file is gone by then."""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now
from pytest_django import Settings

from dora_metrics.models import Coverage, LogDeployment, LogTraffic
from etl_tasks import inline, ledger, overdue_sources, replay, sweeper, tasks
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Fault, Source
from etl_tasks.night_report import report_last_night
from tests.database_faults import failing_statements
from tests.etl_tasks.test_stages import lines, log_events, stored

# The Cassandra driver warns when no server answers.
pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]
BEGUN = "[callcentersite] critical: the log store failed: Cassandra cannot be reached: check CASSANDRA_CONTACT_POINTS"
OVER = "[callcentersite] warning: the log store: over: it goes well again"


class LogStoreSwitch:
    """Turns the log store off and on. While it is off, nothing listens on the configured port of Cassandra."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._contact_points, self._port = settings, settings.CASSANDRA_CONTACT_POINTS, settings.CASSANDRA_PORT

    def off(self) -> None:
        self._drop()
        self._settings.CASSANDRA_CONTACT_POINTS, self._settings.CASSANDRA_PORT = ["127.0.0.1"], 1

    def on(self) -> None:
        self._drop()
        self._settings.CASSANDRA_CONTACT_POINTS, self._settings.CASSANDRA_PORT = self._contact_points, self._port

    def _drop(self) -> None:
        from log_store.cassandra.connection import connection as session  # here, because a run without Cassandra does not load its driver

        session.drop()


@pytest.fixture
def log_store(settings: Settings) -> Iterator[LogStoreSwitch]:
    switch = LogStoreSwitch(settings)
    yield switch
    switch.on()


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def logs(billing: Source, log_file: Path, settings: Settings) -> Source:
    """A log source with thirty lines, three of which report a deployment. Its service has no other source."""
    settings.ALERT_EMAILS = ["team@example.com"]
    service = billing.service
    billing.delete()
    log_file.write_text(lines(0, 30))
    source = Source.objects.create(
        name=f"logs-{os.urandom(4).hex()}", service=service, kind="logs", path=str(log_file), log_format="json", deploy_pattern="line 1[0-2]"
    )
    Source.objects.update(created_at=now() - timedelta(days=2))
    return source


def night() -> str:
    """Run the three stages as cron does, and return what the commands say, with the error of the last one."""
    said = ""
    for command in ("etl_extract", "etl_transform", "etl_load"):
        try:
            call_command(command)
        except CommandError as exc:
            said += f"{command} {exc.returncode}: {exc}\n"
    return said


def test_a_night_without_the_log_store_is_partial_and_the_next_one_loads_its_events_without_the_file(
    logs: Source, log_file: Path, log_store: LogStoreSwitch, capsys: pytest.CaptureFixture[str], client: Client
) -> None:
    log_store.off()
    assert night().startswith(f"etl_load 3: load failed: {logs}: its log events wait for the log store: Cassandra cannot be reached")
    run = ETLRun.objects.get()
    assert (run.status, run.extracted, run.loaded, run.waiting, run.dead_lettered) == ("partial", 30, 0, 30, 0)
    assert not DeadLetter.objects.exists()
    [alert] = mail.outbox
    assert alert.subject.startswith(BEGUN)

    # It is visible: in etl_status, and on the pages of the run and of operations.
    capsys.readouterr()
    with pytest.raises(CommandError, match="1 thing needs a person"):
        call_command("etl_status")
    said = capsys.readouterr().out
    assert "partial (load), 30 extracted, 0 loaded, 0 unchanged, 0 dead letters, 30 log events wait for the log store" in said
    assert "needs a person: the log store: failing since " in said
    client.force_login(User.objects.create_superuser("ana"))
    page = client.get(reverse("dashboard:run", args=[run.pk])).content.decode()
    assert "waiting for the log store" in page
    assert "balances" in page
    assert "The log store was away." in page
    assert "Cassandra cannot be reached" in client.get(reverse("dashboard:operations")).content.decode()

    # The cursors have moved: the next night reads only what is new. Its events wait, too, and there is no second alert.
    with log_file.open("a") as file:
        file.write(lines(30, 40))
    night()
    assert list(ETLRun.objects.order_by("pk").values_list("extracted", "waiting")) == [(30, 30), (10, 10)]
    assert len(mail.outbox) == 1

    log_file.write_text("")
    log_store.on()
    capsys.readouterr()
    assert night() == ""
    assert f"run {run.pk} {logs}: success (load), 30 extracted, 30 loaded" in capsys.readouterr().out
    assert stored(logs) == sorted(f"line {number}" for number in range(40))
    assert set(ETLRun.objects.values_list("status", "waiting")) == {("success", 0)}
    assert sum(LogTraffic.objects.values_list("events", flat=True)) == 40
    assert [letter.subject for letter in mail.outbox[1:]] == [OVER]
    assert not report_last_night(now()).needs


def test_deployments_in_log_lines_count_at_once_and_incidents_are_unknown_until_the_events_are_loaded(
    logs: Source, log_file: Path, log_store: LogStoreSwitch
) -> None:
    night()
    before = dict(Coverage.objects.values_list("stream", "until"))
    assert before.keys() == {"log_events", "log_deployments"}
    with log_file.open("a") as file:
        file.write(lines(110, 120))  # three more deployments
    log_store.off()
    night()
    assert LogDeployment.objects.count() == 13
    waiting = dict(Coverage.objects.values_list("stream", "until"))
    assert waiting["log_events"] == before["log_events"]
    assert waiting["log_deployments"] > before["log_deployments"]
    log_store.on()
    call_command("etl_load")
    assert Coverage.objects.get(stream="log_events").until == waiting["log_deployments"]
    assert LogDeployment.objects.count() == 13
    assert ETLRun.objects.filter(status="success").count() == 2


def waiting_run(logs: Source, log_store: LogStoreSwitch) -> ETLRun:
    log_store.off()
    night()
    log_store.on()
    return ETLRun.objects.get(waiting__gt=0)


def test_the_sweep_sends_the_run_again_as_soon_as_the_log_store_answers(
    logs: Source, log_store: LogStoreSwitch, sent_runs: Callable[[], list[int]]
) -> None:
    run = waiting_run(logs, log_store)
    log_store.off()
    assert sweeper.load_waiting_events() == 0
    assert ETLRun.objects.get().status == "partial"
    log_store.on()
    assert sweeper.load_waiting_events() == 1
    assert sent_runs() == [run.pk]
    assert sweeper.load_waiting_events() == 0, "the run is active already"
    assert len(mail.outbox) == 1, "the events still wait"

    assert tasks.load.apply([run.pk]).state == "SUCCESS"
    assert sweeper.load_waiting_events() == 0
    assert [letter.subject for letter in mail.outbox[1:]] == [OVER]
    assert ETLRun.objects.get().status == "success"
    assert len(log_events(logs)) == 30


def test_a_source_whose_events_are_being_loaded_is_not_overdue(logs: Source, log_store: LogStoreSwitch, sent_runs: Callable[[], list[int]]) -> None:
    waiting_run(logs, log_store)
    Source.objects.update(created_at=now() - timedelta(days=10))
    assert sweeper.load_waiting_events() == 1
    assert list(overdue_sources.overdue_sources(now())) == []


def test_runs_that_are_due_begin_before_events_that_wait() -> None:
    """A source has one active run. While a server answers and stores nothing, its files would not be read before they are rotated away."""
    steps = [step for _, step in sweeper.STEPS]
    assert steps[-3:] == [sweeper.open_missing_night, sweeper.open_runs_between_nights, sweeper.load_waiting_events]


def test_a_worker_waits_for_the_log_store_until_its_retries_are_used_up(logs: Source, log_store: LogStoreSwitch) -> None:
    run = ledger.open_run(logs, trigger="shell")
    assert run
    for stage in ("extract", "transform"):
        inline.run_stage(run.pk, stage)
    log_store.off()
    assert tasks.load.apply([run.pk], retries=tasks.load.max_retries).state == "SUCCESS"
    run.refresh_from_db()
    assert (run.status, run.waiting, run.error) == ("partial", 30, "")
    assert Cursor.objects.filter(source=logs).exists()
    assert Fault.objects.get().name == "the log store"


def test_a_source_with_a_run_under_way_loads_its_waiting_events_afterwards(logs: Source, log_store: LogStoreSwitch) -> None:
    run = waiting_run(logs, log_store)
    other = ledger.open_run(logs, trigger="shell")
    assert other
    assert sweeper.load_waiting_events() == 0
    ledger.close(other.pk, "success")
    assert sweeper.load_waiting_events() == 1
    run.refresh_from_db()
    assert (run.status, run.stage) == ("queued", "load")


def test_a_failure_while_waiting_events_are_loaded_has_a_letter_that_no_later_night_closes(
    logs: Source, log_file: Path, log_store: LogStoreSwitch, sent_runs: Callable[[], list[int]]
) -> None:
    """No later night reads these lines again, because the cursors have moved."""
    run = waiting_run(logs, log_store)
    sweeper.load_waiting_events()
    with failing_statements("dora_metrics_logtraffic", RuntimeError("unforeseen")), pytest.raises(inline.StageFailed):
        inline.run_stage(run.pk, "load")
    letter = DeadLetter.objects.get()
    with log_file.open("a") as file:
        file.write(lines(30, 40))
    assert night() == ""
    letter.refresh_from_db()
    assert letter.state == "open"
    assert not Coverage.objects.filter(stream="log_events").exists(), "the missing events would count as a quiet time"
    replay.replay_letter(letter, by="ana")
    assert Coverage.objects.filter(stream="log_events").exists()
    letter.refresh_from_db()
    assert letter.state == "replayed"
    assert stored(logs) == sorted(f"line {number}" for number in range(40))


def test_a_run_that_loads_waiting_events_is_not_cancelled(
    logs: Source, log_store: LogStoreSwitch, sent_runs: Callable[[], list[int]], admin_client: Client
) -> None:
    run = waiting_run(logs, log_store)
    sweeper.load_waiting_events()
    answer = admin_client.post(reverse("dashboard:cancel_run", args=[run.pk]), follow=True)
    assert "it cannot be cancelled" in answer.content.decode()
    run.refresh_from_db()
    assert run.status == "queued"


def test_a_replay_without_the_log_store_leaves_its_events_waiting(logs: Source, log_store: LogStoreSwitch, settings: Settings) -> None:
    run = ledger.open_run(logs, trigger="shell")
    assert run
    with failing_statements("etl_tasks_cleanbatch", OperationalError("away")), pytest.raises(inline.StageFailed):
        inline.run_remaining_stages(run.pk)
    log_store.off()
    replay.replay_letter(DeadLetter.objects.get(), by="ana")
    run.refresh_from_db()
    assert (run.status, run.waiting) == ("partial", 30)
    assert DeadLetter.objects.get().state == "replayed"


def test_a_command_of_which_the_server_fails_halfway_goes_on_at_the_next_call(logs: Source, log_file: Path) -> None:
    """Formerly such a run failed, and each night of a large first collection began again with the first page."""
    log_file.write_text(lines(0, 30).replace("line", "x" * 50_000))  # two pages
    call_command("etl_extract")
    pages = ETLRun.objects.get().pages.count()
    assert pages == 2
    done: list[Any] = []

    def fail_the_second(go_on: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if "INSERT INTO" in sql and "cleanbatch" in sql:
            done.append(sql)
            if len(done) == 2:
                raise OperationalError("away")
        return go_on(sql, *rest)

    with connection.execute_wrapper(fail_the_second), pytest.raises(CommandError, match=r"interrupted .*: the next etl_transform goes on") as failure:
        call_command("etl_transform")
    assert failure.value.returncode == 2
    assert ETLRun.objects.get().status == "postponed"
    assert not DeadLetter.objects.exists()
    with time_machine.travel(now() + timedelta(seconds=1)):
        call_command("etl_transform")
        call_command("etl_load")
    assert ETLRun.objects.get().status == "success"
