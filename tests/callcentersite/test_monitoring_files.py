"""The alert rules and the dashboard under deploy/ use only what /metrics exports, and docs/operate.md explains every alert."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.utils.timezone import now
from django_celery_beat.models import PeriodicTask

from callcentersite import prometheus
from callcentersite.health import METRICS_SECONDS
from etl_tasks import heartbeats, ledger
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.sweeper import STEPS

FOLDER = settings.BASE_DIR / "deploy"
METRIC = re.compile(r"\bcallcentersite_\w+")
OPERATE = settings.BASE_DIR / "docs/operate.md"


def rules() -> list[dict[str, Any]]:
    found = yaml.safe_load((FOLDER / "prometheus/alerts.yml").read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "grafana/dashboard.json").read_text())["panels"]
    return found


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel.get("targets", ()))


@pytest.fixture
def exported(billing: Source, sent_messages: object) -> dict[str, set[str]]:
    """Return the labels of every metric, of an installation in which each of them has a value."""
    PeriodicTask.objects.update(last_run_at=now())
    heartbeats.mark_seen([heartbeats.SWEEP], now())
    heartbeats.store_budget("", {"graphql": (1, 2, now().timestamp())}, now())
    run = ledger.open_run(billing, trigger="shell")
    assert run
    DeadLetter.objects.create(source=billing, run=run, key="one", kind="record", stage="transform", error="bad")
    ledger.close(run.pk, ETLRun.Status.SUCCESS)
    moment = now()
    ETLRun.objects.update(extract_began_at=moment - timedelta(seconds=5), extract_ended_at=moment)
    return {metric.name: {label for sample in metric.samples for label in sample.labels} for metric in prometheus.collect()}


@pytest.mark.django_db
def test_what_the_rules_and_the_dashboard_read_is_exported(exported: dict[str, set[str]]) -> None:
    used = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(used) > 15
    assert used - set(exported) == set()


@pytest.mark.django_db
def test_every_metric_is_shown_or_watched(exported: dict[str, set[str]]) -> None:
    used = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert set(exported) - used <= {"callcentersite_stage_runs_24h", "callcentersite_github_budget_reset_timestamp_seconds"}


@pytest.mark.django_db
def test_labels_are_those_of_the_metric(exported: dict[str, set[str]]) -> None:
    """A label in braces belongs to the metric before it."""
    for expression in expressions():
        for name, selector in re.findall(r"\b(callcentersite_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)[=!]", selector)) <= exported[name], expression


def test_expressions_have_all_their_brackets() -> None:
    for expression in expressions():
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing), expression
        assert expression.count('"') % 2 == 0


def test_every_alert_says_how_bad_it_is_and_has_a_section_that_says_what_to_do() -> None:
    text = OPERATE.read_text()
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}
        assert f"### {rule['alert']}\n" in text
    assert set(re.findall(r"^### (Callcentersite\w+)$", text, re.M)) == set(names)


def test_every_step_of_the_sweep_is_explained() -> None:
    text = " ".join(OPERATE.read_text().split())
    assert [name for name, _ in STEPS if f"`{name}`" not in text] == []


def test_the_example_of_a_scrape_waits_longer_than_the_page_takes() -> None:
    found = yaml.safe_load((FOLDER / "prometheus/scrape.yml").read_text())
    assert found["rule_files"] == ["alerts.yml"]
    [job] = found["scrape_configs"]
    assert job["job_name"] == "callcentersite"
    assert job["scrape_timeout"] == "15s"
    assert METRICS_SECONDS < 15


def test_panels_do_not_overlap_and_name_no_data_source_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({panel["id"] for panel in panels()}) == len(panels())
