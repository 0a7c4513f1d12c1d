"""Read workflow runs by REST, because GraphQL has no list of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, quote_plus

from django.conf import settings

from etl_tasks.fact_kinds import WORKFLOW_RUN_RETENTION
from etl_tasks.sources.adapter import Page
from etl_tasks.sources.github.client import LARGEST_PAGE, NotFound, page_of
from etl_tasks.sources.github.readers.answers import AnswerContent
from etl_tasks.sources.github.readers.reading import Reading, empty_page, utc
from etl_tasks.sources.github.streams import SINGLE_RECORD

# If a list has a filter, GitHub lists at most this many of the runs that match.
MOST_RUNS_OF_A_FILTER = 1000
SECOND = timedelta(seconds=1)


def read_workflow_runs(reading: Reading) -> Iterator[Page]:
    """Read the runs in `ids`, then the newest hundred, then the older ones in windows of time.

    If the page with the newest hundred has not changed, its request costs nothing and no older runs are read. A window that
    has more runs than GitHub lists is halved. Each window ends in the past, so new runs do not shift its pages.

    `resume`: "named", the runs and attempts that are still to be requested ("123", "123/attempts/1"); "url", the next page of
    the current list; "windows", the begin and end of each window that is left.
    """
    github = reading.github
    root = f"{settings.GITHUB_API_URL}{reading.stream.rest_path.format(repository=quote(str(reading.repository['name'])))}"
    first_url, size = f"{root}?per_page={LARGEST_PAGE}", reading.page_size_of("list")
    resume = reading.resume(named=[str(run) for run in reading.ids], url=first_url if reading.reads_list else "", windows=[])
    cursor = reading.cursor(None) if reading.reads_list else {"gone": [], **reading.former}
    while resume["named"] or resume["url"] or resume["windows"]:
        is_wanted, listed = True, []
        if resume["named"]:
            name, *later = resume["named"]
            resume |= {"named": later}
            try:
                content = AnswerContent(reading.stream, github.get(f"{root}/{name}"), shape=SINGLE_RECORD)
            except NotFound:
                cursor = cursor | {"gone": [*cursor.get("gone", ()), name]}
                yield empty_page(reading, cursor=cursor, resume=resume, is_done=not (later or resume["url"] or resume["windows"]))
                continue
            listed = [] if "/" in name else content.nodes
        elif resume["url"]:
            is_first = resume["url"] == first_url
            is_same = is_first and reading.former.get("first_url") == page_of(first_url, size.size)
            answer = github.get(resume["url"], etag=str(reading.former.get("etag", "")) if is_same else "", page=size)
            if answer.is_unchanged:
                yield empty_page(reading, cursor=cursor, resume={}, is_done=True)
                return
            content = AnswerContent(reading.stream, answer)
            listed = content.nodes
            resume |= {"url": answer.next_url}
            if is_first:
                resume |= {"url": "", "windows": _window_behind(reading, content, has_more=bool(answer.next_url))}
                cursor = _cursor(reading, content)
            is_wanted = not (reading.until and content.oldest and content.oldest > reading.until)
        else:
            (begin, end), *windows = resume["windows"]
            answer = github.get(f"{first_url}&created={quote_plus(f'{begin}..{end}')}", page=size)
            content = AnswerContent(reading.stream, answer)
            if not content.is_broken and (content.total or 0) > MOST_RUNS_OF_A_FILTER and begin < end:
                resume |= {"windows": [*_halves(begin, end), *windows]}
                continue
            listed = content.nodes
            resume |= {"windows": windows, "url": answer.next_url}
        attempts = [f"{run['id']}/attempts/{attempt}" for run in listed if isinstance(run, dict) for attempt in reading.missing_attempts(run)]
        resume |= {"named": [*resume["named"], *attempts]}
        is_done = content.is_broken or not (resume["named"] or resume["url"] or resume["windows"])
        yield content.page(cursor=cursor, resume=resume, is_done=is_done, is_wanted=is_wanted)
        if is_done:
            return


def _cursor(reading: Reading, first: AnswerContent) -> dict[str, Any]:
    """Return the cursor after the list's first page. It has the page's ETag: a request with it costs nothing if the page is unchanged."""
    cursor = reading.cursor(first)
    if reading.until:
        return cursor
    is_old = reading.seen_at - utc(str(reading.repository["created_at"])) > WORKFLOW_RUN_RETENTION
    if is_old and not reading.former and not reading.stop_at and first.oldest and first.answer.next_url == "":
        cursor |= {"collected_from": first.oldest.isoformat()}  # GitHub deletes old runs, so nothing before this one can be read
    return cursor | {"etag": first.answer.etag, "first_url": first.answer.url}


def _window_behind(reading: Reading, content: AnswerContent, *, has_more: bool) -> list[tuple[str, str]]:
    """Return the window from the time at which reading stops to the page's oldest run, as a list; [] if the page already reaches that time."""
    oldest = content.oldest
    begin = reading.stop_at or utc(str(reading.repository["created_at"]))
    if not has_more or oldest is None or oldest < begin:
        return []
    return [(_second(begin), _second(oldest))]


def _halves(begin: str, end: str) -> list[tuple[str, str]]:
    """Return the two halves of a window, the newer one first."""
    middle = utc(begin) + (utc(end) - utc(begin)) / 2
    return [(_second(middle + SECOND), end), (begin, _second(middle))]


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
