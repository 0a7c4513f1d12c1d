"""Read one stream from where it stands, page by page. Each reader may run in a thread of its own: none touches the database.

A page's `resume` says all that another process needs to go on behind it.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus

from django.conf import settings

from etl_tasks.errors import RetriableError
from etl_tasks.fact_kinds import WORKFLOW_RUN_RETENTION
from etl_tasks.outcomes import UnreadablePage
from etl_tasks.sources.adapter import Page, Progress
from etl_tasks.sources.github import mapping
from etl_tasks.sources.github.budget import PageSize, PageSizes
from etl_tasks.sources.github.client import Answer, GitHub, NotFound, page_of
from etl_tasks.sources.github.streams import Stream, names_query, query_text

LARGEST_PAGE = 100  # GitHub's limit, of ids in a query as well
# GitHub never lists more runs than this of one filter, however many there are.
MOST_RUNS_OF_A_FILTER = 1000
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader needs to know of its stream and of the facts that are stored."""

    github: GitHub
    stream: Stream
    repository: Mapping[str, Any]  # as the survey found it
    seen_at: datetime  # when the survey was made
    top: Any  # the list's first record then; of commits, the head
    former: Mapping[str, Any]  # the cursor as the run found it; {} to read from the beginning
    progress: Progress | None
    stop_at: datetime | None  # how far back to read; None for the whole list
    until: datetime | None = None  # a backfill: what is newer is not wanted, and the cursor stays
    is_list_asked: bool = True  # else only what is named in `again`
    again: list[Any] = field(default_factory=list)
    known_commits: frozenset[str] = frozenset()  # what the branch's former head reaches
    stored_commits: frozenset[str] = frozenset()
    asked: Sequence[str] = ()  # deployed commits that earlier runs asked for in vain
    needs_attempts: Callable[[Mapping[str, Any]], list[int]] = lambda run: []
    options: Mapping[str, object] = field(default_factory=dict)  # variables of the stream's own
    sizes: PageSizes = field(default_factory=lambda: PageSizes({}))

    def variables(self) -> dict[str, object]:
        owner, _, name = str(self.repository["name"]).partition("/")
        return {"owner": owner, "name": name}

    def page_size(self) -> PageSize:
        largest = min(settings.GITHUB_PAGE_SIZE, LARGEST_PAGE)
        return self.sizes.of(self.stream.name, largest=largest, start=self.stream.first_page if self.former else largest)

    def page_size_of(self, what: str) -> PageSize:
        """Of single records that are asked for again, or of what their own lists lack."""
        return self.sizes.of(f"{self.stream.name} {what}", largest=LARGEST_PAGE)

    def resume(self, **beginning: Any) -> dict[str, Any]:
        return {**beginning, **(self.progress.resume if self.progress else {})}

    def cursor(self, first: "Content | None") -> dict[str, Any]:
        """Where the stream's cursor will be once the run has loaded; `first`: the list's first page, if it was read."""
        if self.progress and self.progress.cursor:
            return self.progress.cursor
        if self.until:
            return self._cursor_of_backfill()
        newest = max(first.times, default=None) if first else None
        created_at = _utc(str(self.repository["created_at"]))
        begin = max(self.stop_at or created_at, created_at)  # before that there was nothing to be read
        if self.former:
            begin = min(begin, _utc(self.former["collected_from"])) if self.stop_at else _utc(self.former["collected_from"])
        return {
            **self.former,
            "newest": newest.isoformat() if newest else self.former.get("newest"),
            "collected_from": begin.isoformat(),
            "collected_until": (first.fetched_at if first else self.seen_at).isoformat(),
            "top": self.top,
            **self._total(first),
            **({"with_paths": self.options["withFiles"]} if "withFiles" in self.options else {}),
            **({"workflow": self.options["workflow"]} if "workflow" in self.options else {}),
        }

    def _total(self, first: "Content | None") -> dict[str, int]:
        """How many records there are: as the list's first page says, unless it is filtered, else as the survey saw."""
        total = first.total if first and not self.options.get("since") else None
        if total is None and isinstance(self.top, dict):
            total = self.top["total"]
        return {} if total is None else {"total": total}

    def _cursor_of_backfill(self) -> dict[str, Any]:
        """A backfill that meets what was collected makes it longer; any other leaves the cursor alone."""
        known_from = _utc(self.former["collected_from"]) if self.former else None
        if known_from is None or self.until is None or self.until < known_from:
            return {}
        begin = self.stop_at or _utc(str(self.repository["created_at"]))
        return {**self.former, "collected_from": min(begin, known_from).isoformat()}


