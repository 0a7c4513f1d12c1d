"""Fixtures for all tests, and the real servers that some of them need.

`scripts/test` starts MariaDB, Redis and Cassandra and exports their addresses. Without it, pytest uses SQLite and skips
the tests that need a missing server. A line at the end of the run reports this; with CI=true it is a failure.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest
import time_machine
from django.conf import settings
from django.utils import translation
from pytest_django import Settings

from dora_metrics.models import Service
from etl_tasks.models import Source
from github_stand_in.server import StandIn
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World
from log_store.opening import open_log_store
from tests.seeds import seed_after_each_flush

pytest.register_assert_rewrite("tests.tables")
seed_after_each_flush()
# No deadline for an example: a test must not fail because the machine is slow.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
SERVERS = {"DATABASE_URL": "MariaDB or MySQL", "CELERY_BROKER_URL": "Redis", "CASSANDRA_CONTACT_POINTS": "Cassandra"}
missing = [name for variable, name in SERVERS.items() if not os.environ.get(variable)]
if not shutil.which("chromium"):
    missing.append("a browser")
if not shutil.which(os.environ.get("NGINX") or "nginx"):
    missing.append("nginx")
if not shutil.which("mariadb-dump", path=os.environ.get("MARIADB_CLIENT") or None):
    missing.append("mariadb-dump")
END = datetime(2026, 3, 20, 1, tzinfo=UTC)


@pytest.hookimpl(trylast=True)  # print it below the durations, because the last lines are the ones that people read
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing:
        terminalreporter.write_line(f"NOT TESTED AGAINST {', '.join(missing).upper()}: start them with scripts/test", red=True, bold=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if missing and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def log_store_schema() -> None:
    """Create Cassandra's schema before any test writes events."""
    if settings.CASSANDRA_CONTACT_POINTS:
        open_log_store().ensure_schema()


@pytest.fixture(autouse=True)
def _clock_of_cassandra() -> Iterator[None]:
    """Close a session whose timestamps are ahead because a test has travelled in time: its deletions would hide what later tests write."""
    yield
    module = sys.modules.get("log_store.cassandra.connection")
    session = module.connection._session if module else None
    if session and not time_machine.escape_hatch.is_travelling() and session.cluster.timestamp_generator.last > (time.time() + 1) * 1_000_000:
        module.connection.drop()


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """End each test in the default language. A request that asks for Spanish leaves Spanish active in its thread."""
    yield
    translation.deactivate()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Return the system's Chromium, driven by Playwright: one for all tests of a process, because a thread can drive only one."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("no Chromium: see the line at the end")
    from playwright.sync_api import sync_playwright  # here, because most tests need no browser

    # Playwright runs an event loop in this thread, so Django would refuse database queries of the tests.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def world() -> World:
    return ordinary_world("acme/billing", end=END, days=60)


@pytest.fixture
def github(world: World, settings: Settings) -> Iterator[StandIn]:
    with StandIn({"acme/billing": world}, clock=END) as stand_in:
        settings.GITHUB_API_URL = stand_in.url
        settings.GITHUB_GRAPHQL_URL = f"{stand_in.url}/graphql"
        yield stand_in


@pytest.fixture
def billing(db: None) -> Source:
    service = Service.objects.create(name="billing")
    return Source.objects.create(name="billing", service=service, kind=Source.Kind.GITHUB, repository="acme/billing")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """Escape lone surrogates in what a test logs: pytest-xdist cannot send a report that has one, and ends all tests."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
