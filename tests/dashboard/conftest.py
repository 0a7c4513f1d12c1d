"""Open the pages in a real browser: the system's Chromium, driven by Playwright, logged in with a session cookie."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect

WIDE = {"width": 1366, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE_MS = 20_000  # parts of a page refresh every few seconds, and the machine may be busy
expect.set_options(timeout=PATIENCE_MS)


class Visit:
    """A browser context of a person who is logged in. `complaints`: console errors, policy violations, and answers with an error status."""

    def __init__(self, browser: Browser, base_url: str, *, session: str = "", **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(base_url=base_url, **{"viewport": WIDE, "locale": "en-GB", **options})
        self.context.set_default_timeout(PATIENCE_MS)
        if session:
            self.context.add_cookies([{"name": "sessionid", "value": session, "url": base_url}])
        self.complaints: list[str] = []
        self.context.on("console", lambda message: self._complain(message.text) if message.type in ("error", "warning") else None)
        self.context.on("weberror", lambda error: self._complain(str(error.error)))
        self.context.on("response", self._look_at)
        self.page: Page = self.context.new_page()

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    def _look_at(self, response: Response) -> None:
        if response.status >= 400:
            self._complain(f"{response.status} {response.request.method} {response.url}")

    def close(self) -> None:
        self.context.close()


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


@pytest.fixture
def visit(chromium: Browser, live_server: Any, transactional_db: None) -> Iterator[Visit]:
    """Return the visit of a superuser. Script errors, policy violations and missing files fail the test."""
    found = Visit(chromium, live_server.url, session=session_of(User.objects.create_superuser("lead", password="only-for-tests")))
    yield found
    found.close()
    assert not found.complaints


@pytest.fixture
def page(visit: Visit) -> Page:
    return visit.page
