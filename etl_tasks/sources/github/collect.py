"""The adapter of a GitHub source: what a night asks of a repository, and what it may leave out."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.timezone import now

from dora_metrics.derivation.recompute import hold
from dora_metrics.models import Commit, Repository
from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.models import Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.adapter import Adapter, Check, Job, Learned, Page
from etl_tasks.sources.github import missing_records, paging
from etl_tasks.sources.github.budget import PageSizes
from etl_tasks.sources.github.client import Forbidden, GitHub
from etl_tasks.sources.github.concurrent_reads import side_by_side
from etl_tasks.sources.github.paging import Reading
from etl_tasks.sources.github.rechecks import READ, is_undecided_now, rechecks
from etl_tasks.sources.github.renames import former_names
from etl_tasks.sources.github.source_check import check
from etl_tasks.sources.github.streams import BY_NAME, STREAMS, Stream
from etl_tasks.sources.github.survey import News, Refusal, survey, survey_batch, survey_by_id
from etl_tasks.sources.github.wanted import SHAS_A_QUERY, deployed_shas, missing_attempts, parents_of, reached

logger = logging.getLogger(__name__)

FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
MAY_COUNT = ("releases", "workflow_runs")  # streams that `auto` leaves out once GitHub's deployments count
REPOSITORY = "repository"  # no list: its cursor holds what GitHub last told of the repository itself


class GitHubRepository(Adapter):
    """The adapter of a GitHub source."""

    label = "a GitHub repository"

    def validate(self, source: Source) -> None:
        if not FULL_NAME.fullmatch(source.repository):
            raise ValidationError({"repository": f"{source.repository!r} is no repository: write it as owner/name"})
        if source.service_id is None:
            return
        others = Source.objects.filter(service=source.service_id, kind=source.kind, repository__iexact=source.repository)
        if other := others.exclude(pk=source.pk).first():  # its facts would count twice
            raise ValidationError({"repository": f"source {other} of {source.service} reads {other.repository} already"})

    def validate_change(self, source: Source, *, former: Source) -> None:
        """Their facts would mix under one service."""
        if former.repository != source.repository:
            raise ValueError(
                f"{source.name} has been collected from {former.repository}: a renamed repository is followed by itself; "
                "for another one, add a source of its own (add_service with both as --repository)"
            )

    def check(self, source: Source) -> Check:
        return check(source)

    def survey(self, sources: Sequence[Source]) -> dict[int, News]:
        return survey(sources)

    def pages(self, job: Job) -> Iterator[Page | Learned]:
        github = GitHub(job.source.credential)
        news, sizes = _news(github, job), PageSizes(job.source.page_sizes)
        try:
            for page in _pages(github, job, news, sizes):
                yield page
                yield from _learned(sizes)
        except RetriableError:
            yield from _learned(sizes)
            raise

    def fact(self, stream: str, context: Mapping[str, Any]) -> str:
        return BY_NAME[stream].shape(context)[1]

    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        return missing_records.records(BY_NAME[stream], content, context)

    def ask_again(self, source: Source, stream: str, lost: Mapping[str, Any]) -> Page:
        return paging.ask_again(GitHub(source.credential), BY_NAME[stream], lost, repository_id=source.ensure_facts_repository().node_id)

    def loaded(self, source: Source, cursors: Mapping[str, dict[str, Any]]) -> None:
        if not (seen := cursors.get(REPOSITORY)):
            return
        Source.objects.filter(pk=source.pk).update(
            repository=seen["name"],  # a renamed or transferred repository is followed
            is_archived=seen["is_archived"],
            is_private=seen["is_private"],
        )
        home = Repository.objects.select_for_update().get(pk=source.ensure_facts_repository().pk)
        home.name, home.node_id, home.default_branch = seen["name"], seen["node_id"], seen["default_branch"]
        former = seen.get("former", {})
        home.names = _with(home.names, *former.get("names", ()), seen["name"])
        home.default_branches = _with(home.default_branches, *former.get("branches", ()), seen["default_branch"])
        if cursors.get("commits", {}).get("has_strays"):
            _mark_strays(home, cursors["commits"])
        if "pull_requests" in cursors:
            home.has_paths = bool(cursors["pull_requests"].get("with_paths"))
        home.save()


def _with(names: list[str], *more: str) -> list[str]:
    return list(dict.fromkeys(name for name in (*names, *more) if name))


def _pages(github: GitHub, job: Job, news: News, sizes: PageSizes) -> Iterator[Page]:
    """The lists side by side, then what is asked because of them (rechecks.py)."""
    asked = [stream.name for stream in STREAMS if stream.is_asked_for(job.source.service)]
    readings = {stream.name: replace(_reading(github, stream, job, news), sizes=sizes) for stream in STREAMS if not _is_done(job, stream)}
    readers = [
        _named(_reader(reading, job), reading.stream)
        for reading in readings.values()
        if reading.stream.name in asked and not (reading.progress and reading.progress.resume.get("is_read"))
    ]
    # Told to wait, or killed: the next attempt asks for one thing at a time.
    lanes = settings.GITHUB_LANES if job.is_first_attempt else 1
    read = {name: progress.cursor for name, progress in job.progress.items() if progress.resume.get("is_read")}
    yield from _read(side_by_side(readers, lanes=lanes), read)
    former = former_names(github, job, news["repository"], last_seen=job.cursors.get(REPOSITORY, {}))

    def recheck(name: str) -> Iterator[Page]:
        if name in readings and (name in read or (name == "workflow_runs" and name not in asked)):
            cursor = read.get(name, {"gone": [], **readings[name].former})  # of runs that nobody lists, those are asked for that others name
            pages = rechecks(readings[name], job, news, cursor, asked=asked, former_branches=former["branches"])
            yield from _named(pages, BY_NAME[name])

    for stream in STREAMS:
        if stream.name != "commits":
            yield from recheck(stream.name)
    if len(asked) < len(STREAMS) and is_undecided_now(job):  # the only deployment that decided is gone, say: the others' lists may count again
        for stream in STREAMS:
            if stream.name in MAY_COUNT and stream.name not in asked:
                readings[stream.name] = replace(_reading(github, stream, job, news, is_asked_now=True), sizes=sizes)
                reader = paging.runs if stream.name == "workflow_runs" else paging.listed
                yield from _read(_named(reader(readings[stream.name]), stream), read)
                asked.append(stream.name)
                yield from recheck(stream.name)
    yield from recheck("commits")  # the last: they are what the others say was deployed
    cursor = {**news["repository"], "former": former, "seen_at": news["seen_at"], "asked": asked}
    yield Page(stream=REPOSITORY, url="", body=b"", record_count=0, fetched_at=datetime.fromisoformat(news["seen_at"]), cursor=cursor, is_done=True)


def _read(pages: Iterator[Page], read: dict[str, dict[str, Any]]) -> Iterator[Page]:
    """A list that is read is not done: its cursor goes into `read`. An unreadable page has none, and ends its stream."""
    for page in pages:
        if page.is_done and page.cursor:
            read[page.stream] = page.cursor
            yield replace(page, resume=READ, is_done=False)
        else:
            yield page


def _learned(sizes: PageSizes) -> Iterator[Learned]:
    """What changed since it was last told. A first page that GitHub cannot finish is staged nowhere, but its size counts for the next attempt."""
    if (learned := sizes.learned()) is not None:
        yield Learned(learned)


def _mark_strays(home: Repository, cursor: Mapping[str, Any]) -> None:
    """Commits that neither the default branch nor a deployment reaches any more, since it was pushed over or the deployment is gone.

    Behind a commit that is not stored, a dead letter say, nobody knows what is reached.
    """
    parents, heads = parents_of(home), [cursor["top"], *deployed_shas(home)]
    kept, missing = reached(heads, parents)
    if set(missing) - set(heads):
        return
    strays = sorted(parents.keys() - kept)
    for start in range(0, len(strays), SHAS_A_QUERY):
        Commit.present.filter(repository=home, sha__in=strays[start : start + SHAS_A_QUERY]).update(gone_at=now())


def _news(github: GitHub, job: Job) -> News:
    """Of the repository that the source has always meant: by its name, and by its id once another one has taken the name."""
    source, news, home = job.source, job.survey, job.source.ensure_facts_repository()
    refusals: dict[int, Refusal] = {}
    if not news:
        found, refusals = survey_batch(github, [source])
        news = found.get(source.pk)
    may_have_moved = not news and not any(refusal.stream for refusal in refusals.values())
    if home.github_id and (may_have_moved or news) and home.github_id != (news or {}).get("repository", {}).get("id"):
        news = survey_by_id(github, source, node_id=home.node_id)
    if not news:
        raise FatalError(refusals[source.pk].sentence if refusals else f"{source.repository} is gone, or the token may not read it any more")
    if home.github_id is None:
        _identify(source, news["repository"])
    return news


def _identify(source: Source, seen: Mapping[str, Any]) -> None:
    """Before anything of it is stored: a name may lead to a repository that another source reads, or that a former one has read."""
    with transaction.atomic():
        hold(source.service)
        mine = source.ensure_facts_repository()
        known = Repository.objects.filter(service=source.service, github_id=seen["id"]).first()
        if known is None:
            mine.github_id, mine.node_id = seen["id"], seen["node_id"]
            mine.save(update_fields=["github_id", "node_id"])
            return
        if other := Source.objects.filter(facts_repository=known).exclude(pk=source.pk).first():
            raise FatalError(f"{source.repository} is {known.name}, which source {other} reads for {source.service} already: disable one of the two")
        source.facts_repository = known
        source.save(update_fields=["facts_repository"])
        mine.delete()


def _is_done(job: Job, stream: Stream) -> bool:
    return stream.name in job.progress and job.progress[stream.name].is_done


def _reader(reading: Reading, job: Job) -> Iterator[Page]:
    """The one that reads the stream's list."""
    if reading.stream.name == "workflow_runs":
        return paging.runs(reading)
    if reading.stream.name == "commits":
        return paging.history(reading) if reading.is_list_asked or reading.progress else paging.unchanged(reading)
    if not reading.progress and not job.since and not job.until and _is_unchanged(reading):
        return paging.unchanged(reading)
    return paging.listed(reading)


