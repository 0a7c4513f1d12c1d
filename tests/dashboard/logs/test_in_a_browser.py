"""The log page, used through a real browser."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils.timezone import now
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import url_contains
from selenium.webdriver.support.wait import WebDriverWait

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


def messages(browser: Chrome) -> list[str]:
    return [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#events td.message")]


def assert_shown(browser: Chrome, *expected: str) -> None:
    """Wait until the page, which a click may have requested, shows exactly these messages of events."""
    waiting = WebDriverWait(browser, 10, ignored_exceptions=[StaleElementReferenceException])
    waiting.until(lambda _: messages(browser) == list(expected), f"not {expected}")


def test_a_person_searches_opens_an_event_and_finds_it_among_its_neighbours(browser: Chrome, live_server: Any) -> None:
    store("queue opened", "<b>not bold</b>", "queue closed")
    store("recorder is down", level="error")
    browser.get(f"{live_server.url}/logs/")
    browser.find_element(By.CSS_SELECTOR, "select[name=source] option:nth-of-type(2)").click()
    browser.find_element(By.CSS_SELECTOR, ".log-search button").click()
    assert_shown(browser, "recorder is down", "queue closed", "<b>not bold</b>", "queue opened")
    assert browser.find_elements(By.CSS_SELECTOR, ".log-chart rect.error")

    browser.find_element(By.CSS_SELECTOR, "select[name=level] option[value=error]").click()
    browser.find_element(By.CSS_SELECTOR, ".log-search button").click()
    assert_shown(browser, "recorder is down")

    browser.find_element(By.CSS_SELECTOR, "#events td.time a").click()
    WebDriverWait(browser, 10).until(url_contains("/logs/event/calls/"))
    around = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, ".log-events td.message")]
    assert around == ["queue opened", "<b>not bold</b>", "queue closed", "recorder is down"]
    assert browser.find_element(By.CSS_SELECTOR, "tr.this td.message").text == "recorder is down"


def test_the_live_tail_puts_new_events_on_top_and_stops_when_it_is_switched_off(browser: Chrome, live_server: Any) -> None:
    store("before")
    browser.get(f"{live_server.url}/logs/?source=calls")
    browser.find_element(By.ID, "tail").click()
    WebDriverWait(browser, 5).until(lambda _: browser.find_element(By.ID, "tail-says").text.startswith("checked at"))
    store("first after", "second after")
    assert_shown(browser, "second after", "first after", "before")
    browser.find_element(By.ID, "tail").click()
    assert browser.find_element(By.ID, "tail-says").text == ""
