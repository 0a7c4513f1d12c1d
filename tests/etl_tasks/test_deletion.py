"""Delete a source or service with everything collected for it. The command asks first, lists what will be deleted, and leaves no rows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import translation

from dora_metrics.derivation.recompute import recompute, recompute_periods
from dora_metrics.models import (
    AlertEpisode,
    AlertRule,
    Attempt,
    Change,
    Commit,
    Coverage,
    Delivery,
    Deployment,
    DORAMetric,
    LogTraffic,
    Repository,
    Service,
)
from etl_tasks import deletion, ledger, pipeline, replay, sweeper, tasks
from etl_tasks.deletion import FIRST, LAST
from etl_tasks.models import DeadLetter, ETLRun, Source, StagedPage
from github_stand_in.server import StandIn
from log_store.models import LogEventRow, LogSumRow
from log_store.opening import open_log_store
from tests.dora_metrics.calculators.examples import at
from tests.dora_metrics.example_service import a_service
from tests.etl_tasks.test_stages import night

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.usefixtures("sent_messages")]


@pytest.fixture(autouse=True)
def log_store(db: None) -> None:
    """Delete the events of earlier tests, which Cassandra keeps."""
    store = open_log_store()
    store.ensure_schema()
    for name in ("shop-logs", "shop-logs-2"):
        for _ in store.forget(name):
            pass


@pytest.fixture
def shop(db: None, github: StandIn, log_folder: Callable[[Service, str], Source]) -> Service:
    """A service with a GitHub source and a log source. Both have been collected once."""
    service = Service.objects.create(name="shop")
    night(Source.objects.create(name="shop", service=service, kind="github", repository="acme/billing"))
    night(log_folder(service, "shop-logs"))
    return service


@pytest.fixture
def other(shop: Service, log_folder: Callable[[Service, str], Source]) -> Service:
    """Another service. The name of its log source begins with the name of the shop's log source."""
    service = Service.objects.create(name="other")
    night(log_folder(service, "shop-logs-2"))
    return service


@pytest.fixture
def log_folder(tmp_path, settings) -> Callable[[Service, str], Source]:
    settings.LOG_ROOTS = [str(tmp_path)]

    def make(service: Service, name: str) -> Source:
        path = tmp_path / f"{name}.log"
        begin = datetime(2026, 3, 10, tzinfo=UTC)
        lines = (f'{{"time": "{(begin + timedelta(hours=n)).isoformat()}", "level": "error", "message": "line {n}"}}' for n in range(60))
        path.write_text("\n".join(lines) + "\n")
        return Source.objects.create(name=name, service=service, kind="logs", path=str(path), log_format="json")

    return make


def rows_with(target: Any) -> dict[str, int]:
    """Return the number of rows that belong to `target`, by model. Models without such rows are left out."""
    found = {}
    for model in [*apps.get_app_config("dora_metrics").get_models(), *apps.get_app_config("etl_tasks").get_models()]:
        names = {field.name for field in model._meta.fields}
        path = next((path for path, first in PATHS.items() if first in names), None)
        if path and (count := model._base_manager.filter(**{path: target.pk}).count()):
            found[model.__name__] = count
    return found


PATHS = {"service": "service", "source__service": "active_for", "run__source__service": "run", "page__run__source__service": "page"}


def events(name: str) -> int:
    return open_log_store().count(name, FIRST, LAST)


def delete(name: str, *words: str, command: str = "delete_service") -> str:
    out = StringIO()
    call_command(command, name, *words, stdout=out)
    return out.getvalue()


def test_the_command_says_what_goes_and_deletes_nothing_without_yes(shop):
    before = rows_with(shop)
    said = delete("shop")
    assert f"{Deployment._base_manager.count()} deployments" in said
    assert f"{DORAMetric.objects.count():,} DORA metrics" in said
    assert f"{StagedPage.objects.count()} staged pages" in said
    assert "2 sources" in said
    assert "2 ETL runs" in said
    assert "60 log events" in said
    assert "add --yes" in said
    assert (rows_with(shop), events("shop-logs")) == (before, 60)


def test_all_goes_along_and_the_neighbour_stays(shop, other):
    rule = AlertRule.objects.create(name="slow", kind="lead_time", level="warning", threshold=1, service=shop)
    AlertEpisode.objects.create(rule=rule, service=shop, began_at=datetime(2026, 3, 1, tzinfo=UTC), message="slow")
    before = rows_with(other)
    assert before
    assert len(rows_with(shop)) > 12
    assert "service shop is deleted" in delete("shop", "--yes")
    assert (rows_with(shop), rows_with(other)) == ({}, before)
    assert (events("shop-logs"), events("shop-logs-2")) == (0, 60)
    assert not Service.objects.filter(name="shop").exists()
    assert not LogEventRow.objects.filter(source="shop-logs").exists()
    assert not LogSumRow.objects.filter(source="shop-logs").exists()


