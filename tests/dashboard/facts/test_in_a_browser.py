"""The pages about facts, used through a real browser: from a number to the answer that it came from."""

import hashlib
import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.db import transaction
from django.utils.timezone import now
from playwright.sync_api import Page, expect

from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Change, Deployment, Service
from etl_tasks.models import ETLRun, Source, StagedPage
from etl_tasks.models.staging import compressed
from tests.dashboard.conftest import PHONE, Visit
from tests.dashboard.facts.conftest import WITH_LOGS
from tests.dora_metrics.example_service import NOW, a_service
from tests.dora_metrics.stored_rows import repository_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("browser")]
ANSWER = b'{"data": {"title": "<b>Add invoices</b>"}}'


@pytest.fixture(autouse=True)
def frozen() -> None:
    """Let the clock run, because a browser waits by it."""


@pytest.fixture(autouse=True)
def billing(transactional_db: None) -> Service:
    service = a_service("billing", WITH_LOGS)
    source = Source.objects.create(name="billing", service=service, kind="github")
    run = ETLRun.objects.create(source=source, pipeline="billing", trigger="command", lease_until=now())
    staged = StagedPage.objects.create(
        run=run,
        number=1,
        stream="pull_requests",
        url="https://api.github.example/graphql",
        body=compressed(ANSWER),
        sha256=hashlib.sha256(ANSWER).hexdigest(),
        record_count=1,
        fetched_at=now(),
    )
    Change.objects.update(page_id=staged.pk, title="<b>Add invoices</b>", url="https://github.example/acme/billing/pull/1")
    Deployment.objects.update(page_id=staged.pk)
    with transaction.atomic():
        recompute(service, moment=NOW)
    return service


def paths(service: Service) -> list[str]:
    repository = repository_of(service).pk
    values = [f"/services/billing/{metric}/2026-W02/" for metric in ("deployment_frequency", "change_lead_time", "change_fail_rate")]
    facts = ["/services/billing/deployments/4/", f"/services/billing/changes/{repository}/1/", "/services/billing/incidents/issue~20102/"]
    return [*values, *facts, "/services/billing/incidents/logs~202026-01-08T02~3A00Z/", f"/staged/{StagedPage.objects.get().pk}/", "/definitions/"]


def test_a_lead_goes_from_a_number_to_the_answer_that_it_came_from(page: Page) -> None:
    page.goto("/services/billing/change_fail_rate/2026-01/")
    page.get_by_role("link", name="rollback (1)").click()
    expect(page.locator("#facts tbody tr")).to_have_count(1)
    page.locator("#facts tbody").get_by_role("link", name="deployment 4", exact=True).click()
    expect(page.get_by_role("heading", name="Deployment 4")).to_be_visible()
    expect(page.get_by_text("counts as failed", exact=True)).to_be_visible()
    page.locator("section", has_text="Changes that it carried first").get_by_role("link", name="pull request 4").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("#4 <b>Add invoices</b>")
    expect(page.locator("ol.timeline li")).to_have_count(3)
    page.get_by_role("link", name="Staged answer").click()
    expect(page.locator("pre.answer")).to_contain_text('"title": "<b>Add invoices</b>"')
    expect(page.get_by_text("matches")).to_be_visible()
    page.get_by_role("link", name="As it came").click()
    expect(page.locator("pre.answer")).to_have_text(ANSWER.decode())
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == ANSWER


def test_a_lead_asks_why_a_number_moved(page: Page) -> None:
    page.goto("/services/billing/change_fail_rate/2026-W02/")
    why = page.locator("#why")
    expect(why).to_contain_text("+50.0 points")
    why.get_by_text("The facts that made the difference").click()
    expect(why.locator("details tbody tr").first).to_contain_text("+25.0 points")
    why.get_by_text("Compare with another period").click()
    why.get_by_label("Period").fill("2026-01-20..2026-02-05")
    why.get_by_role("button", name="Compare").click()
    page.wait_for_url(re.compile("against="))
    expect(page.locator("#why")).to_contain_text("There is nothing to compare")
    page.get_by_role("link", name="How it is defined").click()
    expect(page.locator("h2#change_fail_rate")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [None, PHONE], ids=["wide", "phone"])
def test_every_page_fits_its_screen_and_has_no_serious_fault(chromium: Any, visit: Visit, billing: Service, scheme: Any, viewport: Any) -> None:
    page = visit.page
    page.emulate_media(color_scheme=scheme)
    if viewport:
        page.set_viewport_size(viewport)
    for path in paths(billing):
        page.goto(path)
        for summary in page.locator("#why summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
        faults = [fault for fault in Axe().run(page).response["violations"] if fault["impact"] in ("serious", "critical")]
        assert not faults, (path, [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in faults])
