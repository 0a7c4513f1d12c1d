"""What the operations pages show, who may see them, and how many queries they take."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now
from pytest_django import DjangoAssertNumQueries

from dora_metrics.models import MetricRevision
from etl_tasks import component_states, pipeline
from etl_tasks.models import Cursor, DeadLetter, ETLRun, Fault, GitHubBudget, Source, StagedPage, StreamProgress
from tests.etl_tasks.selectors.conftest import MORNING, NIGHT, AddRun, AddSource

pytestmark = pytest.mark.django_db
PAGES = ("operations", "live", "nights", "durations", "components", "runs")
MOST_QUERIES = 15
HTMX = {"HX-Request": "true"}
HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(autouse=True)
def morning() -> Any:
    with time_machine.travel(MORNING, tick=False):
        yield


@pytest.fixture(autouse=True)
def broker_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for Redis: the tests of component_states ask a real one."""
    monkeypatch.setattr(pipeline, "check_broker", lambda: None)
    monkeypatch.setattr(pipeline, "queue_lengths", lambda queues: dict.fromkeys(queues, 4))


def letter_of(run: ETLRun, number: int = 0, *, kind: str = "record", error: str = "no date", state: str = "open") -> DeadLetter:
    key = f"{kind}:{run.pk}:{number}"
    return DeadLetter.objects.create(source=run.source, run=run, key=key, kind=kind, stage="transform", error=error, state=state)


def text_of(client: Client, name: str, *args: Any, **query: str) -> str:
    answer = client.get(reverse(f"dashboard:{name}", args=args), query)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_before_there_is_anything_to_show(viewer: Client, name: str) -> None:
    assert text_of(viewer, name)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_a_login_and_the_permission_to_see_runs(client: Client, django_user_model: Any, name: str) -> None:
    address = reverse(f"dashboard:{name}")
    assert client.get(address).status_code == 302
    client.force_login(django_user_model.objects.create_user("guest"))
    assert client.get(address).status_code == 403
    assert client.post(address).status_code == 405


@pytest.mark.parametrize("name", ["live", "nights", "durations", "components"])
def test_htmx_gets_only_the_content_of_a_part(viewer: Client, name: str) -> None:
    whole, part = viewer.get(reverse(f"dashboard:{name}")), viewer.get(reverse(f"dashboard:{name}"), headers=HTMX)
    assert "<html" in whole.content.decode()
    assert "<html" not in part.content.decode()
    assert "HX-Request" in part["Vary"]


# --- the operations page --------------------------------------------------------------------------------------------


def test_the_operations_page_says_what_needs_a_person_and_what_to_press(operator: Client, add_source: AddSource, add_run: AddRun) -> None:
    failed, missing, good = add_source("billing"), add_source("calls"), add_source("web")
    run = add_run(failed, "failed", night=NIGHT.date())
    add_run(missing, at=NIGHT - timedelta(days=1), night=NIGHT.date() - timedelta(days=1))
    add_run(good, night=NIGHT.date())
    ETLRun.objects.filter(pk=run.pk).update(error=f"GitHub answered HTTP 502 {HOSTILE}")
    letter_of(run, kind="stage")
    Fault.objects.create(name="the survey of github sources", error="no answer")
    shown = text_of(operator, "operations")
    assert "1 of 3 sources collected" in shown
    assert "Extract failed: GitHub answered HTTP 502 &lt;script&gt;" in shown
    assert f'action="{reverse("dashboard:replay_run", args=[run.pk])}"' in shown
    assert f'action="{reverse("dashboard:run_source", args=[missing.pk])}"' in shown
    assert "the survey of github sources: no answer" in shown
    assert "could not be processed" not in shown  # the one letter of billing is the failed stage itself