def _reading(github: GitHub, stream: Stream, job: Job, news: News, *, is_asked_now: bool = False) -> Reading:
    """`is_asked_now`: what this run has read has it asked for, which nobody had done before."""
    service, home = job.source.service, job.source.ensure_facts_repository()
    cursor = job.cursors.get(stream.name, {})
    # What was collected before the service had a path filter has no paths: it is read again.
    lacks_paths = stream.name == "pull_requests" and bool(service.path) and not cursor.get("with_paths")
    former = {} if job.is_full or lacks_paths or is_asked_now or _is_outdated(stream, job, cursor) else cursor
    is_asked = is_asked_now or stream.is_asked_for(service)
    reading = Reading(
        github=github,
        stream=stream,
        repository=news["repository"],
        seen_at=datetime.fromisoformat(news["seen_at"]),
        top=news["top"].get(stream.name),
        former=former,
        progress=job.progress.get(stream.name),
        stop_at=_stop_at(stream, job, former),
        until=job.until,
        is_list_asked=is_asked,
    )
    match stream.name:
        case "commits":
            return _reading_of_history(replace(reading, top=news["head"], stop_at=None, until=None), home)
        case "pull_requests":
            return replace(reading, options={"withFiles": bool(service.path)})
        case "issues":
            return replace(reading, options={"since": reading.stop_at.isoformat() if reading.stop_at else None})
        case "workflow_runs":
            return replace(reading, needs_attempts=missing_attempts(home), options={"workflow": service.workflow})
    return reading


