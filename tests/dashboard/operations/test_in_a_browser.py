"""The operations pages in a real browser. The tests play the worker: they take the messages that the pages send."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import Page, expect

from etl_tasks import inline, ledger
from etl_tasks.models import ETLRun, Source
from github_stand_in.server import StandIn
from tests.dashboard.conftest import PHONE
from tests.etl_tasks.selectors.conftest import AddRun, AddSource

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

TOO_WIDE = "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > 391).map((e) => e.outerHTML.slice(0, 99))"


@pytest.fixture
def failed(transactional_db: None, billing: Source, github: StandIn, sent_messages: Any) -> ETLRun:
    """Last night's run, which failed because GitHub was down."""
    Source.objects.update(created_at=now() - timedelta(days=3))
    run = ledger.open_run(billing, trigger="beat", logical_date=now().date())
    assert run
    github.faults = {"outage": True}
    with pytest.raises(inline.StageFailed):
        inline.run_remaining_stages(run.pk)
    github.faults = {}
    return run


def open_operations(page: Page) -> None:
    page.goto(reverse("dashboard:operations"))
    expect(page.locator("#live")).to_be_visible()
    expect(page.locator("#nights")).to_be_visible()
    expect(page.locator("#components")).to_be_visible()


def test_a_failed_night_is_repaired_with_the_mouse_only(page: Page, failed: ETLRun, sent_runs: Callable[[], list[int]]) -> None:
    open_operations(page)
    expect(page.locator(".needs")).to_contain_text("Extract failed: GitHub answered HTTP 502")
    page.get_by_role("link", name=f"Run {failed.pk}", exact=True).click()
    expect(page.locator("#state-title")).to_contain_text("failed")
    page.locator("#replay").click()
    expect(page.locator("#state-title")).to_contain_text("queued")
    assert sent_runs() == [failed.pk]
    inline.run_remaining_stages(failed.pk)  # as the worker does that takes the message
    expect(page.locator("#state-title")).to_contain_text("success")
    expect(page.locator("#announcer")).to_have_text(f"Run {failed.pk}: success.")
    expect(page.locator(".balance + p")).to_contain_text("balances")
    page.get_by_role("link", name="Operations").first.click()
    expect(page.get_by_text("Nothing needs you.")).to_be_visible()


def test_the_keyboard_is_enough_to_cancel_a_run_and_a_refresh_does_not_interrupt(
    page: Page, transactional_db: None, add_source: AddSource, add_run: AddRun
) -> None:
    run = add_run(add_source("billing"), "running", at=now())
    page.goto(reverse("dashboard:run", args=[run.pk]))
    page.locator("#cancel").focus()
    page.keyboard.press("Enter")
    button = page.get_by_role("button", name="Cancel the run")
    expect(button).to_be_visible()
    page.wait_for_timeout(4000)  # longer than the page waits before it asks for news
    expect(button).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#state-title")).to_contain_text("cancelled")
    expect(page.locator(".messages")).to_contain_text("is cancelled")


def test_a_bar_of_the_chart_leads_to_the_runs_of_its_night(page: Page, transactional_db: None, add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    run = add_run(source, at=now() - timedelta(minutes=5), seconds=60)
    page.goto(reverse("dashboard:source", args=[source.pk]))
    canvas = page.locator(".chart canvas")
    expect(canvas).to_be_visible()
    page.wait_for_timeout(1200)  # the bars grow
    box = canvas.bounding_box()
    assert box
    canvas.click(position={"x": box["width"] / 2 + 15, "y": box["height"] / 2})
    page.wait_for_url(f"**{reverse('dashboard:run', args=[run.pk])}")


def test_the_grid_is_filtered_in_its_place(page: Page, transactional_db: None, add_source: AddSource) -> None:
    add_source("billing")
    add_source("calls", is_enabled=False)
    open_operations(page)
    expect(page.locator("table.nights tbody tr")).to_have_count(2)
    page.get_by_label("Show").select_option("disabled")
    expect(page.locator("table.nights tbody tr")).to_have_count(1)
    expect(page.locator("table.nights tbody")).to_contain_text("calls")
    assert page.url.endswith(reverse("dashboard:operations"))


def test_the_pages_fit_a_phone(page: Page, transactional_db: None, add_source: AddSource, add_run: AddRun) -> None:
    source = add_source("billing")
    failed = add_run(source, "failed", at=now() - timedelta(days=1))
    ETLRun.objects.filter(pk=failed.pk).update(error="GitHubAnsweredAVeryLongWordWithoutAnySpace" * 8)
    run = add_run(source, "running", at=now(), since="2026-01-01T00:00:00+00:00")
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    open_operations(page)
    addresses = [reverse(f"dashboard:{name}") for name in ("operations", "runs", "nights", "live", "durations", "components")]
    addresses += [reverse("dashboard:run", args=[pk]) for pk in (failed.pk, run.pk)]
    addresses += [reverse(f"dashboard:{name}", args=[source.pk]) for name in ("source", "run_range", "delete_source")]
    for address in addresses:
        page.goto(address)
        page.wait_for_load_state("networkidle")
        too_wide = page.evaluate(TOO_WIDE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], (address, too_wide)
