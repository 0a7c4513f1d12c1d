"""The address that the demo prints logs its first visitor in, and nobody else."""

import pytest
from django.test import Client

from demo.login import TOKEN_FILE, USER, new_token

pytestmark = [pytest.mark.django_db, pytest.mark.urls("demo.urls")]


@pytest.fixture
def address(settings, tmp_path, django_user_model) -> str:
    settings.VAR = tmp_path
    django_user_model.objects.create_superuser(USER, "demo@example.com", "secret")
    return f"/demo/{new_token(tmp_path)}/"


def test_the_first_visitor_is_logged_in_and_led_to_the_overview(client, address):
    answer = client.get(address)
    assert (answer.status_code, answer.url) == (302, "/")
    assert client.session["_auth_user_id"]


def test_the_second_visitor_is_led_to_the_login_page(client, address):
    Client().get(address)
    answer = client.get(address)
    assert (answer.status_code, answer.url) == (302, "/login/")
    assert "_auth_user_id" not in client.session


def test_who_is_logged_in_is_led_to_the_overview_again(client, address):
    client.get(address)
    assert client.get(address).url == "/"


def test_a_wrong_token_neither_logs_in_nor_uses_up_the_right_one(client, address):
    assert client.get("/demo/ñ/").url == "/login/"
    assert client.get(address).url == "/"


def test_it_answers_to_this_machine_only(client, address):
    assert client.get(address, REMOTE_ADDR="192.0.2.7").status_code == 404
    assert client.get(address).url == "/"


@pytest.mark.parametrize("method", ["post", "head"])
def test_only_get_uses_the_token_up(client, address, method):
    assert getattr(client, method)(address).status_code == 405
    assert client.get(address).url == "/"


def test_the_token_is_readable_by_its_owner_only(address, tmp_path):
    assert (tmp_path / TOKEN_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.urls("callcentersite.urls")
def test_the_product_itself_has_no_such_page(client, address):
    assert client.get(address).status_code == 404