def _is_outdated(stream: Stream, job: Job, cursor: Mapping[str, Any]) -> bool:
    """Changes were not watched meanwhile: a setting left the stream out, or said that other workflows deploy."""
    asked = job.cursors.get(REPOSITORY, {}).get("asked")
    if not cursor or not stream.is_asked_for(job.source.service):
        return False
    was_left_out = asked is not None and stream.name not in asked
    return was_left_out or (stream.name == "workflow_runs" and cursor.get("workflow", job.source.service.workflow) != job.source.service.workflow)


def _reading_of_history(reading: Reading, home: Repository) -> Reading:
    """The default branch if its head is new; what deployed commits reach beside it is asked for once the lists are read."""
    if not reading.top or reading.top == reading.former.get("top"):
        return replace(reading, is_list_asked=False)
    parents = parents_of(home)
    known, _ = reached([reading.former.get("top", "")], parents)
    return replace(reading, known_commits=frozenset(known), stored_commits=frozenset(parents), asked=reading.former.get("asked", ()))


def _stop_at(stream: Stream, job: Job, former: Mapping[str, Any]) -> datetime | None:
    """How far back to read; None for the whole list."""
    if not former.get("newest") or job.until:
        return job.since
    point = datetime.fromisoformat(former["newest"]) - stream.lag
    return min(point, job.since) if job.since else point


def _is_unchanged(reading: Reading) -> bool:
    """The list begins as it did when it was last read, and it was read when nothing could still appear before that."""
    former, top = reading.former, reading.top
    if not former or top is None or top != former.get("top"):
        return False
    newest = former.get("newest") or top["time"]
    return not newest or datetime.fromisoformat(former["collected_until"]) - datetime.fromisoformat(newest) >= reading.stream.lag


def _named(reader: Iterator[Page], stream: Stream) -> Iterator[Page]:
    """What GitHub forbids, with the name of the permission that is missing."""
    try:
        yield from reader
    except Forbidden as exc:
        raise FatalError(f"{exc}: the token needs the permission “{stream.permission}: read” for {stream.name}") from exc
