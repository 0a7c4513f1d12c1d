"""Who may open a page, and who may act. The views here are wrapped as the pages' own views are."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from dashboard.access import action, audit, page
from dashboard.groups import create_groups
from dora_metrics.models import Service


@page("dora_metrics.view_service")
def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse("read")


@action("dora_metrics.change_service")
def act(request: HttpRequest) -> HttpResponse:
    return HttpResponse("done")


def request_of(user: Any, method: str = "get", **headers: str) -> HttpRequest:
    request = getattr(RequestFactory(), method)("/somewhere/?a=1", headers=headers)
    request.user = user
    return request


def member(*codenames: str) -> User:
    user = User.objects.create_user("member")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def test_who_is_not_logged_in_is_led_to_the_login_and_back(db: None) -> None:
    answer = read(request_of(AnonymousUser()))
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/somewhere/%3Fa%3D1")


def test_a_part_of_a_page_that_htmx_requests_after_the_session_has_expired_reloads_the_page(db: None) -> None:
    answer = read(request_of(AnonymousUser(), **{"HX-Request": "true"}))
    assert (answer.status_code, answer["HX-Refresh"]) == (204, "true")


def test_a_permission_is_required(db: None) -> None:
    user = member("view_service")
    assert read(request_of(user)).status_code == 200
    with pytest.raises(PermissionDenied):
        act(request_of(user, "post"))


def test_a_page_refuses_post_and_an_action_refuses_get(db: None) -> None:
    user = member("view_service", "change_service")
    assert read(request_of(user, "post")).status_code == 405
    assert act(request_of(user)).status_code == 405
    assert act(request_of(user, "post")).status_code == 200


def test_the_audit_row_names_user_subject_and_deed(db: None) -> None:
    service = Service.objects.create(name="billing")
    audit(request_of(member()), service, "renamed")
    row = LogEntry.objects.get()
    assert (row.user.get_username(), row.object_repr, row.change_message) == ("member", "billing", "renamed")


def test_the_groups_exist_after_migrate_and_the_operator_may_more_than_the_viewer(db: None) -> None:
    viewer, operator = (set(Group.objects.get(name=name).permissions.values_list("codename", flat=True)) for name in ("Viewer", "Operator"))
    assert viewer < operator
    assert {"view_service", "view_etlrun", "view_deadletter", "view_logeventrow"} <= viewer
    assert {codename for codename in viewer if not codename.startswith("view_")} == set()
    assert {"change_source", "replay_deadletter", "delete_service"} <= operator
    assert {codename for codename in operator if codename.endswith(("_user", "_group", "_permission"))} == set()


def test_another_migrate_leaves_a_group_as_its_administrator_has_set_it(db: None) -> None:
    Group.objects.get(name="Viewer").permissions.clear()
    create_groups()
    assert not Group.objects.get(name="Viewer").permissions.exists()


@pytest.mark.parametrize("group", ["Viewer", "Operator"])
def test_a_lead_who_logs_in_lands_on_the_overview(client: Client, db: None, group: str) -> None:
    lead = User.objects.create_user("lead", password="only-for-tests")
    lead.groups.add(Group.objects.get(name=group))
    answer = client.post(reverse("dashboard:login"), {"username": "lead", "password": "only-for-tests"}, follow=True)
    assert (answer.redirect_chain, answer.status_code) == ([("/", 302)], 200)


def test_every_page_has_a_strict_content_security_policy(client: Client, db: None) -> None:
    policy = client.get(reverse("dashboard:login"))["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(("path", "status"), [("/nothing-here/", 404), ("/language/", 302)])
def test_errors_are_pages_of_our_own(client: Client, db: None, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    if status == 404:
        assert "There is no such page" in answer.content.decode()


def test_a_request_for_an_unknown_host_is_a_400_with_a_sentence(client: Client, db: None) -> None:
    answer = client.get("/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert "does not answer requests for this host name" in answer.content.decode()


def test_who_lacks_a_permission_is_told_whom_to_ask(client: Client, db: None) -> None:
    client.force_login(member())
    answer = client.get("/")
    assert answer.status_code == 403
    assert "group Viewer" in answer.content.decode()
