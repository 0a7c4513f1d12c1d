"""The order in which a run reads a repository, and how far back it reads each stream."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings

from dora_metrics.models import Repository
from etl_tasks.errors import FatalError
from etl_tasks.sources.adapter import Job, Page
from etl_tasks.sources.github.client import Forbidden, GitHub
from etl_tasks.sources.github.commit_graph import parents_of, reached
from etl_tasks.sources.github.needed_workflow_runs import missing_attempts
from etl_tasks.sources.github.page_sizes import PageSizes
from etl_tasks.sources.github.readers.commit_history import read_history
from etl_tasks.sources.github.readers.lists import read_list, read_unchanged
from etl_tasks.sources.github.readers.reading import Reading, empty_page
from etl_tasks.sources.github.readers.threads import read_concurrently
from etl_tasks.sources.github.readers.workflow_runs import read_workflow_runs
from etl_tasks.sources.github.rechecks.changed_records import recheck_records
from etl_tasks.sources.github.rechecks.deployed_history import recheck_history
from etl_tasks.sources.github.rechecks.recheck import LIST_IS_READ, Recheck
from etl_tasks.sources.github.rechecks.workflow_runs import recheck_workflow_runs
from etl_tasks.sources.github.renames import former_names
from etl_tasks.sources.github.staged_records import is_undecided_once_loaded
from etl_tasks.sources.github.streams import BY_NAME, STREAMS, Stream
from etl_tasks.sources.github.survey import SurveyResult

MAY_COUNT = ("releases", "workflow_runs")  # streams that are not read with deployments_from=auto, once GitHub's deployments count
REPOSITORY = "repository"  # a stream without a list: its cursor holds what the last run read about the repository itself


def collect(github: GitHub, job: Job, survey_result: SurveyResult, sizes: PageSizes) -> Iterator[Page]:
    """Yield the pages of a run: first the pages of the lists, several of which are read at once; then the pages of the rechecks.

    A recheck finds what a list does not show, for example which records were deleted. It depends on what the lists contained, so
    the rechecks begin after the lists have been read.
    """
    collected = [stream.name for stream in STREAMS if stream.is_asked_for(job.source.service)]
    # Asked only once: another source of the service, which is loaded meanwhile, may decide which streams the service needs.
    readings = {
        stream.name: replace(_reading(github, stream, job, survey_result, is_asked_for=stream.name in collected), sizes=sizes)
        for stream in STREAMS
        if not _is_done(job, stream)
    }
    readers = [
        _naming_permission(_reader(reading, job), reading.stream)
        for reading in readings.values()
        if reading.stream.name in collected and not (reading.progress and reading.progress.resume.get("is_read"))
    ]
    # After a rate limit or a killed worker, the next attempt reads one list at a time.
    threads = settings.GITHUB_LANES if job.is_first_attempt else 1
    cursors = {name: progress.cursor for name, progress in job.progress.items() if progress.resume.get("is_read")}
    yield from _keep_cursors(read_concurrently(readers, threads=threads), cursors)
    former = former_names(github, job, survey_result["repository"], last_seen=job.cursors.get(REPOSITORY, {}))

    def recheck(name: str) -> Iterator[Page]:
        """Recheck a stream if its list has been read. Workflow runs are also rechecked without their list: failed deployments may name some."""
        if name in readings and (name in cursors or (name == "workflow_runs" and name not in collected)):
            cursor = cursors.get(name, {"gone": [], **readings[name].former})
            reading = replace(readings[name], reads_list=False)
            yield from _naming_permission(_recheck(Recheck(reading, job, survey_result, dict(cursor), collected, former["branches"])), BY_NAME[name])

    for stream in STREAMS:
        if stream.name != "commits":
            yield from recheck(stream.name)
    if len(collected) < len(STREAMS) and is_undecided_once_loaded(job):  # e.g. the deployment for which `auto` chose GitHub is gone
        for stream in STREAMS:
            if stream.name in MAY_COUNT and stream.name not in collected:
                readings[stream.name] = replace(_reading(github, stream, job, survey_result, is_asked_for=True, is_newly_needed=True), sizes=sizes)
                reader = read_workflow_runs if stream.name == "workflow_runs" else read_list
                yield from _keep_cursors(_naming_permission(reader(readings[stream.name]), stream), cursors)
                collected.append(stream.name)
                yield from recheck(stream.name)
    yield from recheck("commits")  # last, because it needs the deployed commits, which are in the records of the other streams
    seen_at = survey_result["seen_at"]
    cursor = {**survey_result["repository"], "former": former, "seen_at": seen_at, "asked": collected}
    yield Page(stream=REPOSITORY, url="", body=b"", record_count=0, fetched_at=datetime.fromisoformat(seen_at), cursor=cursor, is_done=True)


def _keep_cursors(pages: Iterator[Page], cursors: dict[str, dict[str, Any]]) -> Iterator[Page]:
    """Yield the pages of lists. At a list's last page, put the list's cursor into `cursors`, and keep the stream open for its recheck.

    An unreadable page has no cursor. It is passed on unchanged and ends its stream.
    """
    for page in pages:
        if page.is_done and page.cursor:
            cursors[page.stream] = page.cursor
            yield replace(page, resume=LIST_IS_READ, is_done=False)
        else:
            yield page


def _recheck(recheck: Recheck) -> Iterator[Page]:
    """Yield the pages of the stream's recheck, and a last page, which marks the stream as done."""
    match recheck.stream.name:
        case "commits":
            yield from recheck_history(recheck)
        case "workflow_runs":
            yield from recheck_workflow_runs(recheck)
        case _:
            yield from recheck_records(recheck)
    yield empty_page(recheck.reading, cursor=recheck.cursor, resume=LIST_IS_READ, is_done=True)


