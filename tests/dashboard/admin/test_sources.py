"""The admin's page of sources: the form has the fields of the kind only, and the list says what each source reads and how its run ended."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils.timezone import now

from dora_metrics.models import Service
from etl_tasks.models import ETLRun, Source

pytestmark = pytest.mark.django_db
ADD, LIST = "admin:etl_tasks_source_add", "admin:etl_tasks_source_changelist"
GITHUB, LOGS = ("repository", "credential"), ("path", "host", "log_format", "log_pattern", "deploy_pattern", "is_strict")


def fields(page: str) -> set[str]:
    return {name for name in (*GITHUB, *LOGS, "options", "name", "every_minutes") if f'name="{name}"' in page}


def test_the_kind_is_chosen_first(admin_client: Client, billing: Source) -> None:
    page = admin_client.get(reverse(ADD), {"service": billing.service_id}).content.decode()
    assert "What does the source read?" in page
    for kind in ("github", "logs"):
        assert f"?service={billing.service_id}&amp;kind={kind}" in page
    assert fields(page) == set()
    assert fields(admin_client.get(reverse(ADD), {"kind": "nonsense"}).content.decode()) == set()


def test_the_form_has_the_fields_of_the_kind_only(admin_client: Client, billing: Source) -> None:
    assert fields(admin_client.get(reverse(ADD), {"kind": "github"}).content.decode()) == {*GITHUB, "name", "every_minutes"}
    assert fields(admin_client.get(reverse(ADD), {"kind": "logs"}).content.decode()) == {*LOGS, "name", "every_minutes"}
    address = reverse("admin:etl_tasks_source_change", args=[billing.pk])
    assert fields(admin_client.get(address).content.decode()) == {*GITHUB, "name", "every_minutes"}


def test_a_field_of_another_kind_that_has_a_value_can_still_be_emptied(admin_client: Client, billing: Source) -> None:
    Source.objects.filter(pk=billing.pk).update(host="web2")
    address = reverse("admin:etl_tasks_source_change", args=[billing.pk])
    assert "host" in fields(admin_client.get(address).content.decode())


def test_an_error_of_a_field_that_the_form_lacks_is_shown_above_it(admin_client: Client, billing: Source, settings) -> None:
    settings.ETL_ADAPTERS = {"csv": "no.such.Adapter"}
    Source.objects.filter(pk=billing.pk).update(kind="gone")
    address = reverse("admin:etl_tasks_source_change", args=[billing.pk])
    form = {"name": "billing", "service": billing.service_id, "kind": "gone", "log_time_zone": "UTC"}
    answer = admin_client.post(address, form)
    assert answer.status_code == 200
    assert "no adapter reads sources of kind" in answer.content.decode()


def test_without_a_kind_the_form_says_so(admin_client: Client, billing: Source) -> None:
    answer = admin_client.post(reverse(ADD), {"name": "new", "service": billing.service_id, "log_time_zone": "UTC"})
    assert answer.status_code == 200
    assert "This field is required" in answer.content.decode()


def test_a_log_source_is_added_by_its_form(admin_client: Client, billing: Source, settings, tmp_path) -> None:
    settings.LOG_ROOTS = [str(tmp_path)]
    form = {"name": "web", "service": billing.service_id, "kind": "logs", "path": f"{tmp_path}/*.log", "log_format": "json", "log_time_zone": "UTC"}
    assert admin_client.post(reverse(ADD), {**form, "log_fields": '{"message": "text"}', "is_enabled": "on"}).status_code == 302
    source = Source.objects.get(name="web")
    assert (source.log_fields, source.options, source.is_enabled) == ({"message": "text"}, {}, True)


def test_the_list_says_what_is_read_how_often_and_how_the_latest_run_ended(admin_client: Client, billing: Source) -> None:
    for status in ("success", "failed"):
        ETLRun.objects.create(source=billing, pipeline="billing", trigger="shell", status=status, lease_until=now())
    Source.objects.filter(pk=billing.pk).update(every_minutes=15, is_archived=True)
    page = admin_client.get(reverse(LIST)).content.decode()
    for words in ("acme/billing", "every 15 min", "archived on GitHub", "enabled", "failed"):
        assert words in page
    assert reverse("admin:etl_tasks_etlrun_change", args=[ETLRun.objects.order_by("pk")[1].pk]) in page


def run_now(client: Client, source: Source) -> str:
    return client.post(reverse(LIST), {"action": "run_now", "_selected_action": [source.pk]}, follow=True).content.decode()


def test_run_now_queues_a_run(admin_client: Client, billing: Source, sent_messages: Callable[[], list[Any]]) -> None:
    assert "is queued" in run_now(admin_client, billing)
    assert "has a run under way" in run_now(admin_client, billing)
    assert ETLRun.objects.get().trigger == "admin"


def test_run_now_without_a_broker_says_so_at_once_and_leaves_no_run(admin_client: Client, billing: Source, broker_away: None) -> None:
    assert "The broker cannot be reached" in run_now(admin_client, billing)
    assert not ETLRun.objects.exists()


def test_run_now_needs_the_permission_to_start_runs(client: Client, billing: Source) -> None:
    person = User.objects.create_user("person", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=["view_source", "change_source"]))
    client.force_login(person)
    run_now(client, billing)
    assert not ETLRun.objects.exists()


def test_a_service_is_found_by_typing(admin_client: Client, billing: Source) -> None:
    Service.objects.create(name="invoices")
    query = {"app_label": "etl_tasks", "model_name": "source", "field_name": "service", "term": "inv"}
    assert [row["text"] for row in admin_client.get(reverse("admin:autocomplete"), query).json()["results"]] == ["invoices"]