def test_a_source_goes_alone_and_the_service_s_metrics_are_those_of_what_is_left(shop):
    assert Attempt.objects.filter(service=shop).exists()
    assert "source shop is deleted" in delete("shop", "--yes", command="delete_source")
    assert list(shop.sources.values_list("name", flat=True)) == ["shop-logs"]
    for model in (Deployment, Change, Commit, Attempt, Delivery, Repository):
        assert not model._base_manager.filter(service=shop).exists()
    assert events("shop-logs") == 60
    assert LogTraffic.objects.filter(service=shop).exists()
    delete("shop-logs", "--yes", command="delete_source")
    assert (events("shop-logs"), LogTraffic.objects.count(), shop.coverage.count()) == (0, 0, 0)
    assert Service.objects.filter(name="shop").exists()


def test_no_metric_still_counts_the_deployments_of_a_source_that_went():
    """Two repositories stay, so that no name of an incident changes, which would have all periods measured."""
    service = a_service("billing")
    first = service.repositories.get()
    others = [Repository.objects.create(service=service, name=name) for name in ("acme/calls", "acme/users")]
    for repository in others:
        for span in Coverage.objects.filter(repository=first):
            span.pk, span.repository = None, repository
            span.save()
    deployment = Deployment.objects.get(external_id=5)
    deployment.pk, deployment.repository, deployment.external_id, deployment.sha = None, others[0], 77, "c1"
    deployment.statuses[-1]["created_at"] = at(5.6).isoformat()
    deployment.save()
    source, _ = [
        Source.objects.create(name=one.name[5:], service=service, kind="github", repository=one.name, facts_repository=one) for one in others
    ]
    Source.objects.create(name="billing", service=service, kind="github", repository="acme/billing", facts_repository=first)
    recompute(service)
    deletion.begin(source)
    assert deletion.resume(source)
    assert recompute_periods(service) == 0


@pytest.mark.parametrize("batches", [1, 2, 7, 20])
def test_a_deletion_that_is_killed_goes_on_where_it_stood(shop, other, monkeypatch, batches):
    # Small batches, because the shop has few rows.
    monkeypatch.setattr(deletion, "ROWS_AT_ONCE", 40)
    monkeypatch.setattr(deletion, "PAGES_AT_ONCE", 2)
    before = rows_with(other)
    deletion.begin(shop)
    steps = deletion.delete_in_batches(shop)
    for _ in range(batches):
        next(steps)
    steps.close()
    [left] = deletion.pending()
    assert left == shop
    assert sweeper.resume_deletions() is None
    while not deletion.resume_all(seconds=60):
        pass
    assert (rows_with(shop), events("shop-logs"), deletion.pending()) == ({}, 0, [])
    assert rows_with(other) == before


def test_batches_are_bounded(shop, monkeypatch):
    monkeypatch.setattr(deletion, "ROWS_AT_ONCE", 25)
    monkeypatch.setattr("log_store.sql.ROWS_AT_ONCE", 25)
    deletion.begin(shop)
    assert max(deletion.delete_in_batches(shop)) <= 25


def test_work_ends_when_its_time_is_over_and_the_sweep_sends_for_the_rest(shop, sent_messages):
    deletion.begin(shop)
    assert deletion.resume_all(seconds=0) is False
    sweeper.resume_deletions()
    assert sent_messages() == [("etl.delete", [])]
    assert deletion.resume_all(seconds=60) is True
    sweeper.resume_deletions()
    assert sent_messages() == []


@pytest.mark.parametrize("status", ETLRun.ACTIVE)
def test_it_is_refused_while_a_run_is_active(shop, admin_client, status):
    source = shop.sources.get(name="shop-logs")
    run = ledger.open_run(source, trigger="shell")
    assert run
    ETLRun.objects.filter(pk=run.pk).update(status=status)
    for command, name in (("delete_service", "shop"), ("delete_source", "shop-logs")):
        with pytest.raises(CommandError, match=f"run {run.pk} of shop-logs is under way") as refused:
            delete(name, "--yes", command=command)
        assert refused.value.returncode == 1
    for page, pk in (("dora_metrics_service", shop.pk), ("etl_tasks_source", source.pk)):
        answer = admin_client.post(reverse(f"admin:{page}_delete", args=[pk]), {"post": "yes"}, follow=True).content.decode()
        assert f"un {run.pk} of shop-logs is under way" in answer
    assert deletion.pending() == []
    assert not LogEntry.objects.filter(action_flag=DELETION).exists()
    source.refresh_from_db()
    assert source.is_enabled


