"""What a kind of source must offer. To add one: write its adapter and name it in ETL_ADAPTERS (docs/contributing.md)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from etl_tasks.errors import FatalError
from etl_tasks.models import Source, StagedPage
from etl_tasks.outcomes import Bad, Good

LOG_EVENT = "log_event"  # what goes to the log store, and not by upsert into SQL


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands in one stream."""

    resume: dict[str, Any]
    cursor: dict[str, Any]
    is_done: bool


@dataclass(frozen=True, slots=True)
class Job:
    """One extraction: the source, its cursors as the run found them, and what the run has read already.

    `staged`: the pages of a stream that the run has staged so far.
    """

    source: Source
    cursors: Mapping[str, dict[str, Any]]
    progress: Mapping[str, Progress]
    since: datetime | None = None  # read back to here even if the cursor is newer
    until: datetime | None = None  # a backfill: what is newer is not wanted, and the cursors stay where they are
    is_full: bool = False  # read as if there were no cursor
    is_first_attempt: bool = True  # nobody was told to wait, and nobody died over it
    survey: dict[str, Any] | None = None  # what `Adapter.survey` returned for the source
    staged: Callable[[str], Iterator[StagedPage]] = lambda stream: iter(())


@dataclass(frozen=True, slots=True)
class Page:
    """One answer, verbatim, and how far it brings its stream. An empty body says only how far: nothing is staged.

    `cursor`: where the stream's cursor will stand once the run has loaded; {} leaves it where it is. The keys
    "collected_from" and "collected_until" (ISO 8601) become the Coverage of the source's repository.
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


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of a source that could not be read: it becomes a dead letter, its neighbours go on."""

    stream: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Learned:
    """What the source is to remember whether or not the run ends well: its lists whose whole pages the other side cannot finish, and what it can."""

    page_sizes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Check:
    """What a source would give, in sentences for a person."""

    can_be_read: bool
    sentences: list[str]


class Adapter(ABC):
    """A kind of source."""

    label = ""
    """What people choose it by."""
    needed: tuple[str, ...] = ()
    """The columns of a source that must not be empty."""
    reads_files = False
    """Whether it reads files: of a source that names its host, only a worker there sees them."""
    keeps_log_events = False
    """Whether its records are log events, kept under the source's name."""

    def validate(self, source: Source) -> None:  # noqa: B027 (a kind may do without)
        """Raises ValueError, with a sentence, or ValidationError for settings that cannot work."""

    def validate_change(self, source: Source, *, former: Source) -> None:  # noqa: B027 (a kind may do without)
        """The same for a change of a source that has been collected: what was collected must not be lost or mixed."""

    @abstractmethod
    def pages(self, job: Job) -> Iterator[Page | Unreadable | Learned]:
        """What the source has after its cursors. Raises RetriableError or FatalError."""

    @abstractmethod
    def check(self, source: Source) -> Check:
        """Try the source without storing anything. Raises nothing: what fails is said."""

    def survey(self, sources: Sequence[Source]) -> dict[int, dict[str, Any]]:
        """What is new in many sources, asked at once, by primary key; a source that is missing finds out by itself."""
        return {}

    @abstractmethod
    def fact(self, stream: str, context: Mapping[str, Any]) -> str:
        """Which fact the records of a page become: a key of fact_kinds.KINDS, or LOG_EVENT."""

    def count(self, source: Source, content: bytes) -> int | None:
        """How many records a staged page has, as the source is set now; None if no setting can change that."""
        return None

    @abstractmethod
    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        """The records of a staged page, validated, in order. Raises UnreadablePage."""

    def ask_again(self, source: Source, stream: str, lost: Mapping[str, Any]) -> Page:
        """One page with a record that the source did not give, `lost` being the data of its Bad. Raises RetriableError or FatalError."""
        raise FatalError(f"{source} gives all of its records: there is nothing to ask for again")

    def loaded(self, source: Source, cursors: Mapping[str, dict[str, Any]]) -> None:  # noqa: B027 (a kind may do without)
        """Called in the transaction that ends a run, with the cursors that it moved."""
