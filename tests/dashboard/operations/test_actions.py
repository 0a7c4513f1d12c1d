"""What people can do on the operations pages. Each action needs POST and a permission, writes an audit row, and says what it did."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from dashboard.operations.urls import urlpatterns
from dora_metrics.models import Service
from etl_tasks import dead_letters, ledger
from etl_tasks.models import DeadLetter, ETLRun, Source
from tests.etl_tasks.selectors.conftest import AddRun, AddSource

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent_messages")]
ACTIONS = [
    *("run_all", "cancel_run", "replay_run", "run_source", "start_run_range", "enable_source", "disable_source", "test_source"),
    *("replay_letter", "replay_alike", "discard_letter", "discard_alike", "begin_source_deletion", "begin_service_deletion"),
]


@pytest.fixture
def source(add_source: AddSource) -> Source:
    return add_source("billing")


def act(client: Client, name: str, *args: Any, **form: str) -> tuple[Any, str]:
    """Post the action. Return the answer and the messages that the next page shows."""
    answer = client.post(reverse(f"dashboard:{name}", args=args), form)
    said = " ".join(str(message) for message in get_messages(answer.wsgi_request))
    client.get(reverse("dashboard:runs"))  # shows the messages, so that the next action begins without them
    return answer, said


def audited() -> list[tuple[str, str, str]]:
    return [(row.user.get_username(), row.object_repr, row.get_change_message()) for row in LogEntry.objects.order_by("pk")]


def letter_of(run: ETLRun, number: int = 0, *, kind: str = "record", error: str = "no date") -> DeadLetter:
    return DeadLetter.objects.create(source=run.source, run=run, key=f"{kind}:{number}", kind=kind, stage="transform", error=error)


def arguments_of(name: str, source: Source, letter: DeadLetter) -> list[Any]:
    if name == "run_all":
        return []
    if name == "begin_service_deletion":
        return [source.service.name]
    if "letter" in name or "alike" in name:
        return [letter.pk]
    return [letter.run_id] if name in ("cancel_run", "replay_run") else [source.pk]


def test_the_list_of_actions_is_complete() -> None:
    pages = {"operations", "live", "nights", "durations", "components", "runs", "run", "source", "run_range", "delete_source", "delete_service"}
    assert {pattern.name for pattern in urlpatterns} - pages == set(ACTIONS)


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_refuses_get_strangers_and_those_who_may_only_read(
    client: Client, viewer: Client, superuser: Client, source: Source, add_run: AddRun, name: str
) -> None:
    run = add_run(source, "running")
    letter = letter_of(run)
    address = reverse(f"dashboard:{name}", args=arguments_of(name, source, letter))
    assert superuser.get(address).status_code == 405
    assert client.post(address).status_code == 302
    assert viewer.post(address).status_code == 403
    checked = Client(enforce_csrf_checks=True)
    checked.cookies = superuser.cookies
    assert checked.post(address).status_code == 403
    run.refresh_from_db()
    source.refresh_from_db()
    letter.refresh_from_db()
    assert (run.status, source.is_enabled, source.deletion_began_at, letter.state) == ("running", True, None, "open")
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("name", [name for name in ACTIONS if name != "run_all"])
def test_an_action_on_something_that_does_not_exist_is_not_found(operator: Client, name: str) -> None:
    assert operator.post(reverse(f"dashboard:{name}", args=["no-such" if "service" in name else 987654])).status_code == 404


# --- runs -----------------------------------------------------------------------------------------------------------


def test_a_source_is_run(operator: Client, source: Source, sent_runs: Callable[[], list[int]], django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer, said = act(operator, "run_source", source.pk)
    run = ETLRun.objects.get()
    assert answer["Location"] == reverse("dashboard:run", args=[run.pk])
    assert said == f"Run {run.pk} of billing is queued."
    assert (run.trigger, run.options) == ("admin", {})
    assert sent_runs() == [run.pk]
    assert audited() == [("operator", str(run), "started the run")]


def test_a_source_with_a_run_in_progress_is_not_run_again(operator: Client, source: Source, add_run: AddRun) -> None:
    run = add_run(source, "running")
    _, said = act(operator, "run_source", source.pk)
    assert said == f"Nothing was started: run {run.pk} of billing is in progress."
    assert not audited()


def test_a_source_in_deletion_is_not_run(operator: Client, source: Source) -> None:
    Source.objects.update(deletion_began_at="2026-01-01T00:00:00Z")
    assert act(operator, "run_source", source.pk)[1] == "Nothing was started: billing is being deleted."


def test_all_sources_are_run(operator: Client, add_source: AddSource, add_run: AddRun, django_capture_on_commit_callbacks: Any) -> None:
    for name in ("billing", "calls", "busy"):
        add_source(name)
    add_source("quiet", is_enabled=False)
    add_run(Source.objects.get(name="busy"), "running")
    with django_capture_on_commit_callbacks(execute=True):
        _, said = act(operator, "run_all")
    assert said == "2 runs are queued."
    assert len(audited()) == 2
    assert "Nothing was started" in act(operator, "run_all")[1]


def test_a_range_is_run_with_the_options_of_the_command(operator: Client, source: Source, settings: Any) -> None:
    settings.ETL_TIME_ZONE = "Europe/Madrid"
    act(operator, "start_run_range", source.pk, since="2026-01-01", until="2026-02-01")
    assert ETLRun.objects.get().options == {"since": "2025-12-31T23:00:00+00:00", "until": "2026-01-31T23:00:00+00:00"}
    assert audited()[0][2] == "started the run (since 2025-12-31T23:00:00+00:00, until 2026-01-31T23:00:00+00:00)"


def test_everything_is_read_again(operator: Client, source: Source) -> None:
    act(operator, "start_run_range", source.pk, full="on")
    assert ETLRun.objects.get().options == {"full": True}


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({}, "Choose at least one of the three"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "Choose a date after the first one."),
        ({"since": "2999-01-01"}, "Choose a date that is not in the future."),
        ({"since": "yesterday"}, "Enter a valid date."),
    ],
)
def test_a_range_that_cannot_be_is_refused_with_a_sentence(operator: Client, source: Source, form: dict[str, str], sentence: str) -> None:
    answer, _ = act(operator, "start_run_range", source.pk, **form)
    assert answer.status_code == 400
    assert sentence in answer.content.decode()
    assert not ETLRun.objects.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run_all", "run_source", "start_run_range", "replay_run", "replay_letter", "replay_alike"])
def test_nothing_is_started_while_the_broker_is_away(operator: Client, source: Source, add_run: AddRun, broker_away: None, name: str) -> None:
    letter = letter_of(add_run(source, "failed"), kind="stage")
    answer, said = act(operator, name, *arguments_of(name, source, letter), full="on")
    assert answer.status_code == 302
    assert "the broker cannot be reached" in said
    assert ETLRun.objects.count() == 1
    assert not audited()


def test_a_run_is_cancelled_once(operator: Client, source: Source, add_run: AddRun) -> None:
    run = add_run(source, "running")
    assert "is cancelled" in act(operator, "cancel_run", run.pk)[1]
    run.refresh_from_db()
    assert (run.status, run.error) == ("cancelled", "cancelled by operator")
    assert audited() == [("operator", str(run), "cancelled the run")]
    assert "had ended already" in act(operator, "cancel_run", run.pk)[1]
    assert len(audited()) == 1


def test_a_failed_run_is_replayed_by_a_worker(
    operator: Client, source: Source, sent_runs: Callable[[], list[int]], django_capture_on_commit_callbacks: Any
) -> None:
    run = ledger.open_run(source, trigger="beat")
    assert run
    dead_letters.bury_stage(run.pk, "extract", "GitHub answered HTTP 502")
    with django_capture_on_commit_callbacks(execute=True):
        answer, said = act(operator, "replay_run", run.pk)
    run.refresh_from_db()
    assert answer["Location"] == reverse("dashboard:run", args=[run.pk])
    assert said == f"Run {run.pk} is queued from the stage that failed."
    assert (run.status, sent_runs()) == ("queued", [run.pk])
    assert [row[2] for row in audited()] == ["sent to a worker again"]
    assert f"run {run.pk} is queued, not failed" in act(operator, "replay_run", run.pk)[1]


def test_a_run_without_an_open_letter_is_not_replayed(operator: Client, source: Source, add_run: AddRun) -> None:
    run = add_run(source, "failed")
    assert "is not waiting for a replay" in act(operator, "replay_run", run.pk)[1]
    run.refresh_from_db()
    assert run.status == "failed"


# --- dead letters ---------------------------------------------------------------------------------------------------


def test_a_letter_that_cannot_be_replayed_stays_open_and_says_why(operator: Client, source: Source, add_run: AddRun) -> None:
    letter = letter_of(add_run(source))
    _, said = act(operator, "replay_letter", letter.pk)
    assert said.startswith(f"letter {letter.pk} stays open: ")
    assert not audited()


def test_all_letters_with_one_cause_are_replayed_by_a_worker(
    operator: Client, source: Source, add_run: AddRun, sent_messages: Callable[[], list[Any]]
) -> None:
    run = add_run(source)
    letter = [letter_of(run, number) for number in range(3)][1]
    letter_of(run, 3, error="another")
    _, said = act(operator, "replay_alike", letter.pk)
    assert said == "A worker replays 3 letters, one after the other. Those that fail again stay open."
    assert sent_messages() == [("etl.replay", [letter.pk, "operator"])]
    assert audited() == [("operator", str(letter), "asked for a replay of 3 letters with the same cause")]


def test_letters_are_discarded(operator: Client, source: Source, add_run: AddRun) -> None:
    run = add_run(source)
    letters = [letter_of(run, number) for number in range(3)]
    assert act(operator, "discard_letter", letters[0].pk)[1] == f"Letter {letters[0].pk} is discarded."
    assert "nothing was changed" in act(operator, "discard_letter", letters[0].pk)[1]
    assert act(operator, "discard_alike", letters[1].pk)[1] == "2 letters are discarded."
    assert "No letter with this cause is open any more." in act(operator, "discard_alike", letters[1].pk)[1]
    assert "No letter with this cause is open any more." in act(operator, "replay_alike", letters[1].pk)[1]
    assert {letter.resolved_by for letter in DeadLetter.objects.all()} == {"operator"}
    assert [row[2] for row in audited()] == ["discarded", "discarded 2 letters with the same cause"]


@pytest.mark.parametrize(
    ("target", "expected"), [("/operations/runs/?status=failed", "/operations/runs/?status=failed"), ("https://evil.example/", "")]
)
def test_an_action_returns_to_the_page_it_was_sent_from_and_nowhere_else(
    operator: Client, source: Source, add_run: AddRun, target: str, expected: str
) -> None:
    letter = letter_of(add_run(source))
    answer, _ = act(operator, "discard_letter", letter.pk, next=target)
    assert answer["Location"] == (expected or reverse("dashboard:run", args=[letter.run_id]))


# --- sources --------------------------------------------------------------------------------------------------------


def test_a_source_is_disabled_and_enabled(operator: Client, source: Source) -> None:
    assert "is disabled" in act(operator, "disable_source", source.pk)[1]
    source.refresh_from_db()
    assert not source.is_enabled
    assert not source.facts_repository.is_collected
    assert "Nothing was changed" in act(operator, "disable_source", source.pk)[1]
    assert "is enabled" in act(operator, "enable_source", source.pk)[1]
    source.refresh_from_db()
    assert source.is_enabled
    assert [row[2] for row in audited()] == ["disabled the source", "enabled the source"]


def test_a_source_in_deletion_is_not_enabled(operator: Client, source: Source) -> None:
    Source.objects.update(deletion_began_at="2026-01-01T00:00:00Z", is_enabled=False)
    assert "Nothing was changed" in act(operator, "enable_source", source.pk)[1]
    source.refresh_from_db()
    assert not source.is_enabled


def test_a_connection_is_tested(operator: Client, github: Any, billing: Source) -> None:
    _, said = act(operator, "test_source", billing.pk)
    assert "acme/billing" in said
    assert audited() == [("operator", "billing", "tested the connection: it can be read")]


def test_a_connection_that_fails_is_an_error(operator: Client, broker_away: None) -> None:
    service = Service.objects.create(name="logs")
    source = Source.objects.create(name="logs", service=service, kind="logs", path="/nowhere/*.log", log_format="json", host="elsewhere")
    _, said = act(operator, "test_source", source.pk)
    assert "the files lie on elsewhere" in said
    assert audited() == [("operator", "logs", "tested the connection: it cannot be read")]
