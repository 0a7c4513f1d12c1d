"""Settings of the tests, and the real servers that they need.

`scripts/test` starts MariaDB, Redis and Cassandra and exports their addresses. Run by itself, pytest uses SQLite, and
what needs a server that is not there is skipped, with one loud line at the end; with CI=true that is a failure.
"""

import os
import tempfile

import pytest

os.environ.setdefault("CALLCENTERSITE_VAR", tempfile.mkdtemp(prefix="ccs-"))
os.environ.setdefault("DJANGO_SECRET_KEY", "only-for-tests")
os.environ.setdefault("GITHUB_TOKEN", "token-of-the-stand-in")
os.environ.setdefault("ETL_BACKOFF_SECONDS", "0")
os.environ.setdefault("ETL_BACKOFF_MAX_SECONDS", "0")

SERVERS = {"DATABASE_URL": "MariaDB or MySQL", "CELERY_BROKER_URL": "Redis", "CASSANDRA_CONTACT_POINTS": "Cassandra"}
missing = [name for variable, name in SERVERS.items() if not os.environ.get(variable)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if missing:
        terminalreporter.write_line(f"NOT TESTED AGAINST {', '.join(missing).upper()}: start them with scripts/test", red=True, bold=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if missing and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
