"""Every promise that a soak checks is reported when it is broken, and none when all is well."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from pytest_django import Settings

from dora_metrics.models import LogDeployment, LogTraffic
from etl_tasks import inline, ledger
from etl_tasks.models import CleanBatch, DeadLetter, ETLRun, Source, StagedPage
from log_store.models import LogEventRow
from log_store.opening import open_log_store
from soak import invariants, worlds
from soak.log_files import LogFiles

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.xdist_group("soak")]
Logs = dict[str, LogFiles]


@pytest.fixture
def logs(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Logs:
    """Collect the log with bad lines, and that without, for the soak's services and for the undisturbed ones."""
    settings.CASSANDRA_CONTACT_POINTS = []
    open_log_store().ensure_schema()
    for service in ("billing", "odd"):  # their GitHub sources are compared by a function that has tests of its own
        monkeypatch.delitem(worlds.SERVICES, service)
    untouched = {name: tmp_path / f"untouched-{name}.log" for name in worlds.SERVICES}
    files = {name: LogFiles(tmp_path / name, path, 1) for name, path in untouched.items()}
    for one in files.values():
        while one.written <= 250:  # line 250 is a deployment
            one.write("write", one.rng)
        one.write("poison" if one.folder.name == worlds.ODD_LOG_SERVICE else "write", one.rng)
    worlds.add_services({name: one.pattern for name, one in files.items()})
    worlds.add_services({name: str(path) for name, path in untouched.items()}, prefix=worlds.UNDISTURBED, is_strict=False)
    for source in Source.objects.all():
        run = ledger.open_run(source, trigger="shell")
        assert run
        inline.run_remaining_stages(run.pk)
    return files


def lose_line(logs: Logs) -> None:
    LogEventRow.objects.filter(source="calls-log").order_by("pk").first().delete()  # type: ignore[union-attr]


def double_line(logs: Logs) -> None:
    row: Any = LogEventRow.objects.filter(source="calls-log").order_by("pk").first()
    row.pk, row.event_id = None, "f" * len(row.event_id)
    row.save()


def lose_letter(logs: Logs) -> None:
    DeadLetter.objects.filter(kind="record").delete()


def double_letter(logs: Logs) -> None:
    letter = DeadLetter.objects.get(kind="record")
    letter.pk, letter.key = None, "another"
    letter.save()


def fail_run(logs: Logs) -> None:
    ETLRun.objects.filter(source__name="calls-log").update(status="failed")


def keep_run_active(logs: Logs) -> None:
    ETLRun.objects.filter(source__name="calls-log").update(status="running")


def miscount(logs: Logs) -> None:
    ETLRun.objects.filter(source__name="calls-log").update(loaded=1)


def forget_page(logs: Logs) -> None:
    StagedPage.objects.filter(run__source__name="calls-log").update(is_clean=False)


def forget_batch(logs: Logs) -> None:
    CleanBatch.objects.filter(page__run__source__name="calls-log").update(is_stored=False)


def change_deployment(logs: Logs) -> None:
    LogDeployment.objects.filter(source="calls-log").update(sha="f" * 12)


def change_counts(logs: Logs) -> None:
    LogTraffic.objects.filter(source="calls-log").update(minutes={"0": [1, 1]})


ALL: dict[str, Callable[[Logs], Iterable[str]]] = {
    "records": lambda _: invariants.records_without_a_place(),
    "lines": invariants.lines_without_a_place,
    "doubled": invariants.doubled_lines,
    "undisturbed": lambda _: invariants.differences_from_undisturbed(),
    "events": invariants.differences_of_events,
    "ends": lambda _: invariants.runs_without_an_end(),
    "letters": lambda _: invariants.failures_without_a_letter(),
    "two letters": invariants.lines_with_two_letters,
    "open": lambda _: invariants.open_letters(),
}
# What is broken, and which checks report it. Others may report a consequence.
BROKEN: list[tuple[Callable[[Logs], None], set[str]]] = [
    (lose_line, {"lines", "events"}),
    (double_line, {"doubled", "events"}),
    (lose_letter, {"lines", "letters"}),
    (double_letter, {"two letters"}),
    (fail_run, {"letters"}),
    (keep_run_active, {"ends"}),
    (miscount, {"records"}),
    (forget_page, {"records"}),
    (forget_batch, {"records"}),
    (change_deployment, {"undisturbed"}),
    (change_counts, {"undisturbed"}),
]


def reported(logs: Logs) -> set[str]:
    return {name for name, check in ALL.items() if list(check(logs))}


def test_whatever_is_broken_is_reported(logs: Logs) -> None:
    assert reported(logs) == {"open", "events"}, "only the bad line is in an open letter, and not among the events"
    DeadLetter.objects.update(state="discarded")
    assert reported(logs) == set()
    found = {}
    for breaks, _ in BROKEN:
        point = transaction.savepoint()
        breaks(logs)
        found[breaks.__name__] = reported(logs)
        transaction.savepoint_rollback(point)
    assert {name: by - found[name] for name, by in ((breaks.__name__, by) for breaks, by in BROKEN)} == {name: set() for name in found}
    assert reported(logs) == set()