class Content:
    """What paging needs of an answer; the rest is decoded in transform."""

    def __init__(self, stream: Stream, answer: Answer, *, shape: str = "", **context: Any) -> None:
        self.stream, self.answer = stream, answer
        self.context = {**({"shape": shape} if shape else {}), **context}
        self.fetched_at = answer.fetched_at
        self.nodes: list[Any] = []
        self.total: int | None = None
        self.end_cursor: str | None = None
        self.is_broken = False
        path, _ = stream.shape({"shape": shape})
        try:
            self.nodes = mapping.nodes(answer.body, path)
        except UnreadablePage:
            self.is_broken = True
            return
        self.decoded = json.loads(answer.body)
        if None in self.nodes and not stream.query:
            self.context["list"] = {"url": answer.url}  # REST: where to ask again for what has no id
        connection: Any = self.decoded
        for key in path:
            connection = (connection or {}).get(key)
        if connection is None and stream.query and not shape:
            raise RetriableError(f"GitHub left {stream.name} out of its answer")
        if isinstance(connection, dict):
            self.total = connection.get("totalCount")
        elif isinstance(self.decoded, dict):
            self.total = self.decoded.get("total_count")  # REST's
        info = connection.get("pageInfo") if isinstance(connection, dict) else None
        if info and info.get("hasNextPage"):
            self.end_cursor = info.get("endCursor")

    @property
    def times(self) -> list[datetime]:
        found = []
        for node in self.nodes:
            try:
                moment = datetime.fromisoformat(node[self.stream.order_key])
                if moment.tzinfo is None:
                    continue
                found.append(min(moment.astimezone(UTC), self.fetched_at))  # a cursor in the future would hide what comes until then
            except (KeyError, TypeError, ValueError):
                continue  # a bad record: transform buries it
        return found

    @property
    def oldest(self) -> datetime | None:
        return min(self.times, default=None)

    def page(self, *, cursor: Mapping[str, Any], resume: Mapping[str, Any], is_done: bool, is_wanted: bool = True) -> Page:
        """Staged as it came. An unreadable answer is one record, to become one dead letter; its stream's cursor stays."""
        body = (self.answer.body or b" ") if is_wanted else b""
        if self.is_broken:
            return self._page(body=body, record_count=1, cursor={}, resume={}, context=self.context, is_done=True)
        count = len(self.nodes) - len(self.context.get("named", ())) if is_wanted else 0
        return self._page(body=body, record_count=count, cursor=dict(cursor), resume=dict(resume), context=self.context, is_done=is_done)

    def _page(self, **fields: Any) -> Page:
        return Page(stream=self.stream.name, url=self.answer.url, fetched_at=self.fetched_at, **fields)


def nothing(reading: Reading, *, cursor: Mapping[str, Any], resume: Mapping[str, Any], is_done: bool) -> Page:
    """No records, but how far the stream has come."""
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


def unchanged(reading: Reading) -> Iterator[Page]:
    """Nothing is new: only the time until which that is known moves on."""
    yield nothing(reading, cursor=reading.cursor(None), resume={}, is_done=True)


