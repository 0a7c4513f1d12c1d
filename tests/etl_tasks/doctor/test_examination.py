"""The whole examination: bounded in time, complete although one check fails, and silent about secrets."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import translation
from django.utils.timezone import now

from etl_tasks.doctor import Finding, Level, examination, examine, worst
from etl_tasks.doctor.examination import Check, findings_of
from etl_tasks.doctor.findings import ok, problem, warning
from etl_tasks.doctor.night_checks import check_runs
from etl_tasks.models import Fault, Source
from github_stand_in.server import StandIn

SECRET = "hunter2-must-never-be-printed"


def hang() -> Iterator[Finding]:
    time.sleep(30)
    yield ok("late", "")


def fail() -> Iterator[Finding]:
    raise RuntimeError(SECRET)


def test_a_check_that_hangs_or_breaks_prevents_no_other() -> None:
    began = time.monotonic()
    checks = [Check("hangs", hang, seconds=0.2), Check("breaks", fail), Check("works", lambda: [ok("works", "well")])]
    found = findings_of(checks)
    assert time.monotonic() - began < 5
    assert [(finding.name, finding.level) for finding in found] == [("hangs", Level.PROBLEM), ("breaks", Level.PROBLEM), ("works", Level.OK)]
    assert "within 0.2 seconds" in found[0].sentence
    assert SECRET not in str(found)


def test_the_same_finding_is_given_once() -> None:
    same = Check("clock", lambda: [ok("GitHub's clock", "it agrees")])
    assert len(findings_of([same, same])) == 1


def test_a_check_answers_in_the_language_of_the_caller() -> None:
    with translation.override("es"):
        [found] = findings_of([Check("language", lambda: [ok("language", translation.get_language())])])
    assert found.sentence == "es"


def test_the_worst_level_counts() -> None:
    assert worst([]) is Level.OK
    assert worst([ok("a", ""), warning("b", "")]) is Level.WARNING
    assert worst([problem("a", ""), warning("b", "")]) is Level.PROBLEM


@pytest.mark.django_db
def test_what_etl_status_says_needs_a_person_is_a_problem(billing: Source) -> None:
    Fault.objects.create(name="the sweep", error="out of order")
    Source.objects.update(created_at=now() - timedelta(days=9))
    found = {finding.name: finding for finding in check_runs()}
    assert found["the sweep"].sentence.endswith(": out of order")
    assert found["billing"].level is Level.PROBLEM


@pytest.mark.django_db(transaction=True)
class TestTheCommand:
    @pytest.fixture(autouse=True)
    def installation(self, billing: Source, github: StandIn, settings: Any, broker_away: None) -> None:
        settings.CELERY_BROKER_URL = f"redis://:{SECRET}@127.0.0.1:9/0"
        settings.ALERT_WEBHOOK_URL = f"https://hooks.example.com/{SECRET}"
        settings.METRICS_TOKEN = settings.CASSANDRA_PASSWORD = settings.EMAIL_HOST_PASSWORD = SECRET
        settings.SECRET_KEY = SECRET
        settings.GITHUB_CREDENTIALS = {"": {"token": SECRET, "app_id": "", "private_key": "", "installation_id": ""}}

    def test_it_says_in_words_what_is_wrong_and_what_to_do_and_no_secret(self) -> None:
        out = StringIO()
        with pytest.raises(CommandError, match=r"things? needs? a person: the lines above say what") as told:
            call_command("doctor", stdout=out)
        assert told.value.returncode == 1
        lines = out.getvalue().splitlines()
        assert [line for line in lines if line and not line.startswith(" ")][:3] == ["settings", "servers", "GitHub"]
        assert any(line.startswith("  PROBLEM   broker: it ") and line.endswith("CELERY_BROKER_URL") for line in lines)
        assert any(line.startswith("  ok        GITHUB_TOKEN: GitHub accepts it") for line in lines)
        assert any(line.startswith("  ok        billing: acme/billing can be read") for line in lines)
        assert SECRET not in out.getvalue()

    def test_programs_get_json(self) -> None:
        out = StringIO()
        with pytest.raises(CommandError, match='"findings" says what'):
            call_command("doctor", "--json", stdout=out)
        report = json.loads(out.getvalue())
        assert report["level"] == "problem"
        assert {finding["area"] for finding in report["findings"]} >= {"settings", "servers", "GitHub", "sources", "this machine", "alerts", "runs"}
        assert all(finding.keys() == {"area", "name", "level", "sentence", "action"} for finding in report["findings"])
        assert SECRET not in out.getvalue()

    def test_without_a_database_the_checks_that_need_it_are_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused() -> Iterator[Finding]:
            raise DatabaseError(SECRET)

        monkeypatch.setattr(examination.server_checks, "check_components", lambda: [problem("database", "it has not answered")])
        for name in ("check_database", "check_schedule"):
            monkeypatch.setattr(examination.server_checks, name, refused)
        monkeypatch.setattr(examination.source_checks, "check_sources", hang)
        areas = {area.name: area.findings for area in examine()}
        unknown = "unknown, because the database does not work"
        assert [finding.sentence for finding in areas["sources"]] == [unknown]
        assert [finding.sentence for finding in areas["servers"]].count(unknown) == 2
        assert any("GitHub accepts it" in finding.sentence for finding in areas["GitHub"])
        assert SECRET not in str(areas)


@pytest.mark.django_db(transaction=True)
def test_if_nothing_needs_a_person_the_status_is_0(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "areas", lambda: [("settings", [Check("x", lambda: [warning("x", "odd"), ok("y", "well")])])])
    out = StringIO()
    call_command("doctor", stdout=out)
    assert out.getvalue().splitlines() == ["settings", "  warning   x: odd", "  ok        y: well", "0 problems, 1 warning, 1 ok"]
