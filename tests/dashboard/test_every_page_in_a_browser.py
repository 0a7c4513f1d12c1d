"""Every page in a real browser: wide and narrow, light and dark, in both languages, without a complaint of the browser or of axe."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import Browser

from dora_metrics.models import Attempt, Change, Delivery, Incident, Issue
from etl_tasks import dead_letters, inline, ledger
from etl_tasks.models import DeadLetter, ETLRun, Source
from github_stand_in.server import StandIn
from log_store.event import LogEvent, event_id, file_key, to_millisecond
from log_store.opening import open_log_store
from log_store.store import LogQuery, position
from tests.dashboard.conftest import PHONE, WIDE, Visit, session_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser"), pytest.mark.timeout(900)]

HOSTILE = "<img src=x onerror=alert(1)>\"'&amp; \u202eevil"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(autouse=True)
def _sql_store(settings: Any) -> None:
    settings.CASSANDRA_CONTACT_POINTS = []


@pytest.fixture
def night(transactional_db: None, billing: Source, github: StandIn) -> ETLRun:
    """Return the run of a night of 60 days of GitHub's data, whose titles, environments and logins are hostile, with log events and letters."""
    run = ledger.open_run(billing, trigger="beat", logical_date=now().date())
    assert run
    inline.run_remaining_stages(run.pk)
    service = billing.service
    Change.objects.filter(service=service).update(title=HOSTILE, author=HOSTILE)
    Issue.objects.filter(service=service).update(title=HOSTILE)
    Incident.objects.filter(service=service).update(title=HOSTILE)
    calls = Source.objects.create(name="calls", service=service, kind=Source.Kind.LOGS, path="/var/log/calls/*.log", log_format="json")
    _write_events()
    failed = ledger.open_run(calls, trigger="shell")
    assert failed
    assert dead_letters.bury_stage(failed.pk, "extract", f"GitHub answered HTTP 502 {HOSTILE}")
    return run


def _write_events() -> None:
    began = to_millisecond(now() - timedelta(minutes=5))
    key = file_key(1, f"1:{began.timestamp()}:0")
    levels = ("info", "warning", "error", "critical", "unknown")
    open_log_store().write(
        [
            LogEvent(event_id(key, n * 100), "calls", began + timedelta(seconds=n), levels[n % 5], message=HOSTILE, extra={"note": HOSTILE})
            for n in range(30)
        ]
    )


def paths(run: ETLRun) -> Iterator[str]:
    """Yield the address of each kind of page."""
    service = run.source.service
    attempt, delivery, incident = (model.objects.filter(service=service).order_by("-pk").first() for model in (Attempt, Delivery, Incident))
    assert attempt
    assert delivery
    assert incident
    change, letter, page = delivery.change, DeadLetter.objects.get(), run.pages.first()
    assert page
    event = _newest_event()
    month = f"{attempt.finished_at:%Y-%m}"
    metrics = ("deployment_frequency", "change_lead_time", "change_fail_rate", "failed_deployment_recovery_time", "deployment_rework_rate")
    yield from (reverse(f"dashboard:{name}") for name in PLAIN)
    yield reverse("dashboard:service", args=[service.name])
    yield reverse("dashboard:service", args=[service.name]) + "?by=month&environment=production"
    yield reverse("dashboard:compare") + f"?service={service.name}&by=month"
    yield from (reverse("dashboard:value", args=[service.name, metric, month]) for metric in metrics)
    yield reverse("dashboard:deployment", args=[service.name, attempt.key])
    yield reverse("dashboard:change", args=[service.name, change.repository_id, change.number])
    yield reverse("dashboard:incident", args=[service.name, incident.key])
    yield reverse("dashboard:staged_page", args=[page.pk])
    yield reverse("dashboard:run", args=[run.pk])
    yield reverse("dashboard:source", args=[run.source_id])
    yield reverse("dashboard:run_range", args=[run.source_id])
    yield reverse("dashboard:delete_service", args=[service.name])
    yield reverse("dashboard:letter_group", args=[letter.pk])
    yield reverse("dashboard:letter", args=[letter.pk])
    yield reverse("dashboard:setup_progress", args=[run.pk])
    yield reverse("dashboard:logs") + "?source=calls"
    yield reverse("dashboard:log_event", args=["calls", position(event)])


PLAIN = ("overview", "compare", "operations", "runs", "letters", "logs", "setup", "setup_github", "setup_logs", "definitions")


def _newest_event() -> LogEvent:
    return open_log_store().read(LogQuery("calls", now() - timedelta(days=1), now() + timedelta(days=1)), limit=1).events[0]


# Two show each scheme and each size. EACH_LOOK=1 adds the other two.
LOOKS = [("light", WIDE), ("dark", PHONE), *([("dark", WIDE), ("light", PHONE)] if os.environ.get("EACH_LOOK") else [])]


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_no_page_has_a_complaint(chromium: Browser, live_server: Any, night: ETLRun, scheme: Any, size: Any) -> None:
    session = session_of(User.objects.create_superuser("lead"))
    visit = Visit(chromium, live_server.url, session=session, color_scheme=scheme, viewport=size)
    problems: dict[str, list[str]] = {}
    try:
        for path in paths(night):
            visit.page.goto(path)
            visit.page.wait_for_load_state("networkidle")
            found = [*visit.complaints, *_axe_faults(visit)]
            if (overflow := visit.page.evaluate(OVERFLOW)) > 0:
                found.append(f"{overflow} pixels wider than the window")
            if visit.page.locator("img[src=x]").count():
                found.append("hostile text has become an element")
            visit.complaints.clear()
            if found:
                problems[path] = found
    finally:
        visit.close()
    assert not problems, json.dumps(problems, indent=1)


def _axe_faults(visit: Visit) -> list[str]:
    result = Axe().run(visit.page).response
    serious = [fault for fault in result["violations"] if fault["impact"] in ("serious", "critical")]
    return [f"axe: {fault['id']}: {fault['help']}: {fault['nodes'][0]['html'][:200]} ({len(fault['nodes'])}x)" for fault in serious]


def test_every_page_speaks_spanish_to_a_browser_that_asks_for_it(chromium: Browser, live_server: Any, night: ETLRun) -> None:
    session = session_of(User.objects.create_superuser("lead"))
    visit = Visit(chromium, live_server.url, session=session, locale="es-MX")
    try:
        for path in paths(night):
            visit.page.goto(path)
            assert visit.page.locator("html").get_attribute("lang") == "es", path
            assert "Resumen" in visit.page.locator("header.top").inner_text(), path
    finally:
        visit.close()
    assert not visit.complaints


def test_the_keyboard_reaches_the_content_the_menu_and_the_language(chromium: Browser, live_server: Any, night: ETLRun) -> None:
    session = session_of(User.objects.create_superuser("lead"))
    visit = Visit(chromium, live_server.url, session=session)
    page = visit.page
    try:
        page.goto("/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#content"
        page.locator("details.menu summary").last.focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Español").focus()
        page.keyboard.press("Enter")
        page.wait_for_function("document.documentElement.lang === 'es'")
        assert page.url.rstrip("/") == live_server.url
    finally:
        visit.close()
    assert not visit.complaints
