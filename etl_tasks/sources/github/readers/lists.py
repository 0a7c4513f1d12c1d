"""Read lists that are sorted by time (pull requests, issues, deployments, releases), records by id, and the lists inside records."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etl_tasks.outcomes import UnreadablePage
from etl_tasks.sources.adapter import Page
from etl_tasks.sources.github import mapping
from etl_tasks.sources.github.client import Answer, GitHub
from etl_tasks.sources.github.page_sizes import PageSize
from etl_tasks.sources.github.query_texts import query_text
from etl_tasks.sources.github.raw_values import as_object, as_text
from etl_tasks.sources.github.readers.answers import AnswerContent, list_part
from etl_tasks.sources.github.readers.reading import Reading, empty_page
from etl_tasks.sources.github.streams import BY_ID, NEXT_PAGES, Stream, ids_query


def read_unchanged(reading: Reading) -> Iterator[Page]:
    """Yield one page without records, for a list that has not changed. The page moves the time until which the list is collected."""
    yield empty_page(reading, cursor=reading.cursor(None), resume={}, is_done=True)


def read_list(reading: Reading) -> Iterator[Page]:
    """Read the records in `ids`; then the list, newest first, back to `stop_at`; then the further pages of the lists inside the records.

    `resume`: "again", the ids that are left; "after", the end cursor of the list's last page; "is_listed", whether the list needs
    no further page; "rest", the records with lists that are not read to their ends.
    """
    stream, size, size_by_id = reading.stream, reading.page_size(), reading.page_size_of("again")
    resume = reading.resume(again=list(reading.ids), after=None, is_listed=not reading.reads_list, rest=[])
    cursor = reading.cursor(None)
    is_first = not reading.progress
    while True:
        is_wanted = True
        if resume["again"]:
            repository_id = reading.repository["node_id"]
            content = _records_by_id(reading.github, stream, resume["again"], reading.stream_variables, repository_id=repository_id, size=size_by_id)
            resume |= {"again": resume["again"][size_by_id.asked :], "rest": [*resume["rest"], *records_with_next_pages(stream, content)]}
        elif not resume["is_listed"]:
            variables = {**reading.repository_variables(), **reading.stream_variables, "after": resume["after"]}
            content = AnswerContent(stream, reading.github.query(query_text(stream.query), variables, page=size, part=list_part(stream)))
            _find_ids_of_nulls(reading.github, content, variables)
            if is_first:
                cursor, is_first = reading.cursor(content), False
            is_wanted = not (reading.until and content.oldest and content.oldest > reading.until)
            is_read = not content.end_cursor or bool(reading.stop_at and content.oldest and content.oldest < reading.stop_at)
            rest = records_with_next_pages(stream, content) if is_wanted else []
            resume |= {"after": content.end_cursor, "is_listed": is_read, "rest": [*resume["rest"], *rest]}
        else:
            content = read_next_pages(reading, resume)
        is_done = content.is_broken or not (resume["again"] or resume["rest"] or not resume["is_listed"])
        yield content.page(cursor=cursor, resume=resume, is_done=is_done, is_wanted=is_wanted)
        if is_done:
            return


def records_with_next_pages(stream: Stream, content: AnswerContent) -> list[dict[str, Any]]:
    """Return the records that have lists with a next page that a metric uses: for each record its key and the end cursors of these lists."""
    inner = stream.next_pages
    found = ((node, inner.cursors(node)) for node in content.nodes if isinstance(node, dict) and inner.is_read(node))
    return [{inner.key: node[inner.key], **cursors} for node, cursors in found if cursors and isinstance(node.get(inner.key), int | str)]


def read_next_pages(reading: Reading, resume: dict[str, Any]) -> AnswerContent:
    """Read one more page of the lists inside the first record of `resume["rest"]`.

    The record stays first in `resume["rest"]`, with the lists that have yet another page. If there are none, it is removed.
    """
    inner, (record, *later) = reading.stream.next_pages, resume["rest"]
    variables = {**reading.repository_variables(), inner.key: record[inner.key]}
    for name in inner.lists:
        variables |= {f"with{name[0].upper()}{name[1:]}": name in record, f"{name}After": record.get(name)}
    answer = reading.github.query(query_text(inner.query), variables, page=reading.page_size_of("rest"))
    content = AnswerContent(reading.stream, answer, shape=NEXT_PAGES)
    cursors = inner.cursors(next((node for node in content.nodes if isinstance(node, dict)), {}))
    resume |= {"rest": [*([{inner.key: record[inner.key], **cursors}] if cursors else []), *later]}
    return content


def read_lost_record(github: GitHub, stream: Stream, lost: Mapping[str, Any], *, repository_id: str) -> Page:
    """Request again a record that GitHub did not return. `lost`: the data of its dead letter, either its id or its page of the list."""
    if node_id := lost.get("id"):
        content = _records_by_id(github, stream, [node_id], {"withFiles": True}, repository_id=repository_id)
    elif url := lost["list"].get("url"):
        content = AnswerContent(stream, github.get(url), list=lost["list"])
    else:
        content = AnswerContent(stream, github.query(query_text(stream.query), lost["list"]), list=lost["list"])
    return content.page(cursor={}, resume={}, is_done=True)


def _records_by_id(
    github: GitHub, stream: Stream, ids: Sequence[str], stream_variables: Mapping[str, object], *, repository_id: str, size: PageSize | None = None
) -> AnswerContent:
    """Request the first records of `ids`, as many as `size` allows. null_records.py decides what a null in the answer means."""
    variables = {"ids": ids, **{name: stream_variables[name] for name in ("withFiles",) if name in stream_variables}}
    answer = github.query(query_text(stream.by_id_query), variables, page=size)
    asked = list(ids)[: size.asked] if size else list(ids)
    return AnswerContent(stream, answer, shape=BY_ID, ids=asked, repository=repository_id, at=answer.fetched_at.isoformat())


def _find_ids_of_nulls(github: GitHub, content: AnswerContent, variables: Mapping[str, object]) -> None:
    """If a page has nulls, request only the ids of its records. Put those that belong to null records into the page's context."""
    if None not in content.nodes:
        return
    asked = {name: value for name, value in variables.items() if name in ("owner", "name", "after", "since")} | {"first": len(content.nodes)}
    answer = github.query(ids_query(content.stream), asked, is_tolerant=True)
    given = {as_text(node.get("id")) for node in content.nodes if isinstance(node, dict)} | {""}
    listed = [as_text(as_object(node).get("id")) for node in _nodes(content.stream, answer)]
    named = [node_id for node_id in listed if node_id not in given]
    content.context |= {"named": named[: content.nodes.count(None)], "list": {**variables, "first": len(content.nodes)}}


def _nodes(stream: Stream, answer: Answer) -> list[Any]:
    """Return the nodes of a list's page; [] if they cannot be read, as if GitHub had told no ids."""
    try:
        return mapping.nodes_in(answer.json(), stream.path)
    except UnreadablePage:
        return []