def _naming_permission(pages: Iterator[Page], stream: Stream) -> Iterator[Page]:
    """Yield the pages. If GitHub forbids a request, raise FatalError with the name of the missing permission."""
    try:
        yield from pages
    except Forbidden as exc:
        raise FatalError(f"{exc}: the token needs the permission “{stream.permission}: read” for {stream.name}") from exc


def _is_done(job: Job, stream: Stream) -> bool:
    return stream.name in job.progress and job.progress[stream.name].is_done


def _reader(reading: Reading, job: Job) -> Iterator[Page]:
    """Return the reader of the stream's list. If the list has not changed, the reader requests nothing."""
    if reading.stream.name == "workflow_runs":
        return read_workflow_runs(reading)
    if reading.stream.name == "commits":
        return read_history(reading) if reading.reads_list or reading.progress else read_unchanged(reading)
    if not reading.progress and not job.since and not job.until and _is_unchanged(reading):
        return read_unchanged(reading)
    return read_list(reading)


def _reading(github: GitHub, stream: Stream, job: Job, survey_result: SurveyResult, *, is_asked_for: bool, is_newly_needed: bool = False) -> Reading:
    """Return the input of the stream's reader.

    `is_asked_for`: whether the service needs the stream. `is_newly_needed`: whether it does only because of what this run has read.
    """
    service, repository = job.source.service, job.source.ensure_facts_repository()
    cursor = job.cursors.get(stream.name, {})
    # Pull requests that were collected before the service had a path filter have no paths, so they are read again.
    lacks_paths = stream.name == "pull_requests" and bool(service.path) and not cursor.get("with_paths")
    former = {} if job.is_full or lacks_paths or is_newly_needed or (is_asked_for and _is_outdated(stream, job, cursor)) else cursor
    reading = Reading(
        github=github,
        stream=stream,
        repository=survey_result["repository"],
        seen_at=datetime.fromisoformat(survey_result["seen_at"]),
        top=survey_result["top"].get(stream.name),
        former=former,
        progress=job.progress.get(stream.name),
        stop_at=_stop_at(stream, job, former),
        until=job.until,
        reads_list=is_asked_for,
    )
    match stream.name:
        case "commits":
            return _reading_of_history(replace(reading, top=survey_result["head"], stop_at=None, until=None), repository)
        case "pull_requests":
            return replace(reading, stream_variables={"withFiles": bool(service.path)})
        case "issues":
            return replace(reading, stream_variables={"since": reading.stop_at.isoformat() if reading.stop_at else None})
        case "workflow_runs":
            return replace(reading, missing_attempts=missing_attempts(repository), stream_variables={"workflow": service.workflow})
    return reading


def _is_outdated(stream: Stream, job: Job, cursor: Mapping[str, Any]) -> bool:
    """Return whether a stream that is asked for has to be read from the beginning because a setting has changed since the last run.

    This is so if the last run did not read the stream, or if the service's pattern for deploying workflows was another one.
    """
    collected = job.cursors.get(REPOSITORY, {}).get("asked")
    if not cursor:
        return False
    was_left_out = collected is not None and stream.name not in collected
    return was_left_out or (stream.name == "workflow_runs" and cursor.get("workflow", job.source.service.workflow) != job.source.service.workflow)


def _reading_of_history(reading: Reading, repository: Repository) -> Reading:
    """Return the Reading of the default branch's history, with the stored commits filled in.

    It says that the list is not read if the branch is empty, or if its head is the same as in the last run.
    Deployed commits that the branch does not contain are read later, by the recheck.
    """
    if not reading.top or reading.top == reading.former.get("top"):
        return replace(reading, reads_list=False)
    parents = parents_of(repository)
    known, _ = reached([reading.former.get("top", "")], parents)
    return replace(reading, known_commits=frozenset(known), stored_commits=frozenset(parents), asked_in_vain=reading.former.get("asked", ()))


def _stop_at(stream: Stream, job: Job, former: Mapping[str, Any]) -> datetime | None:
    """Return the time back to which the list is read; None for the whole list. `former`: the stream's cursor before the run."""
    if not former.get("newest") or job.until:
        return job.since
    point = datetime.fromisoformat(former["newest"]) - stream.lag
    return min(point, job.since) if job.since else point


def _is_unchanged(reading: Reading) -> bool:
    """Return whether the list has not changed since the last read.

    Its first record must be the same. Also, that record must have been older than the stream's lag when the list was last read.
    Otherwise that read may have missed earlier changes, because GitHub may show a change some minutes late.
    """
    former, top = reading.former, reading.top
    if not former or top is None or top != former.get("top"):
        return False
    newest = former.get("newest") or top["time"]
    return not newest or datetime.fromisoformat(former["collected_until"]) - datetime.fromisoformat(newest) >= reading.stream.lag
