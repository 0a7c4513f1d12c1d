"""When a dead letter closes, counts another failure, or cannot be replayed or discarded."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from etl_tasks import dead_letters, inline, ledger, replay, replay_tasks
from etl_tasks.models import DeadLetter, ETLRun, Source
from tests.etl_tasks.sources.failing import failing

pytestmark = pytest.mark.django_db
BACKFILL = {"since": "2026-01-01T00:00:00+00:00", "until": "2026-02-01T00:00:00+00:00"}


def night(source: Source, *, fails_in: str = "", **options: Any) -> ETLRun:
    run = ledger.open_run(source, trigger="shell", options=options)
    assert run
    with failing(fails_in):
        try:
            inline.run_remaining_stages(run.pk)
        except inline.StageFailed:
            assert fails_in
    run.refresh_from_db()
    return run


def states() -> list[tuple[str, str, int]]:
    return [(letter.stage, letter.state, letter.attempts) for letter in DeadLetter.objects.order_by("pk")]


def command(*words: str) -> str:
    out = StringIO()
    call_command("dead_letters", *words, stdout=out)
    return out.getvalue()


def test_a_source_that_fails_every_night_has_one_letter_that_counts_and_names_the_latest_run(billing: Source) -> None:
    runs = [night(billing, fails_in="extract") for _ in range(3)]
    assert states() == [("extract", "open", 3)]
    assert DeadLetter.objects.get().run == runs[-1]
    assert f"extract stage, 3 times, last in run {runs[-1].pk}  extract cannot be done" in command("list")


def test_the_next_good_night_closes_the_letter_and_names_itself(billing: Source) -> None:
    night(billing, fails_in="load")
    good = night(billing)
    letter = DeadLetter.objects.get()
    assert (letter.state, letter.resolved_by) == ("replayed", f"run {good.pk}")


def test_a_stage_that_succeeds_closes_its_own_letters_only(billing: Source) -> None:
    night(billing, fails_in="load")
    night(billing, fails_in="extract")
    night(billing, fails_in="transform")
    assert states() == [("load", "open", 1), ("extract", "replayed", 1), ("transform", "open", 1)]


@pytest.mark.parametrize("end", ["replayed", "discarded"])
def test_a_closed_letter_opens_again_when_the_stage_fails_again(billing: Source, end: str) -> None:
    night(billing, fails_in="load")
    if end == "discarded":
        dead_letters.discard(DeadLetter.objects.get(), by="test")
    else:
        night(billing)
    last = night(billing, fails_in="load")
    letter = DeadLetter.objects.get()
    assert (letter.state, letter.attempts, letter.run, letter.resolved_by, letter.resolved_at) == ("open", 2, last, "", None)


def test_another_source_and_a_backfill_have_letters_of_their_own(billing: Source) -> None:
    other = Source.objects.create(name="shop", service=billing.service, kind="github", repository="acme/shop")
    for source, options in ((billing, {}), (billing, BACKFILL), (other, {})):
        night(source, fails_in="load", **options)
    assert DeadLetter.objects.filter(state="open").count() == 3


@pytest.mark.parametrize(
    ("failed", "good", "is_closed"),
    [
        ({}, {}, True),
        ({}, {"full": True}, True),
        ({}, {"since": BACKFILL["since"]}, True),
        ({}, BACKFILL, False),
        (BACKFILL, {}, False),
        (BACKFILL, BACKFILL, True),
        ({"full": True}, {}, False),
        ({}, {"news": {"head": "a"}}, True),
    ],
)
def test_a_letter_is_closed_by_a_run_that_reads_what_was_missed(billing: Source, failed: dict, good: dict, is_closed: bool) -> None:
    night(billing, fails_in="extract", **failed)
    night(billing, **good)
    assert states() == [("extract", "replayed" if is_closed else "open", 1)]


def test_replaying_the_one_letter_of_many_nights_goes_on_with_the_latest_run(billing: Source) -> None:
    first, last = night(billing, fails_in="load"), night(billing, fails_in="load")
    with failing():
        assert "letter" in command("replay", str(DeadLetter.objects.get().pk))
    assert [ETLRun.objects.get(pk=run.pk).status for run in (first, last)] == ["failed", "success"]
    assert states() == [("load", "replayed", 3)]


def test_a_replay_whose_next_stage_fails_says_so_of_both(billing: Source) -> None:
    night(billing, fails_in="extract")
    letter = DeadLetter.objects.get()
    with (
        failing("transform"),
        pytest.raises(CommandError, match=rf"^letter {letter.pk} is replayed, but transform failed: transform cannot be done$"),
    ):
        command("replay", str(letter.pk))
    assert states() == [("extract", "replayed", 1), ("transform", "open", 1)]


@pytest.fixture
def closed(billing: Source) -> DeadLetter:
    night(billing, fails_in="load")
    night(billing)
    return DeadLetter.objects.get()


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_a_letter_that_is_not_open_is_refused_with_its_state(closed: DeadLetter, action: str, caplog: pytest.LogCaptureFixture) -> None:
    out = StringIO()
    with pytest.raises(CommandError, match=rf"^letter {closed.pk} is replayed since .* UTC \(run .*\), not open: nothing was changed$") as refused:
        call_command("dead_letters", action, str(closed.pk), stdout=out)
    assert refused.value.returncode == 1
    assert out.getvalue() == f"0 {action}ed, 1 failed\n"
    assert "dead_letter_resolved" not in caplog.text
    assert states() == [("load", "replayed", 1)]


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_the_admin_refuses_a_letter_that_is_not_open_with_its_state(admin_client: Client, closed: DeadLetter, action: str) -> None:
    form = {"action": action, "_selected_action": [closed.pk]}
    page = admin_client.post(reverse("admin:etl_tasks_deadletter_changelist"), form, follow=True).content.decode()
    assert f"Letter {closed.pk} is replayed since" in page
    assert "not open: nothing was changed" in page
    assert "stays open" not in page


def test_the_admin_says_why_a_stage_is_not_sent_again(admin_client: Client, billing: Source, sent_runs: Callable[[], list[int]]) -> None:
    run = night(billing, fails_in="load")
    form = {"action": "replay", "_selected_action": [DeadLetter.objects.get().pk]}
    address = reverse("admin:etl_tasks_deadletter_changelist")
    assert f"run {run.pk} is queued from load on" in admin_client.post(address, form, follow=True).content.decode()
    assert f"stays open: run {run.pk} is queued, not failed" in admin_client.post(address, form, follow=True).content.decode()


def test_a_letter_that_somebody_else_closes_meanwhile_is_refused(billing: Source) -> None:
    night(billing, fails_in="load")
    seen_earlier = DeadLetter.objects.get()
    dead_letters.discard(DeadLetter.objects.get(), by="somebody else")
    with pytest.raises(dead_letters.NotOpen, match=r"is discarded since .* \(somebody else\)"):
        dead_letters.discard(seen_earlier, by="test")


def test_several_letters_are_reported_one_by_one(billing: Source) -> None:
    night(billing, fails_in="load")
    night(billing, fails_in="transform")
    first, second = DeadLetter.objects.order_by("pk")
    dead_letters.discard(first, by="test")
    out = StringIO()
    with pytest.raises(CommandError, match=r"^1 of 2 letters could not be discarded: the lines above say why$"):
        call_command("dead_letters", "discard", str(first.pk), str(second.pk), stdout=out)
    assert f"letter {second.pk}: discarded\n1 discarded, 1 failed\n" in out.getvalue()
    assert f"letter {first.pk} is discarded since" in out.getvalue()


def three_alike_and_another(source: Source) -> list[DeadLetter]:
    run = ledger.open_run(source, trigger="shell")
    assert run
    errors = ["no such state", "no such state", "no such state", "no date"]
    rows = [{"key": f"record:{index}", "error": error, "data": "{}"} for index, error in enumerate(errors)]
    return [DeadLetter.objects.create(source=source, run=run, kind="record", stage="transform", **row) for row in rows]


def test_letters_with_the_same_cause_are_discarded_together(billing: Source) -> None:
    first, *_, other = three_alike_and_another(billing)
    assert dead_letters.discard_alike(first, by="lead") == 3
    assert list(DeadLetter.objects.filter(state="open")) == [other]
    first.refresh_from_db()
    assert (first.state, first.resolved_by) == ("discarded", "lead")
    assert first.resolved_at


def test_a_replay_of_letters_with_the_same_cause_tries_each_of_them(billing: Source) -> None:
    first, second, third, other = three_alike_and_another(billing)
    assert replay.replay_alike(second.pk, by="lead") is None
    tried = dict(DeadLetter.objects.values_list("pk", "attempts"))
    assert tried == {first.pk: 2, second.pk: 2, third.pk: 2, other.pk: 1}  # they have no staged copy, so each fails again and stays open


def test_a_replay_of_many_letters_continues_after_the_last_one_tried(billing: Source) -> None:
    first, second, third, _ = three_alike_and_another(billing)
    assert replay.replay_alike(first.pk, by="lead", after=first.pk, until=0) == first.pk
    assert replay.replay_alike(first.pk, by="lead", after=second.pk) is None
    assert [letter.attempts for letter in DeadLetter.objects.filter(pk__in=[first.pk, second.pk, third.pk]).order_by("pk")] == [1, 1, 2]


def test_a_worker_whose_time_is_up_asks_for_another_turn(
    billing: Source, sent_messages: Callable[[], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = three_alike_and_another(billing)[0]
    monkeypatch.setattr(replay_tasks, "TURN_S", -1)
    replay_tasks.replay_alike(first.pk, "lead")
    assert sent_messages() == [("etl.replay", [first.pk, "lead", 0])]
