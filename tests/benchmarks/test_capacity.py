"""How many sources a machine carries, and how the tables grow, follow from the costs of a source."""

from pathlib import Path

import pytest

from benchmarks import capacity
from benchmarks.capacity import Night, Table, carriers, mixture


def test_the_mixture_weighs_quiet_sources_repositories_and_logs() -> None:
    idle, repository, log = Night(1, 0, 0), Night(10, 0, 0, points=4), Night(20, 0, 0, cassandra_events=100)
    found = mixture(idle, repository, log, active=0.5, logs=0.2)
    assert found.worker_s == pytest.approx(0.5 * 1 + 0.4 * 10 + 0.1 * 20)
    assert found.points == pytest.approx(0.4 * 4)
    assert found.cassandra_events == pytest.approx(0.1 * 100)


def test_each_carrier_has_as_many_sources_as_its_night_has_room_for() -> None:
    found = {carrier.name: carrier for carrier in carriers(Night(worker_s=1.5, mysql_s=0.5, redis_s=0.1, points=2))}
    worker = found["worker with two processes"]
    assert worker.sources == 5 * 3600 * 2 / 2
    assert worker.needed_for(18_000) == 1
    assert worker.needed_for(18_001) == 2
    assert found["GitHub token"].sources == 5 * 4500 / 2
    assert found["Cassandra node"].sources == float("inf")


def test_the_carrier_that_is_full_first_stands_first() -> None:
    sources = [carrier.sources for carrier in carriers(capacity.ACTIVE_REPOSITORY)]
    assert sources == sorted(sources)


def test_a_table_grows_until_its_rows_are_deleted() -> None:
    kept = Table("runs", a_night=1, an_active_night=5, bytes_a_row=1000, kept_days=30, what_then="")
    assert kept.rows(100, 10, active=0.1) == 100 * 10 * 1.5
    assert kept.rows(100, 3000, active=0.1) == 100 * 30 * 1.5
    endless = Table("facts", a_night=1, an_active_night=5, bytes_a_row=1000, kept_days=None, what_then="")
    assert endless.rows(100, 3000, active=0.1) == 100 * 3000 * 1.5
    assert endless.gigabytes(100, 3000) == pytest.approx(endless.rows(100, 3000) / 1e6)


def test_the_page_has_the_tables_that_follow_from_the_constants(capsys: pytest.CaptureFixture[str]) -> None:
    capacity.main([])
    printed = capsys.readouterr().out
    assert "task that starts the night" in printed
    assert printed.strip() in Path(capacity.PAGE).read_text(), "scripts/bench capacity --store"
