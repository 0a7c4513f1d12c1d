"""Open the pages in a real browser, logged in with a session cookie."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service as Driver


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chrome]:
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no Chromium: see the line at the end")
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "no-first-run", "window-size=1400,1000"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options=options, service=Driver(shutil.which("chromedriver"))) as browser:
        browser.implicitly_wait(5)
        yield browser


@pytest.fixture
def browser(chromium: Chrome, live_server: Any, transactional_db: None) -> Iterator[Chrome]:
    """Return a browser that is logged in. Script errors and missing files fail the test."""
    client = Client()
    client.force_login(User.objects.create_superuser("lead", password="only-for-tests"))
    chromium.get(f"{live_server.url}/healthz")
    chromium.delete_all_cookies()
    chromium.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})
    chromium.get_log("browser")
    yield chromium
    chromium.get("about:blank")
    complaints = [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]
    assert not complaints
