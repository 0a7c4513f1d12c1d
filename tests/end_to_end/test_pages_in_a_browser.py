"""The pages in a real browser, with real web, worker and beat processes behind them, as a person uses them who has no shell."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.utils.timezone import now
from playwright.sync_api import Page, expect

from callcentersite.celery import app
from dashboard.groups import create_groups
from dora_metrics.models import Service
from etl_tasks.models import DeadLetter, ETLRun, Source
from github_stand_in.resolvers import Worlds
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.dashboard.conftest import Visit, session_of
from tests.end_to_end.conftest import Stack
from tests.end_to_end.test_night import every_second
from tests.tables import assert_equal_to_truth

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]
PASSWORD = "only-for-tests"
MASKED = "login with password=*******"


@pytest.fixture
def operator(transactional_db: None) -> User:
    """Return a member of the group Operator, who is not staff."""
    create_groups()
    user = User.objects.create_user("olga", password=PASSWORD)
    user.groups.add(Group.objects.get(name="Operator"))
    return user


@contextmanager
def browsing(chromium: Any, stack: Stack, user: User | None = None) -> Iterator[Page]:
    """Open a page as the user, or as somebody who is not logged in. At the end, check that no page had an error or broke the policy."""
    visit = Visit(chromium, stack.web_url, session=session_of(user) if user else "")
    try:
        yield visit.page
    finally:
        visit.close()
    assert not visit.complaints


def test_the_first_visit_leads_from_the_login_through_the_forms_to_the_first_numbers_and_to_a_log(
    chromium: Any, empty_stack: Stack, operator: User
) -> None:
    moment = now()
    empty_stack.github.worlds = Worlds({"acme/shop": ordinary_world("acme/shop", end=moment, days=45)})
    empty_stack.github.clock = moment
    with empty_stack.running("web", "worker"), browsing(chromium, empty_stack) as page:
        log_in(page)
        add_the_repository(page)
        see_the_first_numbers(page)
        empty_stack.logs.write_text(recent_lines())
        add_the_log(page, str(empty_stack.logs))
    assert sorted(ETLRun.objects.values_list("source__kind", "status", "trigger")) == [("github", "success", "admin"), ("logs", "success", "admin")]
    assert not DeadLetter.objects.exists()


def log_in(page: Page) -> None:
    page.goto("/")
    page.wait_for_url("**/login/?next=/")
    page.get_by_label("Name").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="No service yet")).to_be_visible()


def add_the_repository(page: Page) -> None:
    page.get_by_role("link", name="Add a service").click()
    page.wait_for_url("**/setup/")
    page.get_by_role("link", name="Add a repository").click()
    page.get_by_label("Repository", exact=True).fill("acme/shop")
    page.get_by_role("button", name="Test the connection").click()
    expect(page.locator(".badge.ok")).to_have_text("✓ can be read")
    assert not Service.objects.exists(), "the test of the connection has stored something"
    expect(page.get_by_label("production", exact=True)).to_be_checked()
    page.get_by_role("button", name="Add it and start collecting").click()
    page.wait_for_url("**/setup/progress/*/")


def see_the_first_numbers(page: Page) -> None:
    expect(page.get_by_role("heading", name="The first numbers")).to_be_visible()  # the page refreshes itself
    expect(page.locator("#progress li")).to_have_text(
        [f"{stage}: ✓ done" for stage in ("Collect", "Check and clean", "Load, and compute the numbers")]
    )
    values = page.locator("#progress dl.facts dd strong")
    expect(values).to_have_text(
        [re.compile(pattern) for pattern in (r"^\d.* a day$", r"^\d.* (d|h|min)$", r"^\d.*%$", r"^\d.* (d|h|min)$", r"^\d.*%$")]
    )
    page.get_by_role("link", name="To the service").click()
    page.wait_for_url("**/services/shop/")
    expect(page.locator("canvas").first).to_be_visible()


def recent_lines() -> str:
    """Return lines of a log from the last minutes, one of which has a secret."""
    began = now() - timedelta(minutes=5)
    said = ["queue opened", "login with password=hunter2", "recorder is down"]
    levels = ["info", "info", "error"]
    return "".join(
        json.dumps({"time": (began + timedelta(seconds=number)).isoformat(), "level": level, "message": message}) + "\n"
        for number, (level, message) in enumerate(zip(levels, said, strict=True))
    )


def add_the_log(page: Page, path: str) -> None:
    page.get_by_role("link", name="Setup").click()
    page.get_by_role("link", name="Add log files").click()
    page.get_by_label("Service", exact=True).fill("shop")
    page.get_by_label("Files").fill(path)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("3 events in 3 lines, read as JSON lines.")).to_be_visible()
    expect(page.locator("table.list tbody td:nth-child(3)").nth(1)).to_contain_text(MASKED)
    assert not Source.objects.filter(kind="logs").exists(), "the preview has stored something"
    page.get_by_role("button", name="Add it and start collecting").click()
    page.get_by_role("link", name="To the log").click()  # it appears when the run has ended
    expect(page.locator("#events td.message")).to_have_text(["recorder is down", MASKED, "queue opened"])
    assert "hunter2" not in page.content()


def test_a_failed_night_is_repaired_with_the_mouse_only(chromium: Any, stack: Stack, world: World, operator: User) -> None:
    stack.logs.write_text("")
    stack.github.faults = {"outage": True}
    every_second("etl nightly")
    with stack.running("web", "worker", "beat", ETL_STAGE_RETRIES="0", ETL_MAX_ATTEMPTS="1"), browsing(chromium, stack, operator) as page:
        stack.wait_for_end(2)
        failed = ETLRun.objects.get(status="failed")
        stack.github.faults = {}
        page.goto("/")
        night = page.locator(".night")
        expect(night).to_contain_text("1 of 2 sources collected")
        expect(night).to_contain_text("1 source failed: billing, GitHub answered HTTP 502")
        night.get_by_role("button", name="Replay").click()
        page.wait_for_url(f"**/operations/runs/{failed.pk}/")
        expect(page.locator("#announcer")).to_have_text(f"Run {failed.pk}: success.")
        expect(page.locator("#state-title")).to_contain_text("success")
        expect(page.locator(".balance + p")).to_contain_text("balances")
        page.get_by_role("link", name="Operations").first.click()
        expect(page.get_by_text("Nothing needs you.")).to_be_visible()
        page.get_by_role("link", name="Overview").click()
        expect(page.locator(".night")).to_contain_text("2 of 2 sources collected")
    assert_equal_to_truth(world, END)
    assert list(DeadLetter.objects.values_list("kind", "state")) == [("stage", "replayed")]


def test_the_page_of_a_run_shows_each_stage_while_a_worker_is_at_it(chromium: Any, stack: Stack, world: World, operator: User) -> None:
    """The worker takes the queues of the later stages only when the page has shown that the run waits for them."""
    stack.github.latency_seconds = 1
    with stack.running("web", "extract-worker"), browsing(chromium, stack, operator) as page:
        page.goto(f"/operations/sources/{Source.objects.get(name='billing').pk}/")
        page.get_by_role("button", name="Run now").click()
        state = page.locator("#state-title")
        expect(state).to_contain_text("1 of 3: extract")
        expect(state).to_contain_text("running")
        expect(page.get_by_text("under way")).to_be_visible()
        stack.github.latency_seconds = 0
        for queue, words in (("transform", "2 of 3: transform"), ("load", "3 of 3: load")):
            expect(state).to_contain_text(words)
            app.control.add_consumer(queue)
        expect(state).to_contain_text("success")
        expect(page.locator("table.list").first.get_by_text("not begun")).to_have_count(0)
    assert_equal_to_truth(world, END)