def listed(reading: Reading) -> Iterator[Page]:
    """A list sorted by time, newest first: read until it is older than `stop_at`; then what single records lack."""
    stream, size, again = reading.stream, reading.page_size(), reading.page_size_of("again")
    resume = reading.resume(again=list(reading.again), after=None, is_listed=not reading.is_list_asked, rest=[])
    cursor = reading.cursor(None)
    is_first = not reading.progress
    while True:
        is_wanted = True
        if resume["again"]:
            content = _by_id(reading.github, stream, resume["again"], reading.options, repository_id=reading.repository["node_id"], size=again)
            resume |= {"again": resume["again"][again.asked :], "rest": [*resume["rest"], *_lacking(stream, content)]}
        elif not resume["is_listed"]:
            variables = {**reading.variables(), **reading.options, "after": resume["after"]}
            content = Content(stream, reading.github.query(query_text(stream.query), variables, page=size))
            _name_nulls(reading.github, content, variables)
            if is_first:
                cursor, is_first = reading.cursor(content), False
            is_wanted = not (reading.until and content.oldest and content.oldest > reading.until)
            is_read = not content.end_cursor or bool(reading.stop_at and content.oldest and content.oldest < reading.stop_at)
            rest = _lacking(stream, content) if is_wanted else []
            resume |= {"after": content.end_cursor, "is_listed": is_read, "rest": [*resume["rest"], *rest]}
        else:
            content = _rest_of_one(reading, resume)
        is_done = content.is_broken or not (resume["again"] or resume["rest"] or not resume["is_listed"])
        yield content.page(cursor=cursor, resume=resume, is_done=is_done, is_wanted=is_wanted)
        if is_done:
            return


def _lacking(stream: Stream, content: Content) -> list[dict[str, Any]]:
    """The records of a page whose own lists go on where a metric reads them, and behind which cursors."""
    rest = stream.rest
    found = ((node, rest.lacking(node)) for node in content.nodes if isinstance(node, dict) and rest.is_measured(node))
    return [{rest.key: node[rest.key], **cursors} for node, cursors in found if cursors]


def _by_id(
    github: GitHub, stream: Stream, ids: Sequence[str], options: Mapping[str, object], *, repository_id: str, size: PageSize | None = None
) -> Content:
    """A page that tells of each id what became of it (absent.py)."""
    variables = {"ids": ids, **{name: options[name] for name in ("withFiles",) if name in options}}
    answer = github.query(query_text(stream.again_query), variables, page=size)
    asked = list(ids)[: size.asked] if size else list(ids)
    return Content(stream, answer, shape="again", ids=asked, repository=repository_id, at=answer.fetched_at.isoformat())


def _name_nulls(github: GitHub, content: Content, variables: Mapping[str, object]) -> None:
    """The ids of records that GitHub gave null for, as it tells them when it is asked for nothing else; what stays null has no name."""
    if None not in content.nodes:
        return
    asked = {name: value for name, value in variables.items() if name in ("owner", "name", "after", "since")} | {"first": len(content.nodes)}
    answer = github.query(names_query(content.stream), asked, is_tolerant=True)
    given = {node.get("id") for node in content.nodes if isinstance(node, dict)}
    names = Content(content.stream, answer).nodes
    named = [node["id"] for node in names if node and node["id"] not in given]
    content.context |= {"named": named[: content.nodes.count(None)], "list": {**variables, "first": len(content.nodes)}}


def ask_again(github: GitHub, stream: Stream, lost: Mapping[str, Any], *, repository_id: str) -> Page:
    """A page with what GitHub did not give: a record by its id, or, where that is unknown, the part of the list that it lay in."""
    if node_id := lost.get("id"):
        content = _by_id(github, stream, [node_id], {"withFiles": True}, repository_id=repository_id)
    elif url := lost["list"].get("url"):
        content = Content(stream, github.get(url), list=lost["list"])
    else:
        content = Content(stream, github.query(query_text(stream.query), lost["list"]), list=lost["list"])
    return content.page(cursor={}, resume={}, is_done=True)


