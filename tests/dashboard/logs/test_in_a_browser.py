"""The log page, used through a real browser."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils.timezone import now
from playwright.sync_api import Page, expect

from dora_metrics.models import Service
from etl_tasks.models import Source
from log_store.event import LogEvent, event_id, file_key, to_millisecond
from log_store.opening import open_log_store
from tests.dashboard.conftest import PHONE

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]


@pytest.fixture(autouse=True)
def _sql_store(settings: Any) -> None:
    settings.CASSANDRA_CONTACT_POINTS = []


@pytest.fixture(autouse=True)
def _calls(transactional_db: None) -> None:
    service = Service.objects.create(name="billing")
    Source.objects.create(name="calls", service=service, kind=Source.Kind.LOGS, path="/var/log/calls/*.log", log_format="json")


def store(*messages: str, level: str = "info") -> None:
    began = to_millisecond(now())
    key = file_key(1, f"1:{began.timestamp()}:0")
    open_log_store().write(
        [
            LogEvent(event_id=event_id(key, number * 100), source="calls", time=began + timedelta(milliseconds=number), level=level, message=message)
            for number, message in enumerate(messages)
        ]
    )


def test_a_person_searches_opens_an_event_and_finds_it_among_its_neighbours(page: Page) -> None:
    store("queue opened", "<b>not bold</b>", "queue closed")
    store("recorder is down", level="error")
    page.goto("/logs/")
    shown = page.locator("#events td.message")
    expect(shown).to_have_text(["recorder is down", "queue closed", "<b>not bold</b>", "queue opened"])
    expect(page.locator(".log-chart rect.error").first).to_be_attached()

    page.get_by_label("Level").select_option("error")
    page.get_by_role("button", name="Search").click()
    expect(shown).to_have_text(["recorder is down"])

    page.locator("#events td.time a").click()
    page.wait_for_url("**/logs/event/calls/**")
    expect(page.locator(".log-events td.message")).to_have_text(["queue opened", "<b>not bold</b>", "queue closed", "recorder is down"])
    expect(page.locator("tr.this td.message")).to_have_text("recorder is down")


def test_the_live_tail_puts_new_events_on_top_and_stops_when_it_is_switched_off(page: Page) -> None:
    store("before")
    page.goto("/logs/?source=calls")
    page.locator("#tail").check()
    expect(page.locator("#tail-says")).to_have_text("Waiting for new events")
    expect(page.locator("#tail-checked")).to_contain_text("checked at")
    store("first after", "second after")
    expect(page.locator("#events td.message")).to_have_text(["second after", "first after", "before"])
    expect(page.locator("#tail-says")).to_have_text("New events: 2")
    page.locator("#tail").uncheck()
    expect(page.locator("#tail-says")).to_have_text("")


def test_the_live_tail_pauses_while_somebody_reads_further_down(page: Page) -> None:
    store(*(f"line {number}" for number in range(100)))
    page.goto("/logs/")
    page.clock.install()
    page.locator("#tail").check()
    expect(page.locator("#tail-says")).to_have_text("Waiting for new events")
    page.locator("#events tr").last.scroll_into_view_if_needed()
    page.clock.run_for(6000)
    expect(page.locator("#tail-says")).to_contain_text("Paused")
    store("written meanwhile")
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#events td.message").first).to_have_text("written meanwhile")


def test_on_a_phone_nothing_is_wider_than_the_screen(page: Page) -> None:
    store("x" * 3000, "<script>alert(1)</script>\n" + "y" * 3000, level="critical")
    page.set_viewport_size(PHONE)
    page.goto("/logs/")
    expect(page.locator("#events tr")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("#events td.time a").first.click()
    expect(page.get_by_role("heading", name="Surrounding events")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_quick_period_is_chosen_and_a_bar_opens_its_own_period(page: Page) -> None:
    store("one", "two")
    page.goto("/logs/?level=info")
    page.get_by_role("link", name="Last 15 minutes").click()
    expect(page.locator(".tabs [aria-current]")).to_have_text("Last 15 minutes")
    expect(page.get_by_label("Level")).to_have_value("info")
    page.locator(".log-chart a").first.press("Enter")
    expect(page.get_by_label("From")).not_to_have_value("")
    expect(page.locator("#events td.message")).to_have_text(["two", "one"])
