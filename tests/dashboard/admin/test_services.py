"""The admin's pages of services, alert rules and API tokens: readable forms, recomputing, and tokens that are shown once."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from dora_metrics.models import ApiToken, Service
from dora_metrics.models.api_token import digest
from tests.dora_metrics.example_service import a_service

pytestmark = pytest.mark.django_db


@pytest.fixture
def billing() -> Service:
    return a_service("billing")


def form_of(service: Service, **changes: object) -> dict[str, object]:
    fields = {field.name: field.value_from_object(service) for field in Service._meta.fields if field.editable}
    return {name: value for name, value in fields.items() if value not in (None, False)} | {"bots": "\n".join(service.bots)} | changes


def change(client: Client, service: Service, **changes: object) -> Any:
    address = reverse("admin:dora_metrics_service_change", args=[service.pk])
    answer = client.post(address, form_of(service, **changes), follow=True)
    service.refresh_from_db()
    return answer


def recompute(client: Client, service: Service) -> Any:
    return client.post(reverse("admin:dora_metrics_service_recompute", args=[service.pk]), follow=True)


def test_bots_are_one_login_on_each_line(admin_client: Client, billing: Service) -> None:
    change(admin_client, billing, bots=" renovate \n\nci-user\nrenovate")
    assert billing.bots == ["renovate", "ci-user"]
    page = admin_client.get(reverse("admin:dora_metrics_service_change", args=[billing.pk])).content.decode()
    assert "renovate\nci-user</textarea>" in page
    change(admin_client, billing, bots="")
    assert billing.bots == []
    assert "has a blank" in change(admin_client, billing, bots="two words").content.decode()


def test_a_changed_setting_says_that_the_numbers_are_old_and_offers_to_recompute_them(admin_client: Client, billing: Service) -> None:
    answer = change(admin_client, billing, look_back_hours=1)
    assert billing.needs_recompute
    assert answer.redirect_chain[-1][0] == reverse("admin:dora_metrics_service_change", args=[billing.pk])
    page = answer.content.decode()
    assert "The numbers still follow the former settings" in page
    assert reverse("admin:dora_metrics_service_recompute", args=[billing.pk]) in page
    assert "to be recomputed" in admin_client.get(reverse("admin:dora_metrics_service_changelist")).content.decode()


def test_a_change_that_no_number_depends_on_leads_back_to_the_list(admin_client: Client, billing: Service) -> None:
    answer = change(admin_client, billing, name="invoices")
    assert answer.redirect_chain[-1][0] == reverse("admin:dora_metrics_service_changelist")
    assert "former settings" not in answer.content.decode()


def test_recompute_asks_a_worker_and_leaves_an_audit_row(
    admin_client: Client,
    billing: Service,
    sent_messages: Callable[[], list[Any]],
    django_capture_on_commit_callbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        assert "A worker recomputes the numbers of billing" in recompute(admin_client, billing).content.decode()
    assert sent_messages() == [("etl.recompute", [billing.pk])]
    assert LogEntry.objects.get().change_message == "asked a worker to recompute the numbers"


def test_without_a_broker_recompute_says_so(admin_client: Client, billing: Service, broker_away: None) -> None:
    assert "The broker cannot be reached" in recompute(admin_client, billing).content.decode()
    assert not LogEntry.objects.exists()


def test_recompute_needs_post_the_permission_and_the_csrf_token(client: Client, billing: Service) -> None:
    address = reverse("admin:dora_metrics_service_recompute", args=[billing.pk])
    viewer, operator = User.objects.create_user("viewer", is_staff=True), User.objects.create_user("operator", is_staff=True)
    viewer.groups.add(Group.objects.get(name="Viewer"))
    operator.groups.add(Group.objects.get(name="Operator"))
    client.force_login(viewer)
    assert client.post(address).status_code == 403
    client.force_login(operator)
    assert client.get(address).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    assert strict.post(address).status_code == 403
    assert client.post(reverse("admin:dora_metrics_service_recompute", args=[999])).status_code == 404


def test_a_new_service_is_told_that_it_needs_a_source(admin_client: Client) -> None:
    form = form_of(Service(), name="new")
    page = admin_client.post(reverse("admin:dora_metrics_service_add"), form, follow=True).content.decode()
    service = Service.objects.get(name="new")
    assert "Nothing is collected for new yet" in page
    assert f"{reverse('admin:etl_tasks_source_add')}?service={service.pk}" in page


def test_a_new_token_is_shown_once_and_only_its_digest_is_kept(admin_client: Client) -> None:
    answer = admin_client.post(reverse("admin:dora_metrics_apitoken_add"), {"name": "grafana"})
    token = answer.context["token"]
    assert token in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    row = ApiToken.objects.get()
    assert (row.name, row.digest, row.is_enabled) == ("grafana", digest(token), True)
    assert token not in admin_client.get(reverse("admin:dora_metrics_apitoken_change", args=[row.pk])).content.decode()
    assert token not in str(list(LogEntry.objects.values()))
    again = admin_client.post(reverse("admin:dora_metrics_apitoken_add"), {"name": "grafana"})
    assert "already exists" in again.content.decode()
    assert ApiToken.objects.count() == 1


def test_a_viewer_cannot_make_a_token(client: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.groups.add(Group.objects.get(name="Viewer"))
    client.force_login(viewer)
    assert client.post(reverse("admin:dora_metrics_apitoken_add"), {"name": "x"}).status_code == 403
