"""`manage.py check` reports each Cassandra setting that cannot work, and says what to do."""

from pathlib import Path

import pytest
from pytest_django import Settings

from callcentersite.checks import check_cassandra
from tests.log_store.secured_cassandra import write_certificates


def told(settings: Settings, **values: object) -> list[str | None]:
    for name, value in values.items():
        setattr(settings, f"CASSANDRA_{name}", value)
    found = check_cassandra()
    assert all(one.hint for one in found)
    return [one.id for one in found]


def test_the_defaults_work(settings: Settings) -> None:
    assert told(settings) == []


@pytest.mark.parametrize(
    ("values", "identifiers"),
    [
        ({"CONSISTENCY": "MOST"}, ["etl.E009"]),
        ({"CONSISTENCY": "ANY"}, ["etl.E009"]),
        ({"CONSISTENCY": "ONE", "REPLICATION_FACTOR": 3}, ["etl.W002"]),
        ({"CONSISTENCY": "ONE", "REPLICATION_FACTOR": 1}, []),
        ({"TTL_DAYS": 7300}, ["etl.E010"]),
        ({"USERNAME": "loader"}, ["etl.E011"]),
        ({"TLS_CERT": "client.pem", "TLS_KEY": "client.pem"}, ["etl.E012"]),
        ({"TLS_CA": "/nowhere/ca.pem"}, ["etl.E014"]),
        ({"TLS_CA": "/nowhere/ca.pem", "TLS_KEY": "key.pem"}, ["etl.E013"]),
    ],
)
def test_what_cannot_work_is_told(settings: Settings, values: dict[str, object], identifiers: list[str]) -> None:
    assert told(settings, **values) == identifiers


def test_tls_files_are_tried(settings: Settings, tmp_path: Path) -> None:
    write_certificates(tmp_path)
    client = str(tmp_path / "client.pem")

    assert told(settings, TLS_CA=str(tmp_path / "ca.pem"), TLS_CERT=client, TLS_KEY=client) == []
    assert told(settings, TLS_KEY=str(tmp_path / "server.pem")) == ["etl.E014"]