def test_who_may_only_read_sees_no_buttons(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    run = add_run(add_source("billing"), "failed", night=NIGHT.date())
    letter_of(run, kind="stage")
    for shown in (text_of(viewer, "operations"), text_of(viewer, "run", run.pk), text_of(viewer, "source", run.source_id)):
        content = shown.partition("<main")[2]
        assert '<form method="post"' not in content
        assert "Replay</button>" not in content


def test_a_source_that_is_running_again_is_not_offered_to_run(operator: Client, add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    run = add_run(source, "running", at=MORNING)
    shown = text_of(operator, "operations")
    assert "No run has succeeded for 26 hours." in shown
    assert f"Run {run.pk} is in progress." in shown
    assert reverse("dashboard:run_source", args=[source.pk]) not in shown


def test_a_night_without_problems_is_calm(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    add_run(add_source("billing"), night=NIGHT.date())
    shown = text_of(viewer, "operations")
    assert "1 of 1 source collected" in shown
    assert "Nothing needs you." in shown


def test_more_needs_than_fit_are_counted(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    for number in range(25):
        add_run(add_source(f"source-{number}"), "failed", night=NIGHT.date())
    assert "And 5 more sources with problems" in text_of(viewer, "operations")


# --- its parts ------------------------------------------------------------------------------------------------------


def test_runs_in_progress_show_stage_pages_records_budget_and_estimated_end(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    add_run(source, at=NIGHT - timedelta(days=1), seconds=600)
    run = add_run(source, "running", at=MORNING - timedelta(minutes=2))
    ETLRun.objects.filter(pk=run.pk).update(extracted=1234)
    StagedPage.objects.create(run=run, number=1, stream="issues", url="", body=b"", sha256="", record_count=3, fetched_at=NIGHT)
    GitHubBudget.objects.create(resource="graphql", remaining=4321, limit=5000, resets_at=MORNING + timedelta(minutes=5), seen_at=MORNING)
    shown = text_of(viewer, "live")
    for expected in ("1 of 3: extract", ">1</td>", "1,234 extracted", "26 Nov 2026, 08:08:00 UTC", "4,321 of 5,000 GraphQL points", "every 3s"):
        assert expected in shown


def test_an_end_that_cannot_be_estimated_is_unknown(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    add_run(add_source("billing"), "running")
    assert "unknown" in text_of(viewer, "live")


def test_a_run_that_takes_longer_than_usual_is_said_to(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    add_run(source, at=NIGHT - timedelta(days=1), seconds=60)
    add_run(source, "running", at=MORNING - timedelta(hours=1))
    assert "longer than usual (1.0 min)" in text_of(viewer, "live")


def test_the_page_asks_less_often_while_nothing_moves(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    assert "every 30s" in text_of(viewer, "live")
    add_run(add_source("billing"), "postponed", at=MORNING)
    shown = text_of(viewer, "live")
    assert "every 30s" in shown
    assert "waits until" in shown


def test_the_age_of_the_oldest_open_letter_is_shown(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    with time_machine.travel(MORNING - timedelta(days=3), tick=False):
        letter_of(add_run(add_source("billing")))
    assert "The oldest open dead letter waits for 3.0 d (billing)" in text_of(viewer, "live")


def test_the_grid_links_each_cell_to_its_run_and_says_its_state_in_words(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    run = add_run(source, "failed", night=NIGHT.date())
    shown = text_of(viewer, "nights")
    assert f'href="{reverse("dashboard:run", args=[run.pk])}" aria-label="billing, 26 Nov: failed"' in shown
    assert '<span class="visually-hidden">missing</span>' in shown


def test_the_grid_is_filtered_and_paginated(viewer: Client, add_source: AddSource) -> None:
    for number in range(60):
        add_source(f"source-{number:02}")
    disabled = add_source("quiet", is_enabled=False)
    first = text_of(viewer, "nights")
    assert "1 to 50 of 61 sources" in first
    assert "source-59" not in first
    assert "source-59" in text_of(viewer, "nights", page="2")
    only = text_of(viewer, "nights", show="disabled")
    assert disabled.name in only
    assert "source-00" not in only
    assert "No source matches." in text_of(viewer, "nights", q="nothing like this")
    for bad in ({"page": "x"}, {"page": "99999999"}, {"show": "'; drop"}, {"q": "\x00"}):
        assert viewer.get(reverse("dashboard:nights"), bad).status_code in (200, 400)


def test_components_queues_and_pending_deletions_are_shown(viewer: Client, add_source: AddSource) -> None:
    add_source("billing")
    Source.objects.update(deletion_began_at=MORNING)
    add_source("calls", host="web-1")
    shown = text_of(viewer, "components")
    for expected in ("Database", "Log store", "Beat", "extract@web-1: <strong>4</strong>", "Being deleted", "billing"):
        assert expected in shown


def test_components_answer_while_the_broker_and_the_log_store_do_not(viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from etl_tasks.bounded_checks import Unanswered

    class Hanging:
        def begin(self, check: object) -> Callable[[float], object]:
            def wait(timeout_s: float) -> object:
                raise Unanswered

            return wait

    for name in ("_broker", "_log_store"):
        monkeypatch.setattr(component_states, name, Hanging())
    shown = text_of(viewer, "components")
    assert shown.count("has a problem") >= 2
    assert 'Waiting messages</dt><dd><span class="muted">unknown' in shown


# --- runs -----------------------------------------------------------------------------------------------------------


def test_the_list_of_runs_is_filtered(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    failed = add_run(add_source("billing"), "failed", night=NIGHT.date())
    good = add_run(add_source("calls"), at=NIGHT - timedelta(days=1), night=NIGHT.date() - timedelta(days=1))

    def ids(**query: str) -> list[int]:
        return [run.pk for run in viewer.get(reverse("dashboard:runs"), query).context["page"].runs]

    assert ids() == [good.pk, failed.pk]
    assert ids(source="calls") == [good.pk]
    assert ids(status="failed") == [failed.pk]
    assert ids(night="2026-11-25") == [good.pk]
    assert ids(night="2020-01-01") == []
    assert ids(trigger="beat") == [good.pk, failed.pk]
    assert ids(before=str(good.pk)) == [failed.pk]
    assert ids(after=str(failed.pk)) == [good.pk]


@pytest.mark.parametrize(
    "query", [{"night": "yesterday"}, {"night": "2999-01-01"}, {"status": "bad"}, {"trigger": "?"}, {"before": "x"}, {"after": "-1"}]
)
def test_a_filter_that_cannot_be_is_refused_with_a_sentence(viewer: Client, query: dict[str, str]) -> None:
    answer = viewer.get(reverse("dashboard:runs"), query)
    assert answer.status_code == 400
    assert "problem" in answer.content.decode()


def test_the_page_of_a_run_shows_everything_about_it(operator: Client, add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    run = add_run(source, "partial", night=NIGHT.date(), seconds=90)
    ETLRun.objects.filter(pk=run.pk).update(extracted=100, loaded=90, skipped=7, dead_lettered=3)
    for number in range(3):
        letter_of(run, number, error=f"no date {HOSTILE}")
    StreamProgress.objects.create(run=run, stream="issues", cursor={"collected_until": "2026-11-26T01:00:00+00:00"}, is_done=True)
    StagedPage.objects.create(run=run, number=1, stream="issues", url="", body=b"", sha256="", record_count=100, fetched_at=NIGHT)
    revision = {"service": source.service, "environment": "production", "metric": "change_fail_rate", "period": "month"}
    MetricRevision.objects.create(
        **revision, period_start="2026-10-01", before={"value": 0.1}, after={"value": 0.2}, definition_version="1", run_id=run.pk
    )
    shown = text_of(operator, "run", run.pk)
    for expected in (
        "balances",
        "3 dead letters",
        "Replay all 3 like this",
        "no date &lt;script&gt;",
        "2026-11-26T01:00:00+00:00",
        "1 staged page",
        "10.0%",
    ):
        assert expected in shown
    assert HOSTILE not in shown


def test_counts_that_do_not_balance_are_flagged(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    run = add_run(add_source("billing"))
    ETLRun.objects.filter(pk=run.pk).update(extracted=100, loaded=98)
    shown = text_of(viewer, "run", run.pk)
    assert "does not balance" in shown
    assert "2 records are not accounted for" in shown


def test_a_failed_run_says_how_many_records_are_not_loaded_yet(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    run = add_run(add_source("billing"), "failed")
    ETLRun.objects.filter(pk=run.pk).update(extracted=100, loaded=98)
    shown = text_of(viewer, "run", run.pk)
    assert "does not balance" not in shown
    assert "not loaded yet" in shown


def test_a_run_that_needed_no_stages_says_why_there_are_none(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    run = add_run(add_source("billing"))
    assert "left out: nothing had changed" not in text_of(viewer, "run", run.pk)
    ETLRun.objects.filter(pk=run.pk).update(stage="load", extract_began_at=None, extract_ended_at=None)
    shown = text_of(viewer, "run", run.pk)
    assert shown.count("left out: nothing had changed") == 3
    assert "not begun" not in shown


def test_a_requested_range_is_shown(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    run = add_run(add_source("billing"), since="2026-01-01T00:00:00+00:00", until="2026-02-01T00:00:00+00:00")
    assert "from 1 Jan 2026, 00:00 UTC, until 1 Feb 2026, 00:00 UTC" in text_of(viewer, "run", run.pk)


@pytest.mark.parametrize("name", ["run", "source"])
@pytest.mark.parametrize("pk", [987654, 2**70])
def test_a_run_or_source_that_does_not_exist_is_not_found(viewer: Client, name: str, pk: int) -> None:
    assert viewer.get(reverse(f"dashboard:{name}", args=[pk])).status_code == 404


# --- a source -------------------------------------------------------------------------------------------------------


def test_the_page_of_a_source_shows_its_state_cursors_and_runs(operator: Client, add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing", host_silent_since=NIGHT, host="web-1", overdue_alerted_at=NIGHT)
    run = add_run(source, "failed", night=NIGHT.date())
    span = {"collected_from": "2026-01-01T00:00:00+00:00", "collected_until": "2026-11-26T01:00:00+00:00"}
    Cursor.objects.create(source=source, stream="issues", position=span)
    Cursor.objects.create(source=source, stream="inode 12", position={"path": "/var/log/<b>.log", "offset": 12345})
    Cursor.objects.create(source=source, stream="odd", position={"collected_from": None, "collected_until": "yesterday"})
    shown = text_of(operator, "source", source.pk)
    assert "collected from 1 Jan 2026, 00:00 UTC to 26 Nov 2026, 01:00 UTC" in shown
    for expected in (
        "/var/log/&lt;b&gt;.log",
        "acme/billing",
        "no worker since",
        "overdue since",
        "read up to byte 12,345",
        "a GitHub repository",
        f">{run.pk}</a>",
        "Run a range",
        "Disable",
    ):
        assert expected in shown


def test_a_source_in_deletion_offers_nothing(operator: Client, add_source: AddSource) -> None:
    source = add_source("billing", deletion_began_at=NIGHT, is_enabled=False)
    shown = text_of(operator, "source", source.pk).partition("<main")[2]
    assert "is being deleted since" in shown
    assert '<form method="post"' not in shown


def test_the_form_of_a_range_says_what_happens_to_the_cursors(operator: Client, add_source: AddSource) -> None:
    assert "leaves the cursors where they are" in text_of(operator, "run_range", add_source("billing").pk)


# --- queries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PAGES, "run", "source"])
def test_a_page_takes_as_many_queries_for_many_rows_as_for_few(
    operator: Client, add_source: AddSource, add_run: AddRun, django_assert_max_num_queries: DjangoAssertNumQueries, name: str
) -> None:
    counts = []
    source = add_source("first")
    earlier = add_run(source, at=NIGHT - timedelta(days=2))
    active = add_run(source, "running", night=NIGHT.date())
    args = [active.pk] if name == "run" else [source.pk] if name == "source" else []
    operator.get(reverse(f"dashboard:{name}", args=args), headers=HTMX)  # fills Django's cache of content types
    for size in (2, 30):
        for number in range(size):
            other = add_source(f"source-{size}-{number}", host="web-1", host_silent_since=NIGHT)
            letter_of(add_run(other, "failed", night=NIGHT.date()), number)
            add_run(other, "running", at=now())
            letter_of(active, size * 100 + number, error=f"error {number}")
            letter_of(earlier, size * 100 + number, kind="page")
            StreamProgress.objects.create(run=active, stream=f"{size} {number}", cursor={"path": "x"})
            Cursor.objects.create(source=source, stream=f"{size} {number}", position={})
        with django_assert_max_num_queries(MOST_QUERIES) as queries:
            assert operator.get(reverse(f"dashboard:{name}", args=args), headers=HTMX).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_link_to_flower_is_there_where_its_address_is_configured(viewer: Client, settings: Any) -> None:
    assert "Flower" not in text_of(viewer, "components")
    settings.FLOWER_URL = "https://flower.example.com/?a=1&b=2"
    assert '<a href="https://flower.example.com/?a=1&amp;b=2" rel="noopener noreferrer">Flower</a>' in text_of(viewer, "components")


def test_a_source_says_how_often_it_runs_and_when_next(viewer: Client, add_source: AddSource, add_run: AddRun) -> None:
    often = add_source("often")
    Source.objects.filter(pk=often.pk).update(every_minutes=15)
    add_run(often, at=MORNING - timedelta(minutes=5), night=NIGHT.date())
    shown = text_of(viewer, "source", often.pk)
    assert "every 15 minutes" in shown
    assert "next due" in shown
    assert "08:10" in shown
    Source.objects.filter(pk=often.pk).update(every_minutes=None)
    assert "every night" in text_of(viewer, "source", often.pk)
