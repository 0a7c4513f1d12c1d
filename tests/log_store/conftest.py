"""Open the log stores: SQL always, and Cassandra if there is a server, in a keyspace of this run that is dropped afterwards."""

import os
import uuid
import warnings
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from log_store.opening import open_log_store
from log_store.store import LogStore

CONTACT_POINTS = os.environ.get("CASSANDRA_CONTACT_POINTS", "")


@pytest.fixture(scope="session")
def keyspace() -> Iterator[str]:
    if not CONTACT_POINTS:
        pytest.skip("CASSANDRA_CONTACT_POINTS is unset: the Cassandra store is NOT TESTED here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from log_store.cassandra.connection import connection
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    connection.session().execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)
    connection.drop()


@pytest.fixture
def cassandra(settings: Settings, keyspace: str) -> LogStore:
    settings.CASSANDRA_CONTACT_POINTS = CONTACT_POINTS.split(",")
    settings.CASSANDRA_KEYSPACE = keyspace
    store = open_log_store()
    store.ensure_schema()
    return store


@pytest.fixture
def sql(settings: Settings, db: None) -> LogStore:
    settings.CASSANDRA_CONTACT_POINTS = []
    store = open_log_store()
    store.ensure_schema()
    return store


@pytest.fixture(params=[pytest.param("sql", marks=pytest.mark.django_db), "cassandra"])
def store(request: pytest.FixtureRequest) -> LogStore:
    return request.getfixturevalue(request.param)


@pytest.fixture
def source() -> str:
    return f"source-{uuid.uuid4().hex[:8]}"
