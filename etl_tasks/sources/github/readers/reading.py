"""The input of a reader: its stream, how far back to read, and what it needs from the stored facts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from etl_tasks.sources.adapter import Page, Progress
from etl_tasks.sources.github.client import LARGEST_PAGE, GitHub
from etl_tasks.sources.github.page_sizes import PageSize, PageSizes
from etl_tasks.sources.github.readers.answers import AnswerContent
from etl_tasks.sources.github.streams import Stream


@dataclass(frozen=True, slots=True)
class Reading:
    """The input of one reader in one run. It is complete before the reader's thread starts, because a reader must not use the database."""

    github: GitHub
    stream: Stream
    repository: Mapping[str, Any]  # as the survey found it
    seen_at: datetime  # when the survey was made
    top: Any  # the list's first record and count, as the survey found them; for commits, the head of the default branch
    former: Mapping[str, Any]  # the stream's cursor before the run; {} to read from the beginning
    progress: Progress | None  # what an earlier attempt of the run has stored
    stop_at: datetime | None  # how far back to read; None for the whole list
    until: datetime | None = None  # for a backfill: newer pages are not staged, and the cursor does not move forward
    reads_list: bool = True  # False to read only the records in `ids`
    # Records to read by id. Global ids and numbers of workflow runs are read before the list. The histories of commits are read after the branch's.
    ids: Sequence[Any] = ()
    known_commits: frozenset[str] = frozenset()  # the stored commits reachable from the default branch's head of the last run
    stored_commits: frozenset[str] = frozenset()
    asked_in_vain: Sequence[str] = ()  # deployed commits that GitHub did not have in earlier runs
    missing_attempts: Callable[[Mapping[str, Any]], list[int]] = lambda run: []  # the attempts of a listed workflow run that are to be requested
    stream_variables: Mapping[str, object] = field(default_factory=dict)  # what only this stream needs, for example a variable of its query
    sizes: PageSizes = field(default_factory=lambda: PageSizes({}))

    def repository_variables(self) -> dict[str, object]:
        """Return the query variables that name the repository."""
        owner, _, name = str(self.repository["name"]).partition("/")
        return {"owner": owner, "name": name}

    def page_size(self) -> PageSize:
        """Return the page size of the stream's list."""
        largest = min(settings.GITHUB_PAGE_SIZE, LARGEST_PAGE)
        return self.sizes.of(self.stream.name, largest=largest, start=self.stream.first_page if self.former else largest)

    def page_size_of(self, kind: str) -> PageSize:
        """Return the size of the stream's pages of this kind, which is independent of the size of the pages of its GraphQL list.

        `kind`: "again" for records requested by id, "rest" for next pages of the lists inside a record, "list" for a list of the REST API.
        """
        return self.sizes.of(f"{self.stream.name} {kind}", largest=LARGEST_PAGE)

    def resume(self, **beginning: Any) -> dict[str, Any]:
        """Return the position at which to begin: `beginning`, overridden by the position that an earlier attempt of the run has stored."""
        return {**beginning, **(self.progress.resume if self.progress else {})}

    def cursor(self, first: AnswerContent | None) -> dict[str, Any]:
        """Return the cursor that the stream will have after the run has loaded. `first`: the list's first page, if it was read."""
        if self.progress and self.progress.cursor:
            return self.progress.cursor
        if self.until:
            return self._cursor_of_backfill()
        newest = max(first.times, default=None) if first else None
        created_at = utc(str(self.repository["created_at"]))
        begin = max(self.stop_at or created_at, created_at)  # no record is older than its repository
        if self.former:
            begin = min(begin, utc(self.former["collected_from"])) if self.stop_at else utc(self.former["collected_from"])
        return {
            **self.former,
            "newest": newest.isoformat() if newest else self.former.get("newest"),
            "collected_from": begin.isoformat(),
            "collected_until": (first.fetched_at if first else self.seen_at).isoformat(),
            "top": self.top,
            **self._total(first),
            **({"with_paths": self.stream_variables["withFiles"]} if "withFiles" in self.stream_variables else {}),
            **({"workflow": self.stream_variables["workflow"]} if "workflow" in self.stream_variables else {}),
        }

    def _total(self, first: AnswerContent | None) -> dict[str, int]:
        """Return {"total": the number of the list's records}, or {} if it is unknown.

        The number comes from the list's first page. If that was not read, or the query filtered the list, it comes from the survey.
        """
        total = first.total if first and not self.stream_variables.get("since") else None
        if total is None and isinstance(self.top, dict):
            total = self.top["total"]
        return {} if total is None else {"total": total}

    def _cursor_of_backfill(self) -> dict[str, Any]:
        """Return the stored cursor with "collected_from" moved back to the beginning of the backfill.

        Return {} if the stream has no cursor, or if the backfill ends before "collected_from", because a gap would remain.
        """
        known_from = utc(self.former["collected_from"]) if self.former else None
        if known_from is None or self.until is None or self.until < known_from:
            return {}
        begin = self.stop_at or utc(str(self.repository["created_at"]))
        return {**self.former, "collected_from": min(begin, known_from).isoformat()}


def empty_page(reading: Reading, *, cursor: Mapping[str, Any], resume: Mapping[str, Any], is_done: bool) -> Page:
    """Return a page without records. It only stores how far the stream has been read."""
    return Page(
        stream=reading.stream.name,
        url="",
        body=b"",
        record_count=0,
        fetched_at=reading.seen_at,
        cursor=dict(cursor),
        resume=dict(resume),
        is_done=is_done,
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
