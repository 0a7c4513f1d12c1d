"""The overview in a real browser: sorted, searched and drilled down, by mouse and keyboard, on a wide screen and on a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.cache import caches
from playwright.sync_api import Page, expect

from dora_metrics.models import Service
from etl_tasks.models import ETLRun, Source
from tests.dashboard.conftest import PHONE, WIDE, Visit
from tests.dora_metrics.calculators.examples import at, covering, deployment, facts, line
from tests.dora_metrics.example_service import NOW, a_service

pytestmark = pytest.mark.django_db(transaction=True)
DAILY = facts(
    deployments=tuple(deployment(day, f"c{day}", at(day)) for day in range(10, 38)),
    parents=line(*(f"c{day}" for day in range(10, 38))),
    repositories=frozenset({"acme/till"}),
    coverage=covering(at(-5), at(41)),
)
ADDRESS = "/?period=2026-01-02..2026-01-31"


@pytest.fixture
def services(visit: Visit) -> None:
    caches["overview"].clear()
    a_service("billing")
    a_service("till", DAILY)
    hostile = Service.objects.create(name='<img src=x onerror="alert(1)">')
    source = Source.objects.create(name="calls", service=hostile, kind="github", repository="acme/calls")
    Source.objects.update(created_at=NOW)
    ETLRun.objects.create(source=source, trigger="beat", status="failed", lease_until=NOW, error="<script>alert(1)</script> answered 502")


def first_names(page: Page) -> list[str]:
    return [text.split("\n")[0] for text in page.locator("table.overview tbody th").all_inner_texts()]


@pytest.mark.slow
def test_it_is_sorted_by_a_heading_searched_and_drilled_down(visit: Visit, services: None) -> None:
    page = visit.page
    page.goto(ADDRESS)
    expect(page.locator(".banner.night")).to_contain_text("1 source failed: calls, <script>alert(1)</script> answered 502")
    assert first_names(page)[0].startswith("<img")
    page.get_by_role("link", name="Change fail rate", exact=True).click()
    assert first_names(page)[0] == "billing"
    page.get_by_role("link", name="Change fail rate", exact=True).click()
    assert first_names(page)[0] == "till"
    page.get_by_label("Name contains").fill("BILL")
    page.keyboard.press("Enter")
    expect(page.locator("#services-title")).to_have_text("1 service")
    assert "period=2026-01-02..2026-01-31" in page.url
    value = page.locator("table.overview td .value a").nth(2)
    shown = value.inner_text()
    assert shown == "71.4%"
    value.click()
    expect(page.locator("h1")).to_contain_text("Change fail rate")
    expect(page.locator(".big")).to_have_text(shown)


@pytest.mark.slow
def test_the_keyboard_reaches_every_control(visit: Visit, services: None) -> None:
    page = visit.page
    page.goto(ADDRESS)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
    assert {"Skip to the content", "30 days", "search", "environment", "Show", "Deployment frequency", "billing", "71.4%"} - reached == set()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_it_fits_the_screen_and_has_no_serious_fault(visit: Visit, services: None, size: dict[str, int], scheme: str) -> None:
    page = visit.page
    page.set_viewport_size(size)
    page.emulate_media(color_scheme=scheme)
    page.goto(ADDRESS)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    found = Axe().run(page).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found if fault["impact"] in ("serious", "critical")] == []


@pytest.mark.slow
def test_on_a_phone_a_list_chooses_the_order(visit: Visit, services: None) -> None:
    page = visit.page
    page.set_viewport_size(PHONE)
    page.goto(ADDRESS)
    page.get_by_label("Order").select_option("-change_fail_rate")
    page.get_by_role("button", name="Show").click()
    assert first_names(page)[0] == "billing"
    assert "sort=-change_fail_rate" in page.url
