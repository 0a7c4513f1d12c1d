"""How far runs in progress have come: what their current stage has done, of how much, and when the run began."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import Count, Q

from etl_tasks.models import ETLRun, StagedPage, StreamProgress


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run has come.

    `pages`, `pages_clean`: the pages that are staged, and those that transform has finished. `expected`: the number of records that the
    run will extract, if that is known; it is while lists are read from their beginning, as in a first collection, because each list tells
    its length. It grows while further lists are begun.
    """

    run: ETLRun
    pages: int
    pages_clean: int
    expected: int | None

    @property
    def done(self) -> int:
        """What the current stage has done: records extracted, pages cleaned, or records loaded."""
        match self.run.stage:
            case ETLRun.Stage.EXTRACT:
                return self.run.extracted
            case ETLRun.Stage.TRANSFORM:
                return self.pages_clean
        return self.run.loaded + self.run.skipped + self.run.dead_lettered

    @property
    def total(self) -> int | None:
        """Of how much `done` is a part; None if that is unknown."""
        match self.run.stage:
            case ETLRun.Stage.EXTRACT:
                # A list that does not tell its length may be left when all others are read.
                return self.expected if self.expected and self.expected > self.run.extracted else None
            case ETLRun.Stage.TRANSFORM:
                return self.pages or None
        return self.run.extracted or None


def progress_of(run_ids: Iterable[int]) -> list[RunProgress]:
    """Return the progress of the runs, ordered by id, in three queries."""
    runs = list(ETLRun.objects.filter(pk__in=list(run_ids)).order_by("pk"))
    ids = [run.pk for run in runs]
    pages = StagedPage.objects.filter(run__in=ids).order_by().values("run").annotate(count=Count("pk"), done=Count("pk", filter=Q(is_clean=True)))
    counts = {row["run"]: (row["count"], row["done"]) for row in pages}
    expected = _expected(runs)
    return [RunProgress(run, *counts.get(run.pk, (0, 0)), expected=expected.get(run.pk)) for run in runs]


def _expected(runs: Iterable[ETLRun]) -> Mapping[int, int]:
    """Return how many records the runs will extract, by id, for those that read lists from the beginning."""
    extracting = {run.pk: run for run in runs if run.stage == ETLRun.Stage.EXTRACT and not run.options.keys() & {"since", "until"}}
    found: dict[int, int] = defaultdict(int)
    rows = StreamProgress.objects.filter(run__in=extracting, cursor__has_key="total").values_list("run", "began_at_version", "cursor__total")
    for run_id, began_at_version, total in rows:
        if isinstance(total, int) and (began_at_version == 0 or extracting[run_id].options.get("full")):
            found[run_id] += total
    return found
