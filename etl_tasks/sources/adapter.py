"""What a kind of source must implement. To add a kind, write its adapter and name it in ETL_ADAPTERS (docs/contributing.md).

A source consists of streams, for example GitHub's list of issues or one log file. Each stream has its own cursor.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from etl_tasks.errors import FatalError
from etl_tasks.models import Source, StagedPage
from etl_tasks.outcomes import Bad, Good, Unreadable

SETTLED = "settled"  # a cursor with this key says that the source may be settled (Adapter.settled_cursors)
# The keys of a cursor that may change although nothing is new: they say when the source was last read, or not found, or that it is settled.
PASSING_KEYS = {"collected_until", "seen_at", "until", "gone_since", SETTLED, "settled_at"}
LOG_EVENT = "log_event"  # the kind of records that go to the log store instead of SQL tables of facts


def lasting(cursor: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in cursor.items() if key not in PASSING_KEYS}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has read one stream."""

    resume: dict[str, Any]
    cursor: dict[str, Any]
    is_done: bool


class Staged(Protocol):
    def __call__(self, stream: str, *, with_bodies: bool = False) -> Iterator[StagedPage]:
        """Return the pages of a stream. `with_bodies`: all of them; otherwise only those with a context, whose bodies are read when accessed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One extraction: the source, its cursors when the run began, and how far the run has read.

    `staged`: returns the pages of a stream that the run has staged so far.
    """

    source: Source
    cursors: Mapping[str, dict[str, Any]]
    progress: Mapping[str, Progress]
    since: datetime | None = None  # read back to this time even if the cursor is newer
    until: datetime | None = None  # a backfill: read no newer records, and leave the cursors where they are
    is_full: bool = False  # read as if there were no cursor
    is_between_nights: bool = False  # what is tried again only a few times is left to the nights
    is_first_attempt: bool = True  # False if an earlier attempt failed, was killed or was asked to wait
    survey: dict[str, Any] | None = None  # what `Adapter.survey` returned for the source
    staged: Staged = lambda stream, **_: iter(())


@dataclass(frozen=True, slots=True)
class Page:
    """One unchanged answer of the source, and how far the stream has been read after it. A page with an empty body is not staged.

    `cursor`: the stream's cursor once the run is loaded; {} leaves the cursor where it is. The keys "collected_from" and
    "collected_until" (ISO 8601) become the Coverage of the source's repository. `resume`: where a later attempt of the run continues.
    `context`: what `Adapter.clean` needs beside the body. `is_followed`: the next page has been read already, and is yielded at once. So both can
    be stored in one transaction.

    If nothing is new, the cursor should differ from the stored one in the keys of PASSING_KEYS only: a run between two nights that has no
    records and no other difference recomputes no metrics.
    """

    stream: str
    url: str
    body: bytes
    record_count: int
    fetched_at: datetime
    cursor: dict[str, Any]
    resume: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    is_done: bool = False
    is_followed: bool = False


@dataclass(frozen=True, slots=True)
class Learned:
    """What is stored with the source even if the run fails. `page_sizes`: for each list whose larger pages failed, the size to ask for."""

    page_sizes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of trying a source. `sentences`: what the source would deliver, or why it cannot be read."""

    can_be_read: bool
    sentences: list[str]


class Adapter(ABC):
    """A kind of source. One instance serves all sources of the kind, so it keeps no state."""

    label = ""
    """The name of the kind in forms."""
    needed: tuple[str, ...] = ()
    """The columns of a source that must not be empty."""
    fields: tuple[str, ...] = ()
    """The columns of a source that this kind reads besides those that every source has. Forms show only these; if empty, all."""
    reads_files = False
    """Whether this kind reads files. If the source names a host, only a worker on that host can read them."""
    keeps_log_events = False
    """Whether the records of this kind are log events. They are stored under the name of their source."""
    shortest_interval_minutes = 1
    """The fewest minutes between the beginnings of two runs, for a source that also runs between the nights."""

    def validate(self, source: Source) -> None:  # noqa: B027 (optional)
        """Raise ValueError with a sentence, or ValidationError, if the source cannot work with its settings."""

    def validate_change(self, source: Source, *, former: Source) -> None:  # noqa: B027 (optional)
        """Raise the same errors as `validate` if saving `source` would mix collected facts with others or make them unreachable.

        `former`: the source as it is stored. This method is called only for a source that has been collected.
        """

    @abstractmethod
    def pages(self, job: Job) -> Iterator[Page | Unreadable | Learned]:
        """Yield what the source has after its cursors. Raises RetriableError or FatalError."""

    @abstractmethod
    def check(self, source: Source) -> Check:
        """Try the source without storing anything. A failure is part of the returned Check; nothing is raised."""

    def survey(self, sources: Sequence[Source]) -> dict[int, dict[str, Any]]:
        """Return what is new in many sources, by their primary keys, with few requests.

        A source may be left out; its run then finds out what is new.
        """
        return {}

    def survey_in_parts(self, sources: Sequence[Source]) -> Iterator[dict[int, dict[str, Any]]]:
        """Yield what `survey` returns, a part of the sources at a time. The runs of one part need not wait for the next part."""
        yield self.survey(sources)

    def is_quiet(self, source: Source, cursors: Mapping[str, dict[str, Any]], news: Mapping[str, Any] | None) -> bool:
        """Return whether the source seems to have nothing new, as far as this is known without a request. `news`: what `survey` has returned.

        The runs of quiet sources are sent before the others of the night. A mistake changes only that order.
        """
        return False

    def settled_cursors(
        self, source: Source, cursors: Mapping[str, dict[str, Any]], news: Mapping[str, Any] | None
    ) -> dict[str, dict[str, Any]] | None:
        """Return the cursors that a run would leave, if it is certain without a request that it would find nothing; None otherwise.

        They differ from `cursors` in the keys of PASSING_KEYS only. The run is then ended without its stages. This method is called only if one
        of `cursors` has the key SETTLED, and inside the transaction that ends the run and has locked the service.
        """
        return None

    @abstractmethod
    def fact(self, stream: str, context: Mapping[str, Any]) -> str:
        """Return the kind of the records in a page of the stream with this context: a key of fact_kinds.KINDS, or LOG_EVENT."""

    def count(self, source: Source, content: bytes) -> int | None:
        """Return how many records a staged page has with the source's current settings; None if settings cannot change the number."""
        return None

    @abstractmethod
    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        """Yield the validated records of a staged page, in order. Raises UnreadablePage."""

    def ask_again(self, source: Source, stream: str, lost: Mapping[str, Any]) -> Page:
        """Request a record that the source did not return, and return a page with it.

        `lost`: the `data` of the `Bad` (etl_tasks/outcomes.py) by which the adapter has reported the record. Raises RetriableError or
        FatalError.
        """
        raise FatalError(f"{source} gives all of its records: there is nothing to ask for again")

    def loaded(self, source: Source, cursors: Mapping[str, dict[str, Any]]) -> None:  # noqa: B027 (optional)
        """Do what this kind has to do when a run ends, in the same transaction. `cursors`: the cursors that the run has moved."""
