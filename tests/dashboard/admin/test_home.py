"""The admin's home: last night, what to do, links to the pages, what people configure in front, and the data behind."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now
from django_celery_beat.models import SolarSchedule

from dashboard.admin_site import CONFIGURED, DATA, OTHERS
from etl_tasks.models import DeadLetter, ETLRun, Source

pytestmark = pytest.mark.django_db
HOME = "/admin/"


def test_it_says_how_last_night_was_and_links_to_what_needs_a_person(admin_client: Client, billing: Source) -> None:
    run = ETLRun.objects.create(
        source=billing, pipeline="billing", trigger="beat", status="failed", error="GitHub answered HTTP 502", lease_until=now()
    )
    for key in "12":
        DeadLetter.objects.create(source=billing, run=run, key=key, kind="record", stage="load", error="x")
    ETLRun.objects.filter(pk=run.pk).update(logical_date=now().date())
    page = admin_client.get(HOME).content.decode()
    assert "GitHub answered HTTP 502" in page
    assert "0 of 1 source collected" in page
    assert "2 records or pages could not be processed." in page
    assert reverse("dashboard:run", args=[run.pk]) in page
    assert reverse("dashboard:source", args=[billing.pk]) in page
    assert f'href="{reverse("dashboard:overview")}"' in page
    for name in ("operations", "letters", "logs", "setup"):
        assert f'href="{reverse(f"dashboard:{name}")}"' in page
    assert f'href="{reverse("api:openapi-view")}"' in page


def test_a_quiet_morning_says_that_nothing_needs_a_person(admin_client: Client) -> None:
    assert "Nothing needs you." in admin_client.get(HOME).content.decode()


def test_it_takes_the_same_few_queries_for_many_sources(admin_client: Client, billing: Source, django_assert_max_num_queries) -> None:
    for number in range(10):
        source = Source.objects.create(name=f"s{number}", service=billing.service, kind="github", repository=f"a/s{number}")
        Source.objects.filter(pk=source.pk).update(created_at=now() - timedelta(days=9))
    with django_assert_max_num_queries(15):
        admin_client.get(HOME)


def test_what_people_configure_is_in_front_and_the_data_is_folded(admin_client: Client) -> None:
    sections = admin_client.get(HOME).context["app_list"]
    assert [section["app_label"] for section in sections if not section["is_data"]] == list(CONFIGURED)
    assert [section["app_label"] for section in sections if section["is_data"]] == list(DATA)
    assert OTHERS not in {section["app_label"] for section in sections}
    page = admin_client.get(HOME).content.decode()
    assert '<details class="data">' in page
    assert page.index("API tokens") < page.index('<details class="data">') < page.index("ETL runs")
    assert '<details class="data" open>' in admin_client.get(reverse("admin:etl_tasks_etlrun_changelist")).content.decode()


def test_kinds_of_schedules_that_nobody_uses_are_left_out(admin_client: Client) -> None:
    listed = "admin:django_celery_beat_solarschedule_changelist"
    for model in ("groupresult", "solarschedule", "clockedschedule"):
        assert f"/{model}/" not in admin_client.get(HOME).content.decode()
    form = admin_client.get(reverse("admin:django_celery_beat_periodictask_add")).content.decode()
    assert "id_crontab" in form
    assert "id_solar" not in form
    SolarSchedule.objects.create(event="sunset", latitude=1, longitude=1)
    assert reverse(listed) in admin_client.get(HOME).content.decode()
    assert "id_solar" in admin_client.get(reverse("admin:django_celery_beat_periodictask_add")).content.decode()


def test_staff_without_the_permission_are_not_told_of_the_night(client: Client) -> None:
    client.force_login(User.objects.create_user("staff", is_staff=True))
    page = client.get(HOME).content.decode()
    assert 'id="night"' not in page
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.groups.add(Group.objects.get(name="Viewer"))
    client.force_login(viewer)
    assert 'id="night"' in client.get(HOME).content.decode()


def test_no_page_of_the_admin_has_an_inline_script_or_style(admin_client: Client, billing: Source) -> None:
    pages = [HOME, reverse("admin:dora_metrics_service_change", args=[billing.service_id]), reverse("admin:django_celery_beat_periodictask_add")]
    for page in [*pages, reverse("admin:etl_tasks_source_changelist"), reverse("admin:etl_tasks_source_add") + "?kind=logs"]:
        content = admin_client.get(page).content.decode()
        assert "<style" not in content
        assert " style=" not in content
        assert "<script>" not in content
        assert " onclick=" not in content
