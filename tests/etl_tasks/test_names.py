"""The admin's forms and the commands apply the same rules to names of services, sources and tokens."""

from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.urls import reverse

from dora_metrics.models import ApiToken, Service
from etl_tasks.models import Cursor, Source

pytestmark = pytest.mark.django_db
BAD = ["bad name/!", "a/b", "..", "-", "a\nb", "x" * 101, " ", "\x1b[31mred"]
GOOD = ["billing", "Billing.v2", "invoices_eu-1", "größe", "7"]


def service_form(name: str) -> dict[str, object]:
    fields = {field.name: field.value_from_object(Service()) for field in Service._meta.fields if field.editable}
    return {name: value for name, value in fields.items() if value not in (None, False)} | {"name": name, "bots": ""}


@pytest.mark.parametrize("name", BAD)
def test_the_admin_refuses_every_name_that_the_command_refuses(admin_client, name):
    answer = admin_client.post(reverse("admin:dora_metrics_service_add"), service_form(name))
    assert answer.status_code == 200
    with pytest.raises(CommandError, match="name: "):
        call_command("add_service", name, repository=["acme/billing"], stdout=StringIO())
    form = {"name": name, "service": Service.objects.create(name="ok").pk, "kind": "github", "repository": "a/b", "log_time_zone": "UTC"}
    assert admin_client.post(reverse("admin:etl_tasks_source_add"), form | {"log_fields": "{}", "options": "{}"}).status_code == 200
    assert not Source.objects.exists()


@pytest.mark.parametrize("name", GOOD)
def test_the_admin_takes_every_name_that_the_command_takes(admin_client, name):
    assert admin_client.post(reverse("admin:dora_metrics_service_add"), service_form(name)).status_code == 302
    call_command("add_service", name, repository=["acme/billing"], stdout=StringIO())
    assert Source.objects.get().name == name


@pytest.mark.parametrize("repository", ["acme", "acme/bill ing", "https://github.com/acme/billing", ""])
def test_the_admin_refuses_every_repository_that_the_command_refuses(admin_client, repository):
    service = Service.objects.create(name="ok")
    form = {
        "name": "new",
        "service": service.pk,
        "kind": "github",
        "repository": repository,
        "log_time_zone": "UTC",
        "log_fields": "{}",
        "options": "{}",
    }
    assert "write it as owner/name" in admin_client.post(reverse("admin:etl_tasks_source_add"), form).content.decode()
    with pytest.raises(CommandError, match="write it as owner/name"):
        call_command("add_service", "new", repository=[repository], stdout=StringIO())


def test_a_source_that_was_collected_under_an_older_name_can_still_be_changed():
    source = Source.objects.create(name="web logs/1", service=Service.objects.create(name="ok"), kind="github", repository="a/b")
    with pytest.raises(ValidationError, match="cannot be a name"):
        source.full_clean()
    Cursor.objects.create(source=source, stream="issues", position={})
    source.is_enabled = False
    source.full_clean()


@pytest.mark.parametrize("name", ["two\nlines", "x" * 101, " blank"])
def test_the_admin_refuses_a_token_s_name_that_the_command_refuses(admin_client, name):
    token, _ = ApiToken.create("grafana")
    address = reverse("admin:dora_metrics_apitoken_change", args=[token.pk])
    if name != " blank":  # form and command both strip blanks
        assert admin_client.post(address, {"name": name, "is_enabled": "on"}).status_code == 200
        with pytest.raises(CommandError, match="cannot be a token's name"):
            call_command("api_token", "create", name, stdout=StringIO())
    with pytest.raises(ValidationError, match="cannot be a token's name"):
        ApiToken.create(name)