def test_what_is_being_deleted_gets_no_run_no_replay_and_no_new_source(shop, log_folder):
    source = shop.sources.get(name="shop")
    failed = ledger.open_run(source, trigger="shell")
    assert failed
    ledger.close(failed.pk, "failed")
    letter = DeadLetter.objects.create(source=source, run=failed, key="k", kind="record", stage="transform", error="bad")
    deletion.begin(shop)
    assert ledger.open_run(source, trigger="shell") is None
    assert ledger.reopen(failed) is False
    with pytest.raises(pipeline.SourceBusy, match="shop is being deleted"):
        pipeline.run_source("shop")
    letter = DeadLetter.objects.get(pk=letter.pk)
    with pytest.raises(replay.ReplayFailed, match="source shop is being deleted"):
        replay.replay_letter(letter, by="me")
    source.refresh_from_db()
    with pytest.raises(ValidationError, match="source shop is being deleted"):
        source.full_clean()
    with pytest.raises(ValidationError, match="service shop is being deleted"):
        log_folder(Service.objects.get(name="shop"), "new").full_clean()


# --- the admin --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_admin_asks_says_what_goes_leaves_an_audit_row_and_sends_a_worker(shop, admin_client, sent_messages):
    address = reverse("admin:dora_metrics_service_delete", args=[shop.pk])
    page = admin_client.get(address).content.decode()
    assert "Are you sure" in page
    assert "60 log events" in page
    assert f"{Deployment._base_manager.count()} deployments" in page
    assert Service.objects.get().deletion_began_at is None
    answer = admin_client.post(address, {"post": "yes"}, follow=True)
    assert "is being deleted by a worker" in answer.content.decode()
    assert sent_messages() == [("etl.delete", [])]
    [entry] = LogEntry.objects.filter(action_flag=DELETION)
    assert (entry.object_repr, entry.user.username) == ("shop", "admin")
    assert tasks.delete() is True
    assert (rows_with(shop), Service.objects.count(), events("shop-logs")) == ({}, 0, 0)
    assert LogEntry.objects.filter(action_flag=DELETION).exists()


def test_a_source_is_deleted_in_the_admin_as_well(shop, admin_client):
    source = shop.sources.get(name="shop-logs")
    address = reverse("admin:etl_tasks_source_delete", args=[source.pk])
    assert "60 log events" in admin_client.get(address).content.decode()
    assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert deletion.resume_all(seconds=60) is True
    assert (events("shop-logs"), shop.sources.count()) == (0, 1)


@pytest.mark.parametrize(("permission", "status"), [("view_service", 403), ("change_service", 403), ("delete_service", 200)])
def test_it_needs_the_permission_and_no_other(shop, client, permission, status):
    person = User.objects.create_user("person", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename=permission))
    client.force_login(person)
    address = reverse("admin:dora_metrics_service_delete", args=[shop.pk])
    assert client.get(address).status_code == status
    assert client.post(address, {"post": "yes"}).status_code == (302 if status == 200 else 403)
    assert (deletion.pending() == [shop]) == (status == 200)


def test_an_account_that_has_left_audit_rows_is_made_inactive_and_not_deleted(admin_client: Client, admin_user: User):
    busy, idle = User.objects.create_user("busy"), User.objects.create_user("idle")
    LogEntry.objects.create(user=busy, action_flag=DELETION, object_repr="shop")
    for person in (busy, idle):
        admin_client.post(reverse("admin:auth_user_delete", args=[person.pk]), {"post": "yes"})
    assert set(User.objects.values_list("username", flat=True)) == {admin_user.username, "busy"}
    page = admin_client.get(reverse("admin:auth_user_delete", args=[busy.pk])).content.decode()
    assert "the audit rows of busy: make the account inactive instead" in page
    chosen = {"action": "delete_selected", "_selected_action": [busy.pk], "post": "yes"}
    admin_client.post(reverse("admin:auth_user_changelist"), chosen)
    assert LogEntry.objects.filter(user=busy).exists()


def test_the_json_of_a_deletion_has_the_same_keys_in_every_language(shop: Service) -> None:
    outputs = []
    for language in ("en", "es"):
        with translation.override(language):
            output = StringIO()
            call_command("delete_service", "shop", "--json", stdout=output)
            outputs.append(output.getvalue())
    assert outputs[0] == outputs[1]
