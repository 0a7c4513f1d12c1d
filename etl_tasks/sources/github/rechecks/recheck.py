"""The state of a recheck, which asks again for records of one stream, and the requests by id that every recheck uses."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dora_metrics.models import Repository
from etl_tasks.sources.adapter import Job, Page
from etl_tasks.sources.github.raw_values import as_text
from etl_tasks.sources.github.readers.lists import read_list
from etl_tasks.sources.github.readers.reading import Reading
from etl_tasks.sources.github.staged_records import staged_records
from etl_tasks.sources.github.streams import Stream
from etl_tasks.sources.github.survey import SurveyResult

LIST_IS_READ = {"is_read": True}  # the `resume` of a stream whose list has been read, but whose recheck is not finished


@dataclass(slots=True)
class Recheck:
    """The state of the recheck of one stream.

    `reading`: the input for reading the stream. `cursor`: the stream's cursor, which the recheck changes; {} after an unreadable
    page. `read_streams`: the streams whose lists this run reads. `former_branches`: the former names of the default branch that
    this run has found.
    """

    reading: Reading
    job: Job
    survey_result: SurveyResult
    cursor: dict[str, Any]
    read_streams: Collection[str]
    former_branches: Sequence[str]

    @property
    def stream(self) -> Stream:
        return self.reading.stream

    @property
    def repository(self) -> Repository:
        return self.job.source.ensure_facts_repository()

    def staged(self, *fields: str, stream: str = "") -> Iterator[dict[str, Any]]:
        """Yield these fields of the records of a stream that this run has staged; without `stream`, of those of the recheck's own stream."""
        return staged_records(self.job, stream or self.stream.name, *fields)

    def pages(self, pages: Iterator[Page], *, keeps: Sequence[str] = ()) -> Iterator[Page]:
        """Yield a reader's pages, with the recheck's cursor in place of the pages' own cursors.

        `keeps`: the keys that are first copied from a page's cursor into the recheck's. After an unreadable page, the cursor is {}, so
        the stored cursor stays as it is.
        """
        for page in pages:
            if page.body and not page.cursor:
                self.cursor = {}
            elif self.cursor:
                self.cursor |= {name: page.cursor[name] for name in keeps if name in page.cursor}
            yield replace(page, cursor=dict(self.cursor), resume={**LIST_IS_READ, "rest": page.resume.get("rest", [])}, is_done=False)

    def records_by_id(self, ids: Sequence[str]) -> Iterator[Page]:
        """Request records by global id, except those that this run has already staged or requested by id."""
        if not ids:
            return
        given = {as_text(node.get("id")) for node in self.staged("id")}
        asked = {node_id for page in self.job.staged(self.stream.name) for node_id in page.context.get("ids", ())}
        if wanted := [node_id for node_id in dict.fromkeys(ids) if node_id not in given and node_id not in asked]:
            yield from self.pages(read_list(replace(self.reading, ids=wanted)))