def _rest_of_one(reading: Reading, resume: dict[str, Any]) -> Content:
    """The next page of the lists of the first record that lacks some; what it lacks then stays in `resume`."""
    rest, (more, *later) = reading.stream.rest, resume["rest"]
    variables = {**reading.variables(), rest.key: more[rest.key]}
    for name in rest.lists:
        variables |= {f"with{name[0].upper()}{name[1:]}": name in more, f"{name}After": more.get(name)}
    answer = reading.github.query(query_text(rest.query), variables, page=reading.page_size_of("rest"))
    content = Content(reading.stream, answer, shape="rest")
    cursors = rest.lacking(next((node for node in content.nodes if isinstance(node, dict)), {}))
    resume |= {"rest": [*([{rest.key: more[rest.key], **cursors}] if cursors else []), *later]}
    return content


def history(reading: Reading) -> Iterator[Page]:
    """The default branch's history from the head that the survey saw, then that of each deployed commit beside it.

    A merge may bring in commits older than any cursor, so not a date decides but git's own graph: reading goes on
    while a parent is neither read nor known. Of the branch, what the head that the last run loaded reaches is known;
    of a deployed commit, whatever is stored, for what lacks behind that is itself among those in `again`.
    """
    size = reading.page_size()
    beginning = {"head": reading.top if reading.is_list_asked else "", "after": None, "frontier": [], "again": list(reading.again), "shape": ""}
    resume = reading.resume(rest=[], **beginning)
    cursor = reading.cursor(None) | ({} if reading.progress else {"asked": [*reading.asked, *reading.again]})
    met = set(reading.stored_commits)
    while True:
        if not resume["head"]:
            head, *again = resume["again"]
            resume |= {"head": head, "after": None, "frontier": [], "again": again, "shape": "deployed"}
        known = met if resume["shape"] else reading.known_commits
        is_gone = False
        if resume["rest"]:
            known = known - {resume["rest"][0]["oid"]}
            content = _rest_of_one(reading, resume)
        else:
            variables = {**reading.variables(), "revision": resume["head"], "after": resume["after"]}
            content = Content(reading.stream, reading.github.query(query_text(reading.stream.query), variables, page=size), shape=resume["shape"])
            resume |= {"after": content.end_cursor, "rest": _lacking(reading.stream, content)}
            if None in content.nodes:
                content.context["list"] = {**variables, "first": len(content.nodes)}
            is_gone = not content.is_broken and not content.nodes
        if is_gone and resume["shape"] != "deployed":
            raise RetriableError(f"GitHub does not show the history of {resume['head']} yet")
        if is_gone and content.decoded.get("errors"):
            cursor = cursor | {"asked": [sha for sha in cursor["asked"] if sha != resume["head"]]}  # it may be there tomorrow
        frontier = _frontier(set(resume["frontier"]), content.nodes, known)
        met |= {str(commit.get("oid")) for commit in content.nodes if isinstance(commit, dict)}
        resume |= {"frontier": sorted(frontier), "again": [sha for sha in resume["again"] if sha not in met]}
        if not resume["rest"] and not (resume["after"] and frontier):
            resume |= {"head": ""}
        is_done = content.is_broken or not (resume["head"] or resume["again"])
        yield content.page(cursor=cursor, resume=resume, is_done=is_done, is_wanted=not is_gone)
        if is_done:
            return


def _frontier(frontier: set[str], commits: list[Any], known: Collection[str]) -> set[str]:
    """The parents still to be read after this page. History lists a commit before its parents."""
    for commit in commits:
        if isinstance(commit, dict):
            oid = commit.get("oid")
            frontier.discard(oid if isinstance(oid, str) else "")
            nodes = ((commit.get("parents") or {}).get("nodes")) or ()
            if oid not in known:
                frontier.update(parent["oid"] for parent in nodes if parent and parent["oid"] not in known)
    return frontier


