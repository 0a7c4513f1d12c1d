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
    page.get_by_label("Source").select_option("calls")
    page.get_by_role("button", name="Search").click()
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
    expect(page.locator("#tail-says")).to_contain_text("checked at")
    store("first after", "second after")
    expect(page.locator("#events td.message")).to_have_text(["second after", "first after", "before"])
    page.locator("#tail").uncheck()
    expect(page.locator("#tail-says")).to_have_text("")
