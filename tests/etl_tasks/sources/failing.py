"""A source adapter without records. It fails in the stages that the test names."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.test import override_settings
from django.utils.timezone import now

from etl_tasks.errors import FatalError
from etl_tasks.models import Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.adapter import Adapter, Check, Job, Page

STREAM = "issues"


class FailingSource(Adapter):
    fails_in: frozenset[str] = frozenset()

    def check(self, source: Source) -> Check:
        return Check(can_be_read=True, sentences=[])

    def pages(self, job: Job) -> Iterator[Page]:
        self._fail_in("extract")
        if STREAM not in job.progress:
            yield Page(stream=STREAM, url="", body=b"no records", record_count=0, fetched_at=now(), cursor={}, is_done=True)

    def fact(self, stream: str, context: Mapping[str, Any]) -> str:
        return "issue"

    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        self._fail_in("transform")
        return iter(())

    def loaded(self, source: Source, cursors: Mapping[str, dict[str, Any]]) -> None:
        self._fail_in("load")

    def _fail_in(self, stage: str) -> None:
        if stage in self.fails_in:
            raise FatalError(f"{stage} cannot be done")


@contextmanager
def failing(*stages: str) -> Iterator[None]:
    """Read GitHub sources with `FailingSource`, which fails in `stages`."""
    FailingSource.fails_in = frozenset(stages)
    try:
        with override_settings(ETL_ADAPTERS={"github": f"{__name__}.{FailingSource.__name__}"}):
            yield
    finally:
        FailingSource.fails_in = frozenset()  # subclasses in other tests do not fail
