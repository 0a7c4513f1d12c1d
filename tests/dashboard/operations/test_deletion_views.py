"""Deleting a source or a service: what the page says before, when it refuses, and what begins."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from etl_tasks import deletion
from etl_tasks.models import DeadLetter, Source
from log_store.store import LogStoreUnavailable
from tests.etl_tasks.selectors.conftest import AddRun, AddSource

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(add_source: AddSource, add_run: AddRun, sent_messages: Callable[[], list[Any]]) -> Source:
    source = add_source("billing")
    run = add_run(source)
    DeadLetter.objects.create(source=source, run=run, key="record:1", kind="record", stage="transform", error="no date")
    return source


def addresses(source: Source, kind: str) -> tuple[str, str, str]:
    """Return the addresses of the page and of the action, and the name to type."""
    if kind == "source":
        return reverse("dashboard:delete_source", args=[source.pk]), reverse("dashboard:begin_source_deletion", args=[source.pk]), "billing"
    return reverse("dashboard:delete_service", args=["shop"]), reverse("dashboard:begin_service_deletion", args=["shop"]), "shop"


@pytest.mark.parametrize("kind", ["source", "service"])
def test_the_page_says_what_is_deleted_and_asks_for_the_name(
    operator: Client, source: Source, kind: str, sent_messages: Callable[[], list[Any]], django_capture_on_commit_callbacks: Any
) -> None:
    page, action, name = addresses(source, kind)
    shown = operator.get(page).content.decode()
    assert "1 ETL run<" in shown
    assert "1 dead letter<" in shown
    assert f"Type {name} to confirm" in shown
    refused = operator.post(action, {"name": "something else"})
    assert refused.status_code == 400
    assert "Nothing was deleted" in refused.content.decode()
    source.refresh_from_db()
    assert source.deletion_began_at is None
    with django_capture_on_commit_callbacks(execute=True):
        answer = operator.post(action, {"name": name}, follow=True)
    assert answer.redirect_chain[0][0] == reverse("dashboard:operations")
    source.refresh_from_db()
    assert source.deletion_began_at
    assert sent_messages() == [("etl.delete", [])]
    assert LogEntry.objects.get().get_change_message() == "began the deletion"
    assert f"{name} is being deleted" in answer.content.decode()
    assert "is being deleted since" in operator.get(page).content.decode()


@pytest.mark.parametrize("kind", ["source", "service"])
def test_the_page_needs_the_permission_to_delete(viewer: Client, client: Client, source: Source, kind: str) -> None:
    page, action, name = addresses(source, kind)
    assert client.get(page).status_code == 302
    assert viewer.get(page).status_code == 403
    assert viewer.post(action, {"name": name}).status_code == 403


@pytest.mark.parametrize("kind", ["source", "service"])
def test_nothing_is_deleted_while_a_run_is_in_progress(operator: Client, source: Source, add_run: AddRun, kind: str) -> None:
    page, action, name = addresses(source, kind)
    run = add_run(source, "running")
    shown = operator.get(page).content.decode()
    assert f"Run {run.pk} of billing is in progress." in shown
    assert "to confirm" not in shown
    refused = operator.post(action, {"name": name})
    assert refused.status_code == 409
    assert f"run {run.pk} of billing is under way" in refused.content.decode()
    assert not LogEntry.objects.exists()


def test_without_the_log_store_the_page_says_why_it_cannot_count(operator: Client, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(target: object) -> dict[str, int]:
        raise LogStoreUnavailable("Cassandra does not answer.")

    monkeypatch.setattr(deletion, "count_contents", unavailable)
    shown = operator.get(addresses(source, "source")[0])
    assert shown.status_code == 200
    assert "Cassandra does not answer." in shown.content.decode()


def test_without_a_broker_the_deletion_begins_with_the_next_sweep(operator: Client, source: Source, broker_away: None) -> None:
    _, action, name = addresses(source, "source")
    shown = operator.post(action, {"name": name}, follow=True).content.decode()
    source.refresh_from_db()
    assert source.deletion_began_at
    assert "when the sweep runs again" in shown


def test_a_service_that_does_not_exist_is_not_found(operator: Client) -> None:
    assert operator.get(reverse("dashboard:delete_service", args=["nothing"])).status_code == 404
