"""The forms of the first visit: test, preview, add and start. GitHub is the stand-in; the worker's tasks run in this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from dashboard.setup import views
from dashboard.setup.forms import default_production, production_pattern
from dora_metrics.calculators.service_settings import DEFAULTS
from dora_metrics.models import Service
from dora_metrics.patterns import compiled
from etl_tasks import inline, pipeline
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources.logs.preview import preview as preview_of
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.conftest import END

GITHUB = {"repository": "acme/billing", "service": "", "credential": "", "every_minutes": ""}


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def stand_in(world: World, settings: Any) -> Iterator[StandIn]:
    with StandIn({"acme/billing": world}, clock=END) as github:
        settings.GITHUB_API_URL, settings.GITHUB_GRAPHQL_URL = github.url, f"{github.url}/graphql"
        yield github


@pytest.fixture(autouse=True)
def _without_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "check_broker", lambda: None)
    monkeypatch.setattr(pipeline, "send_all", lambda runs: None)
    monkeypatch.setattr(pipeline, "preview_logs", preview_of)


def post(client: Client, name: str, values: dict[str, Any], button: str, status: int = 200) -> str:
    answer = client.post(reverse(f"dashboard:{name}"), {**values, button: ""})
    assert answer.status_code == status, answer.content.decode()[-3000:]
    return answer.content.decode()


def test_the_connection_is_tested_without_storing_anything(operator: Client, stand_in: StandIn) -> None:
    html = post(operator, "setup_github", GITHUB, "test")
    assert "can be read" in html
    assert "A first collection reads about" in html
    assert 'name="production" value="production"' in html
    assert not Service.objects.exists()


def test_a_repository_that_cannot_be_read_says_why_and_cannot_be_added(operator: Client, stand_in: StandIn) -> None:
    html = post(operator, "setup_github", {**GITHUB, "repository": "acme/nothing"}, "test")
    assert "cannot be read" in html
    assert 'name="add"' not in html


def test_adding_it_starts_the_first_collection_whose_progress_ends_with_the_first_numbers(operator: Client, stand_in: StandIn) -> None:
    values = {**GITHUB, "repository": "https://github.com/acme/billing/", "environment": ["production", "staging"], "production": ["production"]}
    post(operator, "setup_github", values, "add", 302)
    source = Source.objects.get()
    assert (source.name, source.repository, source.service.name, source.service.production) == (
        "billing",
        "acme/billing",
        "billing",
        DEFAULTS.production,
    )
    run = ETLRun.objects.get()
    assert (run.status, run.trigger) == ("queued", "admin")
    assert LogEntry.objects.get().change_message == "added"
    address = reverse("dashboard:setup_progress", args=[run.pk])
    assert "every 2s" in operator.get(address).content.decode()
    inline.run_remaining_stages(run.pk)
    html = operator.get(address, headers={"HX-Request": "true"}).content.decode()
    assert "every 2s" not in html
    assert "The first numbers" in html
    assert reverse("dashboard:service", args=["billing"]) in html


def test_other_environments_than_the_default_ones_become_a_pattern(operator: Client, stand_in: StandIn) -> None:
    values = {**GITHUB, "environment": ["eu.west (1)", "production"], "production": ["eu.west (1)"]}
    post(operator, "setup_github", values, "add", 302)
    pattern = compiled(Service.objects.get().production)
    assert pattern.search("eu.west (1)")
    assert not pattern.search("euxwest (1)")
    assert not pattern.search("production")


def test_the_default_pattern_stays_if_it_selects_just_what_was_chosen() -> None:
    known = ["Production", "live/eu", "staging"]
    assert default_production(known) == ["Production", "live/eu"]
    assert production_pattern(["live/eu", "Production"], known) == production_pattern([], known) == DEFAULTS.production
    assert production_pattern(["staging"], known) == "^(?:staging)$"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"repository": ""}, "This field is required"),
        ({"repository": "billing"}, "as in acme/billing"),
        ({"service": "a/b"}, "cannot be a name"),
        ({"service": "x" * 101}, "at most 100 characters"),
    ],
)
def test_a_wrong_value_is_explained_at_its_field(operator: Client, stand_in: StandIn, values: dict[str, str], problem: str) -> None:
    assert problem in post(operator, "setup_github", {**GITHUB, **values}, "add", 400)
    assert not Source.objects.exists()


def test_the_same_repository_twice_is_one_source(operator: Client, stand_in: StandIn) -> None:
    post(operator, "setup_github", GITHUB, "add", 302)
    post(operator, "setup_github", GITHUB, "add", 302)
    assert Source.objects.count() == 1


# --- logs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path, settings: Any) -> Path:
    settings.LOG_ROOTS = [str(tmp_path)]
    path = tmp_path / "calls.log"
    path.write_text(
        '{"time": "2026-03-01T12:00:00Z", "level": "info", "message": "<b>call</b> password=hunter2 begun"}\n'
        '{"time": "2026-03-01T12:00:01Z", "level": "error", "message": "call lost"}\n'
        "no json\n"
    )
    return path


def log_form(log: Path, /, **changed: str) -> dict[str, str]:
    return {
        "service": "calls",
        "name": "",
        "path": str(log),
        "host": "",
        "log_format": "",
        "log_pattern": "",
        "log_time_zone": "UTC",
        "every_minutes": "15",
        **changed,
    }


def test_a_preview_shows_the_first_events_masked_and_what_does_not_match(operator: Client, log: Path) -> None:
    html = post(operator, "setup_logs", log_form(log), "preview")
    assert "2 events in 3 lines, read as JSON lines." in html  # as the choice of the format is called
    assert "hunter2" not in html
    assert "&lt;b&gt;call" in html
    assert "no json" in html
    assert '<option value="json" selected>' in html
    assert not Source.objects.exists()


def test_adding_a_log_source_makes_its_service_and_starts_it(operator: Client, log: Path) -> None:
    post(operator, "setup_logs", log_form(log, log_format="json"), "add", 302)
    source = Source.objects.get()
    assert (source.name, source.service.name, source.log_format, source.every_minutes) == ("calls-logs", "calls", "json", 15)
    assert ETLRun.objects.get().source == source


@pytest.mark.parametrize(
    ("changed", "button", "status", "problem"),
    [
        ({"log_format": ""}, "add", 400, "Press “Preview” first"),
        ({"path": "/etc/passwd"}, "preview", 200, "LOG_ROOTS"),
        ({"path": "/etc/passwd", "log_format": "json"}, "add", 400, "LOG_ROOTS"),
        ({"log_format": "regex", "log_pattern": "("}, "add", 400, "regular expression"),
        ({"log_time_zone": "Mars"}, "add", 400, "Mars"),
        ({"service": "a b"}, "preview", 400, "cannot be a name"),
    ],
)
def test_wrong_input_of_a_log_source_is_explained(
    operator: Client, log: Path, changed: dict[str, str], button: str, status: int, problem: str
) -> None:
    assert problem in post(operator, "setup_logs", log_form(log, **{"log_format": "json", **changed}), button, status)
    assert not Source.objects.exists()


def test_files_that_no_worker_sees_are_not_previewed(operator: Client, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.pipeline, "preview_logs", lambda source: {"problem": "No worker could be asked"})
    assert "No worker could be asked" in post(operator, "setup_logs", log_form(log), "preview")
