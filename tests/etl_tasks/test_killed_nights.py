"""Runs are killed or fail at random points while logs are written and rotated. Failed runs are replayed after later runs."""

import gzip
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_tasks import inline, ledger
from etl_tasks.models import ETLRun, Source
from log_store.opening import open_log_store
from log_store.store import LogQuery
from tests.conftest import END
from tests.etl_tasks.conftest import replace_crash_point

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

POINTS = (
    *("extract.page.before", "extract.page.after", "extract.end.after", "transform.page.before", "transform.page.after"),
    *("load.log_store.after", "load.log_events.after", "load.end.before"),
)


class Killed(KeyboardInterrupt):
    """Stands for SIGKILL. The code under test does not catch it, as it does not catch Ctrl-C."""


class Logs:
    """A log of numbered lines. They are so long that a page holds about 1,000."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self._path = path
        self._rng = rng
        self._rotations = 0
        self.written = 0

    def write(self) -> None:
        numbers = range(self.written, self.written + self._rng.choice((5, 100, 1500, 2600)))
        with self._path.open("a") as file:
            file.writelines(f'{{"time": "2026-03-19T10:00:00Z", "message": "{"x" * 900} {number}"}}\n' for number in numbers)
        self.written = numbers.stop

    def rotate(self) -> None:
        self._rotations += 1
        rotated = self._path.with_name(f"{self._path.name}.{self._rotations}")
        self._rng.choice((self._rename, self._copy_and_truncate, self._compress))(rotated)
        self.write()

    def _rename(self, rotated: Path) -> None:
        self._path.rename(rotated)

    def _copy_and_truncate(self, rotated: Path) -> None:
        shutil.copy(self._path, rotated)
        os.truncate(self._path, 0)

    def _compress(self, rotated: Path) -> None:
        rotated.with_name(f"{rotated.name}.gz").write_bytes(gzip.compress(self._path.read_bytes()))
        self._path.unlink()


def dying_once(rng: random.Random) -> Callable[[str], None]:
    """Return a replacement for `crash_point` that raises once: `Killed` or RuntimeError, at the first or second pass of a random point."""
    point, left, how = rng.choice(POINTS), rng.randint(1, 2), rng.choice((Killed, RuntimeError))

    def at(name: str) -> None:
        nonlocal left
        left -= name == point
        if name == point and left == 0:
            raise how

    return at


@pytest.mark.parametrize("seed", range(12))
def test_every_line_is_stored_once_whatever_is_killed_rotated_or_replayed(
    billing: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    open_log_store().ensure_schema()
    name = f"logs-{tmp_path.name}"
    source = Source.objects.create(name=name, service=billing.service, kind="logs", path=f"{tmp_path}/app.log*", log_format="json")
    logs = Logs(tmp_path / "app.log", rng)
    failed: list[ETLRun] = []

    def go_on(run: ETLRun, *, may_die: bool) -> None:
        """Run the remaining stages. If the run is killed, rotate the logs and continue."""
        # The real crash_point kills the process. Restarting it would take hours over all these nights, so this one raises.
        replace_crash_point(monkeypatch, dying_once(rng) if may_die else lambda name: None)
        try:
            inline.run_remaining_stages(run.pk)
        except inline.StageFailed:
            failed.append(run)
        except Killed:
            logs.rotate()
            ETLRun.objects.filter(pk=run.pk).update(owner="")  # as if its lease had expired
            go_on(run, may_die=rng.random() < 0.5)

    def night(*, may_die: bool) -> None:
        run = ledger.open_run(source, trigger="shell", options={"full": True} if rng.random() < 0.15 else {})
        assert run
        go_on(run, may_die=may_die)

    for _ in range(6):
        logs.write()
        night(may_die=rng.random() < 0.7)
        if rng.random() < 0.7:
            logs.rotate()
        if failed and rng.random() < 0.5:
            assert ledger.reopen(failed[0])
            go_on(failed.pop(0), may_die=False)
    night(may_die=False)
    for run in failed:
        assert ledger.reopen(run)
        go_on(run, may_die=False)

    events = open_log_store().read(LogQuery(name, END.replace(year=END.year - 1), END), limit=100_000).events
    assert sorted(int(event.message.rpartition(" ")[2]) for event in events) == list(range(logs.written))
    assert set(ETLRun.objects.filter(source=source).values_list("status", flat=True)) == {"success"}
