"""A run of a settled source is ended without its stages, and leaves behind what they would leave. In every doubt the stages run."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from dora_metrics.models import Commit, Coverage, Deployment, DORAMetric, LogDeployment, Repository, Service
from etl_tasks import ledger, pipeline, settled_runs, settled_tasks
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Source
from etl_tasks.sources.github import settled
from etl_tasks.sources.registry import quiet_sources, survey
from github_stand_in.server import StandIn
from github_stand_in.worlds.exact_size import add_day, exact_world
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import finish, show, source_of, spent, surveyed_night
from tests.tables import facts

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
SMALL = {"days": 20, "pull_requests": 4, "deployments": 3, "issues": 2, "releases": 1, "runs": 2, "commits": 8}


@pytest.fixture
def source(github: StandIn) -> Source:
    """A source in which nothing has happened for three nights, so that it is settled."""
    show(github, exact_world("acme/still", end=END - 5 * DAY, **SMALL))
    source = source_of("acme/still")
    for day in range(3):
        at(github, END + day * DAY, lambda: surveyed_night(source))
    spent(github)
    return source


def at(github: StandIn, moment: Any, act: Callable[[], Any]) -> Any:
    github.clock = moment
    with time_machine.travel(moment, tick=False):
        return act()


def opened(source: Source, **fields: Any) -> ETLRun:
    """Open a run with the result of a survey, as the night does."""
    source.refresh_from_db()
    run = ledger.open_run(source, trigger="beat", **fields)
    assert run
    run.options["news"] = survey("github", [source])[source.pk]
    run.save(update_fields=["options"])
    return run


def log_a_deployment(source: Source) -> None:
    at = {"url": "", "event_id": "1", "time": END, "sha": "a" * 40, "environment": "production", "state": "success"}
    LogDeployment.objects.create(service=source.service, source="log", run_id=1, page_id=1, **at)


def state(source: Source) -> dict[str, Any]:
    return {
        "cursors": dict(Cursor.objects.filter(source=source).values_list("stream", "position")),
        "coverage": list(Coverage.objects.filter(service=source.service).order_by("stream").values_list("stream", "since", "until")),
        "facts and metrics": facts(),
        "repository": Repository.objects.filter(service=source.service).values().get(),
    }


def has_stages(run: ETLRun) -> bool:
    try:
        settled_runs.end_run(run.pk)
    except settled_runs.NotSettled:
        run.refresh_from_db()
        assert (run.status, run.attempt, run.owner) == ("queued", 0, "")
        return True
    run.refresh_from_db()
    assert (run.status, run.active_for_id) == ("success", None)
    return False


def is_kept(run: ETLRun) -> bool:
    """Return the same as `has_stages`, and undo what it did."""
    with transaction.atomic():
        found = has_stages(run)
        transaction.set_rollback(True)
    run.refresh_from_db()
    return found


def test_it_leaves_behind_what_the_stages_would_leave(source: Source, github: StandIn) -> None:
    def by(end: Callable[[ETLRun], object]) -> dict[str, Any]:
        with transaction.atomic():
            at(github, END + 3 * DAY, lambda: end(opened(source)))
            found = state(source)
            transaction.set_rollback(True)
        return found

    by_stages = by(finish)
    spent(github)
    without_stages = by(lambda run: settled_runs.end_run(run.pk))
    settled_at = [found["cursors"]["repository"].pop("settled_at") for found in (by_stages, without_stages)]
    assert without_stages == by_stages
    assert settled_at == [(END + 3 * DAY).isoformat(), (END + 2 * DAY).isoformat()]
    assert spent(github)["requests"] == 1  # the survey


def test_the_day_that_has_begun_is_measured(source: Source, github: StandIn) -> None:
    night = END + 3 * DAY
    assert not DORAMetric.objects.filter(period="day", period_start=night.date()).exists()
    run = at(github, night, lambda: surveyed_night(source))
    assert (run.status, run.extract_began_at, run.load_began_at, run.records_processed, run.is_quiet) == ("success", None, None, 0, False)
    assert run.started_at == run.completed_at == night
    assert DORAMetric.objects.filter(period="day", period_start=night.date()).exists()


def test_it_takes_few_statements(source: Source, github: StandIn) -> None:
    run = at(github, END + 3 * DAY, lambda: opened(source))
    with CaptureQueriesContext(connection) as queries:
        at(github, END + 3 * DAY, lambda: settled_runs.end_run(run.pk))
    assert len(queries) <= 55  # 35 of them recompute the metrics of the new day


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda source: Repository.note_new_facts(source.facts_repository_id), id="a fact was written"),
        pytest.param(log_a_deployment, id="a log line reports a deployment"),
        pytest.param(lambda source: Deployment.objects.update(gone_at=END), id="other sources of deployments may count"),
        pytest.param(lambda source: Service.objects.filter(pk=source.service_id).update(production="live"), id="a setting"),
        pytest.param(lambda source: Source.objects.filter(pk=source.pk).update(credential="OTHER"), id="a credential"),
        pytest.param(lambda source: Cursor.objects.filter(source=source, stream="issues").delete(), id="a cursor is missing"),
    ],
)
def test_its_stages_run_after_a_change_of(source: Source, github: StandIn, change: Callable[[Source], object]) -> None:
    run = at(github, END + 3 * DAY, lambda: opened(source))
    assert not is_kept(run), "without the change, the run is ended without stages"
    change(source)
    assert has_stages(run)


def test_its_stages_run_after_a_log_line_names_another_commit(source: Source, github: StandIn) -> None:
    """The row of the log line is updated in place when its file is read again with another pattern."""
    Service.objects.filter(pk=source.service_id).update(deployments_from="logs")
    source = Source.objects.get(pk=source.pk)
    log_a_deployment(source)
    LogDeployment.objects.update(sha=Commit.objects.order_by("pk").values_list("sha", flat=True)[0])
    for day in range(3, 7):
        at(github, END + day * DAY, lambda: surveyed_night(source))
    run = at(github, END + 7 * DAY, lambda: opened(source))
    assert not is_kept(run)
    LogDeployment.objects.update(sha="b" * 40)
    assert has_stages(run)


def test_the_result_of_an_old_survey_moves_no_cursor_back(source: Source, github: StandIn) -> None:
    run = at(github, END + 3 * DAY, lambda: opened(source))
    old = {**run.options["news"], "seen_at": (END + DAY).isoformat()}
    ETLRun.objects.filter(pk=run.pk).update(options={"news": old})
    assert has_stages(run)


def test_a_source_that_settled_while_the_clock_was_wrong_has_stages(source: Source, github: StandIn) -> None:
    cursor = Cursor.objects.get(source=source, stream="repository")
    cursor.position["settled_at"] = (END + 400 * DAY).isoformat()
    cursor.save()
    assert has_stages(at(github, END + 3 * DAY, lambda: opened(source)))


def test_its_stages_run_when_something_is_new(source: Source, github: StandIn) -> None:
    world = github.worlds.by_name["acme/still"]
    add_day(world, END + 3 * DAY, changed=2)
    run = at(github, END + 3 * DAY, lambda: opened(source))
    assert has_stages(run)
    finish(run)
    next_night = at(github, END + 4 * DAY, lambda: opened(source))
    assert has_stages(next_night), "facts were written since it was settled"


def test_its_stages_run_while_a_letter_is_open(source: Source, github: StandIn) -> None:
    run = at(github, END + 3 * DAY, lambda: opened(source))
    DeadLetter.objects.create(source=source, run=run, kind="record", stage="transform", data="{}", error="odd")
    assert has_stages(run)


def test_its_stages_run_if_more_was_asked_of_the_run(source: Source, github: StandIn) -> None:
    run = at(github, END + 3 * DAY, lambda: opened(source, options={"full": True}))
    assert has_stages(run)


def test_a_run_that_somebody_holds_is_left_alone(source: Source, github: StandIn) -> None:
    run = at(github, END + 3 * DAY, lambda: opened(source))
    ledger.claim(run.pk, "extract", "another task")
    with pytest.raises(settled_runs.NotSettled):
        settled_runs.end_run(run.pk)
    run.refresh_from_db()
    assert (run.owner, run.status) == ("another task", "running")


def test_after_some_days_its_stages_run_in_any_case(source: Source, github: StandIn) -> None:
    ended = [at(github, END + day * DAY, lambda: surveyed_night(source)) for day in range(3, 20)]
    with_stages = [number for number, run in enumerate(ended) if run.extract_began_at]
    assert 1 <= len(with_stages) <= 2
    assert all(run.status == "success" for run in ended)


def test_a_run_that_reads_something_or_asks_github_does_not_settle_the_source(github: StandIn) -> None:
    show(github, exact_world("acme/still", end=END - 5 * DAY, **SMALL))
    reading, asking = source_of("acme/still"), source_of("acme/still", name="asks", deployments_from="workflows")
    for number, moment in enumerate((END, END + DAY, END + 2 * DAY)):
        for source in (reading, asking):
            at(github, moment, lambda source=source: surveyed_night(source))
        if number == 0:
            assert not Cursor.objects.filter(position__has_key="settled").exists()
    assert list(Cursor.objects.filter(position__has_key="settled").values_list("source", flat=True)) == [reading.pk]


# --- the night --------------------------------------------------------------------------------------------------------


def test_the_night_sends_settled_runs_together_and_each_ends(
    source: Source, github: StandIn, sent_messages: Callable[[], list[tuple[str, list[Any]]]], django_capture_on_commit_callbacks: Any
) -> None:
    def start() -> list[ETLRun]:
        with django_capture_on_commit_callbacks(execute=True):
            return pipeline.open_night((END + 3 * DAY).date())

    runs = at(github, END + 3 * DAY, start)
    assert sent_messages() == [("etl.end_settled", [[run.pk for run in runs]])]
    at(github, END + 3 * DAY, lambda: settled_tasks.end_settled([run.pk for run in runs]))
    assert [ETLRun.objects.get(pk=run.pk).status for run in runs] == ["success"]
    assert sent_messages() == []


def test_settled_runs_of_one_part_of_the_survey_are_sent_before_the_next_part_is_surveyed(
    source: Source, github: StandIn, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    monkeypatch.setattr("etl_tasks.sources.github.survey.REPOSITORIES_A_QUERY", 1)
    source_of("acme/still", name="unread")
    sent: list[tuple[list[int], int]] = []
    monkeypatch.setattr(transaction, "on_commit", lambda act, robust=False: act())  # as outside of a test's transaction
    monkeypatch.setattr(pipeline, "send_settled", lambda run_ids: sent.append((list(run_ids), github.counts["requests"])))
    monkeypatch.setattr(pipeline, "send_all", lambda runs, priorities: sent.append(([run.pk for run in runs], github.counts["requests"])))

    runs = at(github, END + 3 * DAY, lambda: pipeline.open_night((END + 3 * DAY).date()))

    of = {run.source.name: run.pk for run in runs}
    assert [message for message in sent if message[0]] == [([of[source.name]], 1), ([of["unread"]], 2)]  # with the number of requests before


@pytest.mark.parametrize("is_error", [False, True])
def test_a_run_that_cannot_be_ended_is_sent_through_its_stages_and_its_neighbours_end(
    source: Source,
    github: StandIn,
    sent_runs: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    is_error: bool,
) -> None:
    show(github, exact_world("acme/beside", end=END - 5 * DAY, **SMALL))
    beside = source_of("acme/beside")
    for day in range(3):
        at(github, END + day * DAY, lambda: surveyed_night(beside))
    runs = [at(github, END + 3 * DAY, lambda source=source: opened(source)) for source in (source, beside)]
    if is_error:
        original = settled.settled_cursors

        def broken(of: Source, *args: Any) -> Any:
            if of == source:
                raise ValueError("unforeseen")
            return original(of, *args)

        monkeypatch.setattr("etl_tasks.sources.github.adapter.settled_cursors", broken)
        with pytest.raises(Exception, match="unforeseen"):
            at(github, END + 3 * DAY, lambda: settled_tasks.end_settled([run.pk for run in runs]))
    else:
        Repository.note_new_facts(source.facts_repository_id)
        at(github, END + 3 * DAY, lambda: settled_tasks.end_settled([run.pk for run in runs]))
    assert sent_runs() == [runs[0].pk]
    assert [ETLRun.objects.get(pk=run.pk).status for run in runs] == ["queued", "success"]
    finish(runs[0])


def test_quiet_sources_that_are_not_settled_are_told_apart(source: Source, github: StandIn) -> None:
    news = at(github, END + 3 * DAY, lambda: survey("github", [source]))
    assert quiet_sources("github", [source], news) == {source.pk: True}
    Cursor.objects.filter(source=source, stream="repository").update(position={})
    assert quiet_sources("github", [source], news) == {source.pk: False}
