"""Access to the API, and its OpenAPI description."""

import logging
from datetime import datetime, timedelta
from typing import Any

import jsonschema
import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from openapi_spec_validator import OpenAPIV31SpecValidator

from dora_metrics.models import ApiToken, Service
from tests.conftest import END
from tests.database_faults import failing_statements
from tests.dora_metrics.api.requests_to_api import ENDPOINTS, get

pytestmark = pytest.mark.django_db


# --- access -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ENDPOINTS)
def test_without_a_credential_it_says_how_to_get_one(client: Client, db: None, what: str) -> None:
    for asked in ("", "?format=csv", "?service=nobody", "?limit=x"):
        response = client.get(f"/api/v1/{what}{asked}")
        assert response.status_code == 401
        assert "manage.py api_token create NAME" in response.json()["detail"]
        assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer ccs_wrong", "Token {}", "Basic {}", "{}", "Bearer x{}", "Bearer {}x", "Bearer é"])
def test_a_header_that_is_no_token_of_ours_opens_nothing(client: Client, token: str, header: str) -> None:
    response = client.get("/api/v1/services", headers={"Authorization": header.format(token)})
    assert response.status_code == 401
    assert token not in response.content.decode()


def test_a_token_in_the_address_opens_nothing(client: Client, token: str) -> None:
    assert client.get("/api/v1/services", {"token": token, "Authorization": f"Bearer {token}"}).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_an_enabled_token_opens_it_and_a_disabled_one_does_not(client: Client, token: str, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {token}"}
    assert client.get("/api/v1/services", headers=headers).status_code == 200
    ApiToken.objects.update(is_enabled=False)
    response = client.get("/api/v1/services", headers=headers)
    assert response.status_code == 401
    assert "unknown or disabled" in response.json()["detail"]


def test_a_session_opens_it_for_staff_and_for_who_may_view_services(client: Client, db: None) -> None:
    member = User.objects.create_user("member", is_staff=True)
    client.force_login(member)
    assert client.get("/api/v1/services").status_code == 200
    User.objects.update(is_staff=False)
    assert client.get("/api/v1/services").status_code == 401
    member.user_permissions.add(Permission.objects.get(codename="view_service"))
    assert client.get("/api/v1/services").status_code == 200
    User.objects.update(is_staff=True, is_active=False)
    assert client.get("/api/v1/services").status_code == 401


def test_the_last_use_of_a_token_is_noted_once_an_hour(reader: Client) -> None:
    def used() -> datetime | None:
        return ApiToken.objects.get().last_used_at

    with time_machine.travel(END, tick=False) as traveller:
        assert used() is None
        get(reader, "services")
        assert used() == END
        traveller.shift(timedelta(minutes=59))
        get(reader, "services")
        assert used() == END
        traveller.shift(timedelta(minutes=1))
        get(reader, "services")
        assert used() == END + timedelta(hours=1)


def test_guessing_tokens_is_stopped_and_no_program_with_a_token_is_hindered(client: Client, token: str) -> None:
    guesses = [client.get("/api/v1/services", headers={"Authorization": f"Bearer ccs_{number}"}).status_code for number in range(32)]
    assert guesses == [401] * 30 + [429] * 2
    refused = client.get("/api/v1/services", headers={"Authorization": "Bearer ccs_next"})
    assert (refused.status_code, refused["Retry-After"]) == (429, "900")
    assert "wait 15 minutes" in refused.json()["detail"]
    assert client.get("/api/v1/services", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_program_with_a_disabled_token_does_not_lock_out_its_neighbours(client: Client, token: str) -> None:
    for _ in range(40):
        assert client.get("/api/v1/services", headers={"Authorization": "Bearer ccs_old"}).status_code == 401
    assert client.get("/api/v1/services", headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.parametrize("what", ENDPOINTS)
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_only_reads(reader: Client, what: str, method: str) -> None:
    assert getattr(reader, method)(f"/api/v1/{what}", {}, content_type="application/json").status_code == 405


@pytest.mark.parametrize("is_debug", [False, True])
def test_the_token_is_in_no_answer_and_no_line_of_the_log(
    service: Service, client: Client, token: str, settings: Any, is_debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DEBUG = is_debug
    connection.force_debug_cursor = True
    caplog.set_level(logging.DEBUG)
    said = []
    for header in ("Bearer {}", "Token {}", "{}", "Bearer x{}"):
        for path in (*ENDPOINTS, "services?service=nobody", "metrics?by=x", "changes?format=csv", "openapi.json", "docs", "nowhere"):
            response = client.get(f"/api/v1/{path}", headers={"Authorization": header.format(token)})
            said.append(response.getvalue().decode() + str(response.headers))
    connection.force_debug_cursor = False
    assert any("billing" in text for text in said)
    assert caplog.records
    written = [caplog.text, *(str(vars(record)) for record in caplog.records), *said]
    assert not [text for text in written if token in text or token.removeprefix("ccs_") in text]


@pytest.mark.parametrize("is_debug", [False, True])
def test_the_token_is_in_no_page_of_a_crash(db: None, token: str, settings: Any, is_debug: bool, caplog: pytest.LogCaptureFixture) -> None:
    settings.DEBUG = is_debug
    with failing_statements("dora_metrics_change", RuntimeError("a defect of ours")):
        response = Client(raise_request_exception=False).get("/api/v1/changes", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 500
    assert "a defect of ours" in caplog.text
    assert token not in response.content.decode() + caplog.text + str([vars(record) for record in caplog.records])


# --- the OpenAPI description ------------------------------------------------------------------------------------------


@pytest.fixture
def description(client: Client, db: None) -> dict[str, Any]:
    return client.get("/api/v1/openapi.json").json()


def test_the_description_is_valid_openapi(description: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(description).validate()
    assert description["info"]["version"] == "1"


def test_every_endpoint_parameter_and_answer_is_described(description: dict[str, Any]) -> None:
    assert set(description["paths"]) == {f"/api/v1/{what}" for what in (*ENDPOINTS, "explain")}
    for path, methods in description["paths"].items():
        assert set(methods) == {"get"}
        one = methods["get"]
        assert one["summary"]
        assert one["description"]
        assert set(one["responses"]) == {"200", "401", "404", "422", "429"}
        kinds = {"application/json"} if path == "/api/v1/explain" else {"application/json", "text/csv"}
        assert set(one["responses"]["200"]["content"]) == kinds
        assert len(one["security"]) == 2
        for parameter in one["parameters"]:
            assert parameter["description"], parameter
    assert {one["name"] for one in description["paths"]["/api/v1/metrics"]["get"]["parameters"]} == {
        *("service", "from", "to", "by", "environment", "limit", "cursor", "format")
    }


@pytest.mark.parametrize("what", ENDPOINTS)
def test_answers_are_as_described(service: Service, reader: Client, description: dict[str, Any], what: str) -> None:
    answer = description["paths"][f"/api/v1/{what}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    asked = {"from": "2026-01-01", "by": "week"} if what == "metrics" else {"limit": 1000}
    found = get(reader, what, **asked)
    assert found["reports" if what == "metrics" else "items"]
    jsonschema.Draft202012Validator({**answer, "components": description["components"]}).validate(found)
    problem = get(reader, what, 404, service="nobody")
    jsonschema.Draft202012Validator({**description["components"]["schemas"]["Problem"]}).validate(problem)


def test_the_page_for_people_needs_a_login_and_loads_nothing_from_elsewhere(client: Client, admin_client: Client, reader: Client) -> None:
    for anybody in (client, reader):
        response = anybody.get("/api/v1/docs")
        assert response.status_code == 302
        assert response["Location"].startswith("/login/")
    assert admin_client.get("/api/v1/")["Location"] == "/api/v1/docs"
    page = admin_client.get("/api/v1/docs").content.decode()
    assert "/static/ninja/swagger-ui-bundle.js" in page
    assert "://" not in page
