"""Values as people read them: times with their zone, durations, shares, links that cannot run a script, and JSON as tables."""

import pytest
from django.test import Client
from django.urls import reverse

from dashboard.admin.values import clipped, structured, web_link
from dora_metrics.models import Attempt, Change, Delivery, Deployment, DORAMetric, Incident, MetricRevision, Service
from etl_tasks.models import DeadLetter, ETLRun, StagedPage
from tests.dashboard.admin.every_row import make_every_row


def page_of(client: Client, row: object, page: str = "change") -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}"  # type: ignore[attr-defined]
    return client.get(reverse(f"{name}_change", args=[row.pk]) if page == "change" else reverse(f"{name}_changelist")).content.decode()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "is_link"),
    [
        ("https://github.com/acme/billing/pull/1", True),
        ("http://example.org", True),
        ("/logs/?source=web", True),
        ("javascript:alert(1)", False),
        ("JAVASCRIPT:alert(1)", False),
        (" https://example.org", False),
        ("//evil.example/", False),
        ("/\\evil.example/", False),
        ("data:text/html,x", False),
        ("ftp://example.org", False),
        ("", False),
    ],
)
def test_only_addresses_of_the_web_and_of_this_site_become_links(url: str, is_link: bool) -> None:
    assert ("<a href=" in web_link(url)) == is_link


def test_a_link_to_the_web_tells_the_other_site_nothing() -> None:
    assert 'rel="noopener noreferrer"' in web_link("https://example.org/")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("short", "short"),
        ("two\nlines", "two lines"),
        ("one two three", '<span title="one two three">one two…</span>'),
        ("unbreakable-text", '<span title="unbreakable-text">unbreakabl…</span>'),
        ("<b>bold</b> text", '<span title="&lt;b&gt;bold&lt;/b&gt; text">&lt;b&gt;bold&lt;/b…</span>'),
    ],
)
def test_a_text_is_cut_between_words(words: str, shown: str) -> None:
    assert clipped(words, 10) == shown


def test_json_is_shown_as_tables_with_times_and_links() -> None:
    shown = structured({"at": "2026-03-01T12:00:00+00:00", "commits": [{"sha": "a" * 40, "url": "https://x.org/"}, {"sha": "b" * 40}], "n": [1, 2]})
    assert "1 Mar 2026, 12:00:00 UTC" in shown
    assert f'<code title="{"a" * 40}">aaaaaaaaaa</code>' in shown
    assert '<a href="https://x.org/"' in shown
    assert "<li>1</li><li>2</li>" in shown
    assert "{" not in shown


def test_deep_and_long_json_stays_small() -> None:
    deep: object = "end"
    for _ in range(50):
        deep = {"next": deep}
    assert "<pre>" in structured(deep)
    assert "… and 900 more" in structured(list(range(1000)))
    assert structured({}) == structured([]) == "–"


@pytest.mark.django_db
def test_numbers_are_for_people(admin_client: Client) -> None:
    make_every_row()
    delivery, value = Delivery.objects.get(), DORAMetric.objects.get()
    for page in ("change", "list"):
        assert "1.0 d" in page_of(admin_client, delivery, page)
        assert "88058" not in page_of(admin_client, delivery, page).replace("88,058", "")
        assert "33.3%" in page_of(admin_client, value, page)
        assert "0.3333" not in page_of(admin_client, value, page)
    run = page_of(admin_client, ETLRun.objects.get())
    assert "1.0 d" in run
    assert "3.0 min" in run
    assert "33.3%" in page_of(admin_client, MetricRevision.objects.get(), "list")


@pytest.mark.django_db
def test_a_delivery_is_headed_by_its_pull_request(admin_client: Client) -> None:
    make_every_row()
    page = page_of(admin_client, Delivery.objects.get())
    assert "<h2>#12 " in page
    assert "#12 " in page_of(admin_client, Delivery.objects.get(), "list")


@pytest.mark.django_db
def test_a_deployment_that_succeeded_reads_so_although_github_calls_it_inactive(admin_client: Client) -> None:
    make_every_row()
    deployment = Deployment.objects.get()
    assert deployment.state == "inactive"
    for page in ("change", "list"):
        assert '<span class="badge ok" title="">succeeded</span>' in page_of(admin_client, deployment, page)
    assert "inactive" not in page_of(admin_client, deployment, "list")


@pytest.mark.django_db
def test_causes_are_sentences_and_flags_are_words(admin_client: Client) -> None:
    make_every_row()
    page = page_of(admin_client, Attempt.objects.get())
    assert "is linked to it" in page
    assert "a revert" in page
    assert "few values" in page
    assert "2.0 d" in page


@pytest.mark.django_db
def test_a_row_leads_to_its_page_outside_the_admin(admin_client: Client) -> None:
    make_every_row()
    change = Change.objects.get(number=12)
    pages = {
        "service": (Service.objects.get(), ["billing"]),
        "deployment": (Attempt.objects.get(), ["billing", "55"]),
        "change": (change, ["billing", change.repository_id, 12]),
        "incident": (Incident.objects.get(), ["billing", "logs 1"]),
        "value": (DORAMetric.objects.get(), ["billing", "change_fail_rate", "2026-03"]),
        "run": (ETLRun.objects.get(), [ETLRun.objects.get().pk]),
        "letter": (DeadLetter.objects.get(key="1"), [DeadLetter.objects.get(key="1").pk]),
        "staged_page": (StagedPage.objects.get(), [StagedPage.objects.get().pk]),
    }
    for name, (row, arguments) in pages.items():
        assert f'href="{reverse(f"dashboard:{name}", args=arguments)}" class="viewsitelink"' in page_of(admin_client, row), name


@pytest.mark.django_db
def test_rows_lead_to_their_neighbours(admin_client: Client) -> None:
    source = make_every_row()
    run = ETLRun.objects.get()
    page = page_of(admin_client, run)
    for address in (
        reverse("admin:etl_tasks_source_change", args=[source.pk]),
        reverse("admin:dora_metrics_service_change", args=[source.service_id]),
        f"{reverse('admin:etl_tasks_deadletter_changelist')}?run__id__exact={run.pk}&amp;state=all",
        f"{reverse('admin:etl_tasks_stagedpage_changelist')}?run__id__exact={run.pk}",
    ):
        assert address in page
        assert admin_client.get(address.replace("&amp;", "&")).status_code == 200
    assert reverse("admin:etl_tasks_stagedpage_change", args=[1]) in page_of(admin_client, Change.objects.get(number=12))
    assert "55/1" in page_of(admin_client, Incident.objects.get())