def runs(reading: Reading) -> Iterator[Page]:
    """Workflow runs: those named, then the newest hundred (free of charge while unchanged), then older ones by windows of time.

    A filter never gives more than a thousand runs, so a window that holds more is halved. The end of a window lies in
    the past: its list does not shift while it is paged.
    """
    github = reading.github
    root = f"{settings.GITHUB_API_URL}{reading.stream.rest_path.format(repository=quote(str(reading.repository['name'])))}"
    first_url, size = f"{root}?per_page={LARGEST_PAGE}", reading.page_size_of("list")
    resume = reading.resume(named=[str(number) for number in reading.again], url=first_url if reading.is_list_asked else "", windows=[])
    cursor = reading.cursor(None) if reading.is_list_asked else {"gone": [], **reading.former}
    while resume["named"] or resume["url"] or resume["windows"]:
        is_wanted, named = True, []
        if resume["named"]:
            name, *later = resume["named"]
            resume |= {"named": later}
            try:
                content = Content(reading.stream, github.get(f"{root}/{name}"), shape="one")
            except NotFound:
                cursor = cursor | {"gone": [*cursor.get("gone", ()), name]}
                yield nothing(reading, cursor=cursor, resume=resume, is_done=not (later or resume["url"] or resume["windows"]))
                continue
            named = [] if "/" in name else content.nodes
        elif resume["url"]:
            is_first = resume["url"] == first_url
            is_same = is_first and reading.former.get("first_url") == page_of(first_url, size.size)
            answer = github.get(resume["url"], etag=str(reading.former.get("etag", "")) if is_same else "", page=size)
            if answer.is_unchanged:
                yield nothing(reading, cursor=cursor, resume={}, is_done=True)
                return
            content = Content(reading.stream, answer)
            named = content.nodes
            resume |= {"url": answer.next_url}
            if is_first:
                resume |= {"url": "", "windows": _older(reading, content, has_more=bool(answer.next_url))}
                cursor = _cursor_of_runs(reading, content)
            is_wanted = not (reading.until and content.oldest and content.oldest > reading.until)
        else:
            (begin, end), *windows = resume["windows"]
            answer = github.get(f"{first_url}&created={quote_plus(f'{begin}..{end}')}", page=size)
            content = Content(reading.stream, answer)
            if not content.is_broken and content.decoded.get("total_count", 0) > MOST_RUNS_OF_A_FILTER and begin < end:
                resume |= {"windows": [*_halves(begin, end), *windows]}
                continue
            named = content.nodes
            resume |= {"windows": windows, "url": answer.next_url}
        attempts = [f"{run['id']}/attempts/{attempt}" for run in named if isinstance(run, dict) for attempt in reading.needs_attempts(run)]
        resume |= {"named": [*resume["named"], *attempts]}
        is_done = content.is_broken or not (resume["named"] or resume["url"] or resume["windows"])
        yield content.page(cursor=cursor, resume=resume, is_done=is_done, is_wanted=is_wanted)
        if is_done:
            return


def _cursor_of_runs(reading: Reading, content: Content) -> dict[str, Any]:
    cursor = reading.cursor(content)
    if reading.until:
        return cursor
    is_old = reading.seen_at - _utc(str(reading.repository["created_at"])) > WORKFLOW_RUN_RETENTION
    if is_old and not reading.former and not reading.stop_at and content.oldest and content.answer.next_url == "":
        cursor |= {"collected_from": content.oldest.isoformat()}  # GitHub forgets old runs
    return cursor | {"etag": content.answer.etag, "first_url": content.answer.url}


def _older(reading: Reading, content: Content, *, has_more: bool) -> list[tuple[str, str]]:
    """One window from the page's oldest run down to where reading stops."""
    oldest = content.oldest
    begin = reading.stop_at or _utc(str(reading.repository["created_at"]))
    if not has_more or oldest is None or oldest < begin:
        return []
    return [(_second(begin), _second(oldest))]


def _halves(begin: str, end: str) -> list[tuple[str, str]]:
    """The newer one first."""
    middle = _utc(begin) + (_utc(end) - _utc(begin)) / 2
    return [(_second(middle + SECOND), end), (begin, _second(middle))]


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
