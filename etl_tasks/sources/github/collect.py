"""Read a repository's streams from their cursors on, page by page, and know where to stop."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.utils.timezone import now

from dora_metrics.models import Commit, Deployment, Service, WorkflowRun
from etl_tasks import transform
from etl_tasks.models import Source
from etl_tasks.sources.adapter import Job, Page, Progress
from etl_tasks.sources.github.client import Answer, GitHub
from etl_tasks.sources.github.streams import BY_NAME, STREAMS, Stream, query_text
from etl_tasks.transform import Bad, Good, UnreadablePage

# A deployment or run that never reaches an end is not asked for again for ever.
LONGEST_WAIT_FOR_AN_END = timedelta(days=30)
UNFINISHED_STATES = ("", "pending", "queued", "in_progress", "waiting")
UNFINISHED_RUNS = ("queued", "in_progress", "waiting", "requested", "pending")


class GitHubRepository:
    """The adapter of a GitHub source."""

    def pages(self, job: Job) -> Iterator[Page]:
        github = GitHub()
        for stream in STREAMS:
            progress = job.progress.get(stream.name)
            if not stream.is_asked_for(job.source.service) or (progress and progress.is_done):
                continue
            if stream.rest_path:
                yield from _rest_pages(github, stream, job, progress)
            elif stream.order_key:
                yield from _listed_pages(github, stream, job, progress)
            else:
                yield from _history_pages(github, stream, job, progress)

    def fact(self, stream: str) -> str:
        return BY_NAME[stream].fact

    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        declared = BY_NAME[stream]
        return transform.facts(declared.fact, transform.nodes(content, declared.path))

    def loaded(self, source: Source, cursors: Mapping[str, dict[str, Any]]) -> None:
        branches = [cursor["default_branch"] for cursor in cursors.values() if cursor.get("default_branch")]
        if branches and branches[-1] != source.service.default_branch:
            Service.objects.filter(pk=source.service_id).update(default_branch=branches[-1])


def _variables(job: Job, after: str | None) -> dict[str, Any]:
    owner, _, name = job.source.repository.partition("/")
    return {"owner": owner, "name": name, "first": min(settings.GITHUB_PAGE_SIZE, 100), "after": after}


def _listed_pages(github: GitHub, stream: Stream, job: Job, progress: Progress | None) -> Iterator[Page]:
    """A list sorted by time, newest first: read until it is older than the cursor minus the lag."""
    stop_at = _stop_at(stream, job)
    cursor = dict(progress.cursor) if progress else {}
    after = progress.resume.get("after") if progress else None
    while True:
        answer = github.query(query_text(stream), _variables(job, after))
        reading = _Reading(stream, answer)
        if reading.is_broken:
            yield reading.broken_page()
            return
        if not cursor:
            cursor = _first_cursor(reading, job, stream)
        after = reading.end_cursor
        is_done = not after or (stop_at is not None and reading.oldest is not None and reading.oldest < stop_at)
        yield reading.page(cursor=cursor, resume={"after": after}, is_done=is_done)
        if is_done:
            return


def _history_pages(github: GitHub, stream: Stream, job: Job, progress: Progress | None) -> Iterator[Page]:
    """The default branch's history from its head down to commits that an earlier run has loaded.

    A merge may bring in commits older than any cursor, so not a date decides but git's own graph: reading goes on
    while a parent is neither read nor an ancestor of the head that the last run loaded.
    """
    known: set[str] | None = None
    cursor = dict(progress.cursor) if progress else {}
    resume = dict(progress.resume) if progress else {}
    last_head = "" if job.is_full else job.cursors.get(stream.name, {}).get("head", "")
    while True:
        answer = github.query(query_text(stream), {**_variables(job, resume.get("after")), "revision": cursor.get("head", "HEAD")})
        reading = _Reading(stream, answer)
        if reading.is_broken:
            yield reading.broken_page()
            return
        if not cursor:
            cursor = _first_cursor(reading, job, stream) | {"head": (reading.repository.get("object") or {}).get("oid", "")}
        known = ancestors(job.source.service, last_head) if known is None else known
        frontier = _frontier(set(resume.get("frontier", ())), reading.nodes, known)
        resume = {"after": reading.end_cursor, "frontier": sorted(frontier)}
        is_done = not reading.end_cursor or not frontier
        yield reading.page(cursor=cursor, resume=resume, is_done=is_done)
        if is_done:
            return


def _rest_pages(github: GitHub, stream: Stream, job: Job, progress: Progress | None) -> Iterator[Page]:
    """A REST list, newest first; the first request is conditional, so a night without news costs nothing."""
    stop_at = _stop_at(stream, job)
    former = {} if job.is_full else job.cursors.get(stream.name, {})
    cursor = dict(progress.cursor) if progress else {}
    first_url = f"{settings.GITHUB_API_URL}{stream.rest_path.format(repository=quote(job.source.repository))}?per_page=100"
    if stop_at:
        first_url += f"&created=%3E%3D{stop_at:%Y-%m-%d}"
    url = progress.resume["url"] if progress else first_url
    while True:
        is_first = url == first_url
        answer = github.get(url, etag=former.get("etag", "") if is_first and former.get("first_url") == url else "")
        if answer.is_unchanged:
            unchanged = {**former, "collected_until": answer.fetched_at.isoformat()}
            yield Page(stream=stream.name, url=url, body=b"", record_count=0, fetched_at=answer.fetched_at, cursor=unchanged, is_done=True)
            return
        reading = _Reading(stream, answer)
        if reading.is_broken:
            yield reading.broken_page()
            return
        if not cursor:
            cursor = _first_cursor(reading, job, stream) | {"etag": answer.etag, "first_url": url}
        if reading.oldest and "collected_from" not in former:
            cursor["collected_from"] = min(reading.oldest.isoformat(), cursor["collected_from"])
        url = answer.next_url
        yield reading.page(cursor=cursor, resume={"url": url}, is_done=not url)
        if not url:
            return


class _Reading:
    """What paging needs of an answer; the rest is decoded in transform."""

    def __init__(self, stream: Stream, answer: Answer) -> None:
        self.stream, self.answer = stream, answer
        self.nodes: list[Any] = []
        self.repository: dict[str, Any] = {}
        self.end_cursor: str | None = None
        try:
            self.nodes = transform.nodes(answer.body, stream.path)
        except UnreadablePage:
            self.is_broken = True
            return
        self.is_broken = False
        if stream.query:
            decoded = json.loads(answer.body)
            self.repository = (decoded.get("data") or {}).get("repository") or {}
            connection: Any = decoded
            for key in stream.path:
                connection = (connection or {}).get(key)
            info = (connection or {}).get("pageInfo") or {}
            self.end_cursor = info.get("endCursor") if info.get("hasNextPage") else None

    @property
    def times(self) -> list[datetime]:
        found = []
        for node in self.nodes:
            try:
                found.append(datetime.fromisoformat(node[self.stream.order_key]))
            except (KeyError, TypeError, ValueError):
                continue  # a bad record: transform buries it
        return found

    @property
    def oldest(self) -> datetime | None:
        return min(self.times, default=None)

    def page(self, *, cursor: dict[str, Any], resume: dict[str, Any], is_done: bool) -> Page:
        return Page(
            stream=self.stream.name,
            url=self.answer.url,
            body=self.answer.body,
            record_count=len(self.nodes),
            fetched_at=self.answer.fetched_at,
            cursor=cursor,
            resume=resume,
            is_done=is_done,
        )

    def broken_page(self) -> Page:
        """Staged as it came, to become one dead letter; the stream ends here and its cursor stays where it is."""
        return Page(
            stream=self.stream.name,
            url=self.answer.url,
            body=self.answer.body or b" ",
            record_count=1,
            fetched_at=self.answer.fetched_at,
            cursor={},
            is_done=True,
        )


def _first_cursor(reading: _Reading, job: Job, stream: Stream) -> dict[str, Any]:
    """What the cursor will be once the run has loaded: the newest time seen when reading began."""
    former = job.cursors.get(stream.name, {})
    newest = max(reading.times, default=None)
    began = reading.answer.fetched_at
    fallback = reading.repository.get("createdAt") or began.isoformat()
    collected_from = min(filter(None, [former.get("collected_from"), job.since.isoformat() if job.since else ""]), default=fallback)
    if job.is_full:
        collected_from = fallback
    return {
        "newest": newest.isoformat() if newest else former.get("newest"),
        "collected_from": datetime.fromisoformat(collected_from).astimezone(UTC).isoformat(),
        "collected_until": began.isoformat(),
        "default_branch": ((reading.repository.get("defaultBranchRef") or {}).get("name")) or "",
    }


def _stop_at(stream: Stream, job: Job) -> datetime | None:
    """How far back to read; None for the whole list."""
    newest = None if job.is_full else job.cursors.get(stream.name, {}).get("newest")
    if newest is None:
        return job.since
    points = [datetime.fromisoformat(newest) - stream.lag]
    if job.since:
        points.append(job.since)
    if stream.needs_final and (unfinished := _oldest_unfinished(stream, job.source.service)):
        points.append(unfinished)
    return min(points)


def _oldest_unfinished(stream: Stream, service: Service) -> datetime | None:
    recent = now() - LONGEST_WAIT_FOR_AN_END
    if stream.fact == "deployment":
        waiting = Deployment.objects.filter(service=service, state__in=UNFINISHED_STATES, created_at__gte=recent)
        return waiting.order_by("created_at").values_list("created_at", flat=True).first()
    running = WorkflowRun.objects.filter(service=service, status__in=UNFINISHED_RUNS, created_at__gte=recent)
    return running.order_by("created_at").values_list("created_at", flat=True).first()


def ancestors(service: Service, head: str) -> set[str]:
    """All that `head` reaches among the stored commits, itself included; empty for no head."""
    if not head:
        return set()
    parents = dict(Commit.objects.filter(service=service).values_list("sha", "parents"))
    reached: set[str] = set()
    waiting = [head]
    while waiting:
        sha = waiting.pop()
        if sha not in reached and sha in parents:
            reached.add(sha)
            waiting.extend(parents[sha])
    return reached


def _frontier(frontier: set[str], commits: list[Any], known: set[str]) -> set[str]:
    """The parents still to be read after this page. History lists a commit before its parents."""
    for commit in commits:
        if isinstance(commit, dict):
            oid = commit.get("oid")
            frontier.discard(oid if isinstance(oid, str) else "")
            nodes = ((commit.get("parents") or {}).get("nodes")) or ()
            if oid not in known:
                frontier.update(parent["oid"] for parent in nodes if parent and parent["oid"] not in known)
    return frontier
