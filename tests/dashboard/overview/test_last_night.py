"""The line about last night says how many sources were collected, which were not and why, and offers what repairs it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from dashboard.overview.last_night import line_of
from dora_metrics.models import Service
from etl_tasks.models import ETLRun, Source
from etl_tasks.night_report import LastNight, Outcome

pytestmark = pytest.mark.django_db
DUE = datetime(2026, 11, 26, 1, tzinfo=UTC)
GOOD = "succeeded"


@pytest.fixture
def operator() -> User:
    return in_group("Operator")


def in_group(name: str) -> User:
    user = User.objects.create_user(name.lower())
    user.groups.add(Group.objects.get(name=name))
    return user


def night(*states: str, is_night: bool = True, error: str = "GitHub answered HTTP 502") -> LastNight:
    service = Service.objects.create(name="shop")
    outcomes = []
    for number, state in enumerate(states):
        source = Source.objects.create(name=f"source-{number}", service=service, kind="github", repository=f"acme/{number}")
        status = {"failed": "failed", "postponed": "postponed", "under way": "running"}.get(state, "success")
        run = None
        if state not in ("missing", "waiting"):
            ended = DUE + timedelta(minutes=number + 1)
            run = ETLRun.objects.create(
                source=source, trigger="beat", status=status, lease_until=DUE, completed_at=ended, error=error if state == "failed" else ""
            )
        is_shown = run and state != GOOD
        outcomes.append(Outcome(source, state, run if is_shown else None, run_id=run and run.pk, completed_at=run and run.completed_at))
    return LastNight(DUE, is_night, outcomes)


def text(line: Any) -> str:
    return " ".join([line.headline, *(problem.sentence for problem in line.problems)])


def test_a_good_night_is_one_sentence_with_the_time_when_it_ended(operator: User) -> None:
    line = line_of(night(*[GOOD] * 12), operator)
    assert line.kind == "ok"
    assert line.headline == 'Last night: 12 of 12 sources collected, <time datetime="2026-11-26T01:12:00+00:00">26 Nov 2026, 01:12 UTC</time>.'
    assert line.problems == []


def test_a_failed_source_is_named_with_its_reason_and_a_button_that_replays_it(operator: User) -> None:
    last = night(GOOD, "failed")
    line = line_of(last, operator)
    assert line.kind == "bad"
    [problem] = line.problems
    assert problem.sentence == "1 source failed: source-1, GitHub answered HTTP 502"
    run = last.outcomes[1].run
    assert (problem.url, problem.replay_url, problem.run_url) == (f"/operations/runs/{run.pk}/", f"/operations/runs/{run.pk}/replay/", "")


def test_a_source_without_a_run_can_be_run(operator: User) -> None:
    last = night("missing", GOOD)
    [problem] = line_of(last, operator).problems
    assert problem.sentence == "1 source did not run: source-0"
    assert (problem.replay_url, problem.run_url) == ("", f"/operations/sources/{last.outcomes[0].source.pk}/run/")


def test_a_viewer_gets_no_button_and_the_reason(operator: User) -> None:
    [problem] = line_of(night("failed"), in_group("Viewer")).problems
    assert problem.sentence == "1 source failed: source-0, GitHub answered HTTP 502"
    assert problem.url
    assert (problem.replay_url, problem.run_url) == ("", "")


def test_who_may_not_see_runs_sees_no_error() -> None:
    [problem] = line_of(night("failed"), User.objects.create_user("nobody")).problems
    assert (problem.sentence, problem.url) == ("1 source failed: source-0", "")


def test_several_of_a_kind_are_one_sentence_that_leads_to_operations(operator: User) -> None:
    line = line_of(night(GOOD, *["failed"] * 5, "missing", "missing", "postponed", "under way", "waiting"), operator)
    assert line.kind == "bad"
    assert [problem.sentence for problem in line.problems] == [
        "5 sources failed: source-1, source-2, source-3 and 2 more",
        "2 sources did not run: source-6, source-7",
        "1 source is postponed: source-8",
        "1 source is running: source-9",
        "1 source has not begun yet: source-10",
    ]
    assert line.problems[0].url == "/operations/"


@pytest.mark.parametrize(("state", "kind"), [("postponed", "warn"), ("under way", "info"), ("waiting", "info")])
def test_what_goes_on_by_itself_is_no_alarm(operator: User, state: str, kind: str) -> None:
    line = line_of(night(GOOD, state), operator)
    assert line.kind == kind
    assert all(not (problem.replay_url or problem.run_url) for problem in line.problems)


def test_where_cron_starts_the_runs_it_is_about_the_last_hours(operator: User) -> None:
    assert text(line_of(night(GOOD, is_night=False), operator)).startswith("The last 26 hours: 1 of 1 source collected, ")


def test_a_long_error_is_cut_between_words_and_its_markup_stays_text(operator: User) -> None:
    [problem] = line_of(night("failed", error="<b>bold</b>\nword " * 40), operator).problems
    assert len(problem.sentence) < 220
    assert problem.sentence.endswith("…")
    assert not hasattr(problem.sentence, "__html__")


def test_without_sources_there_is_no_line(operator: User) -> None:
    assert line_of(LastNight(DUE, True, []), operator) is None
