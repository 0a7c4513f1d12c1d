"""Runs in progress on the live display of a command: one line a run, with its stage, its bar and its counts."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from django.db import DatabaseError, connections
from django.utils.translation import gettext as _

from dora_metrics.management.live_display import Display, Item
from etl_tasks.management.run_output import pages_text, records_text, stage_text, status_text
from etl_tasks.models import ETLRun
from etl_tasks.run_progress import RunProgress, progress_of

POLL_SECONDS = 0.5


class RunLines:
    """The lines of several runs, at most as many as the terminal has room for, and a bar for all of them.

    `count`: how many runs there are; with one run there is no bar for all.
    """

    def __init__(self, display: Display, *, count: int) -> None:
        self._display, self._count = display, count
        self._lines: dict[int, Item] = {}
        self._all = display.add(_("all sources"), total=count) if count > 1 else None

    def show(self, found: Iterable[RunProgress], *, ended: int) -> None:
        """Show how far the runs have come. `found`: those that have not ended. `ended`: the number of the others."""
        if self._all:
            self._all.update(done=ended, note=_("%(ended)s of %(count)s ended") % {"ended": ended, "count": self._count})
        begun = [progress for progress in found if progress.run.started_at][: self._display.room]
        for run_id in self._lines.keys() - {progress.run.pk for progress in begun}:
            self._lines.pop(run_id).remove()
        for progress in begun:
            line = self._lines.get(progress.run.pk)
            if line is None:
                line = self._lines[progress.run.pk] = self._display.add(progress.run.pipeline)
            line.update(done=progress.done, total=progress.total or 0, note=note(progress))


def note(progress: RunProgress) -> str:
    """Return the run's stage and counts, as in "extract: 1023 records of 12 pages"."""
    run = progress.run
    if run.is_waiting:
        return status_text(run)
    match run.stage:
        case ETLRun.Stage.EXTRACT:
            counts = _("%(records)s in %(pages)s") % {"records": records_text(run.extracted), "pages": pages_text(progress.pages)}
        case ETLRun.Stage.TRANSFORM:
            counts = pages_text(progress.pages_clean)
        case _loading:
            counts = records_text(progress.done)
    return f"{stage_text(run)}: {counts}"


@contextmanager
def shown_while_running(display: Display, run_id: int) -> Iterator[None]:
    """Show the run while the block works on it in this process. A thread with its own database connection reads how far it has come."""
    if not display.is_live:
        yield
        return
    is_over = Event()

    def follow() -> None:
        lines = RunLines(display, count=1)
        try:
            while not is_over.wait(POLL_SECONDS):
                with suppress(DatabaseError):  # the command itself reports what is wrong with the database
                    lines.show(progress_of([run_id]), ended=0)
        finally:
            lines.show([], ended=1)
            connections.close_all()  # this thread's

    thread = Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
