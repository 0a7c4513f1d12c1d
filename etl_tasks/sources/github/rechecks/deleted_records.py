"""If GitHub's count of a list differs from the number of known records, find the records that explain the difference.

A record is known if it is stored or in a dead letter. If GitHub counts fewer records than are known, some were deleted. If it counts
more, some have not been read, or were deleted and exist again.

A search may take several nights. Three keys of the stream's cursor store its state: "total", GitHub's count at the last run;
"unexplained", how many more records are known than GitHub counts (negative: fewer); "look", the place where the search continues.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from dora_metrics.models import Change, Deployment, Issue, Release, WorkflowRun
from etl_tasks.errors import RetriableError
from etl_tasks.models import DeadLetter
from etl_tasks.outcomes import UnreadablePage
from etl_tasks.sources.adapter import Page
from etl_tasks.sources.github import null_records
from etl_tasks.sources.github.client import IDS_A_QUERY
from etl_tasks.sources.github.query_texts import with_fragments
from etl_tasks.sources.github.raw_values import as_number, as_object, as_text
from etl_tasks.sources.github.readers.lists import read_list
from etl_tasks.sources.github.readers.reading import empty_page
from etl_tasks.sources.github.rechecks.recheck import LIST_IS_READ, Recheck
from etl_tasks.sources.github.staged_records import nodes_of_page
from etl_tasks.sources.github.streams import EXISTENCE

# Limits for one stream in one night. At most 10 queries, of 100 records each, ask whether stored records still exist; the next night
# continues with the remaining records. To find unread records, the list is read once more from its beginning, but at most 10 pages of it.
MOST_EXISTENCE_QUERIES, MOST_FURTHER_PAGES = 10, 10
FIELD = {"pull_requests": "pullRequest", "issues": "issue"}


@dataclass(frozen=True, slots=True)
class StreamTable:
    """Where the records of a stream are stored.

    `model`: a subclass of GithubFact. `key`: the column of the natural key. `asked_by`: the column whose value is sent to GitHub to
    request a record, node_id or number.
    """

    model: Any
    key: str
    asked_by: str

    def key_of(self, node: Mapping[str, Any]) -> Any:
        """Return the natural key of a record in an answer."""
        return as_number(node.get("number") if self.key == "number" else node.get("databaseId", node.get("id")))


TABLES = {
    "pull_requests": StreamTable(Change, "number", "number"),
    "issues": StreamTable(Issue, "number", "number"),
    "deployments": StreamTable(Deployment, "external_id", "node_id"),
    "releases": StreamTable(Release, "external_id", "node_id"),
    "workflow_runs": StreamTable(WorkflowRun, "external_id", "node_id"),
}


def recheck_deleted(recheck: Recheck) -> Iterator[Page]:
    """Compare GitHub's count with the number of known records.

    If GitHub counts fewer records, look for deleted records. If it counts more, look for records that have not been read. A full run
    asks whether each stored record that it has not read still exists, whatever GitHub's count is.
    """
    former, total = recheck.job.cursors.get(recheck.stream.name, {}), recheck.cursor.get("total")
    if total is None or not former or recheck.job.until:
        return
    table = TABLES[recheck.stream.name]
    given = {key for node in recheck.staged("number", "databaseId", "id") if (key := table.key_of(node)) is not None}
    if recheck.job.is_full:
        yield from _find_deleted(recheck, given, wanted=None)
        return
    new = given - _known_before(recheck, given)
    if "total" in former:
        surplus = former["total"] + len(new) - total
    else:  # the last run was made by a version that did not store the count
        stored = table.model.present.filter(repository=recheck.repository).values(table.key).distinct().count()
        surplus = stored + len(new) - total if _is_whole(recheck, former) else 0
    unexplained = recheck.cursor.pop("unexplained", 0) + surplus
    look = recheck.cursor.pop("look", None)
    if unexplained > 0 and (surplus or look):
        has_grown = bool(look and (look["is_grown"] or surplus > 0))
        yield from _find_deleted(recheck, given, wanted=unexplained, after=look["after"] if look else None, has_grown=has_grown)
    elif unexplained < 0 and surplus:
        yield from _find_unread(recheck, given, missing=-unexplained)
    elif unexplained:
        recheck.cursor["unexplained"] = unexplained


def ask_whether_they_exist(recheck: Recheck, asked: Sequence[Any]) -> tuple[Page, int, list[str]]:
    """Ask GitHub whether stored records still exist. `asked`: the node_ids or numbers of up to a hundred records.

    Returns the page, how many of the records are gone (deleted or transferred), and the global ids of those that exist. The page is
    empty if none is gone.
    """
    is_by_number = TABLES[recheck.stream.name].asked_by == "number"
    reading = recheck.reading
    context: dict[str, Any] = {"shape": EXISTENCE, "repository": reading.repository["node_id"]}
    if is_by_number:
        fields = " ".join(f"n{number}: {FIELD[recheck.stream.name]}(number: {number}) {{ id number repository {{ id }} }}" for number in asked)
        query = (
            "query CheckExistence($owner: String!, $name: String!) "
            f"{{ repository(owner: $owner, name: $name) {{ {fields} }} rateLimit {{ ...RateLimitFields }} }}"
        )
        answer = reading.github.query(with_fragments(query), reading.repository_variables())
        context |= {"numbers": asked, "at": answer.fetched_at.isoformat()}
    else:
        query = "query CheckExistence($ids: [ID!]!) { nodes(ids: $ids) { id } rateLimit { ...RateLimitFields } }"
        answer = reading.github.query(with_fragments(query), {"ids": asked})
        context |= {"ids": asked, "at": answer.fetched_at.isoformat()}
    try:
        gone = null_records.gone_facts_in(answer.json(), context)
    except UnreadablePage as exc:
        raise RetriableError(f"GitHub does not say which {recheck.stream.name} exist: {exc}") from exc
    data = answer.json()["data"]
    nodes = [data["repository"][f"n{number}"] for number in asked] if is_by_number else data["nodes"]
    missing = {fact.get("node_id", fact.get("number")) for fact in gone}
    ids = [as_text(as_object(node).get("id")) for node in nodes]
    existing = [node_id for key, node_id in zip(asked, ids, strict=True) if node_id and key not in missing]
    if not gone:
        return empty_page(reading, cursor=recheck.cursor, resume=LIST_IS_READ, is_done=False), 0, existing
    page = Page(
        stream=recheck.stream.name,
        url=answer.url,
        body=answer.body,
        record_count=len(gone),
        fetched_at=answer.fetched_at,
        cursor=recheck.cursor,
        resume=LIST_IS_READ,
        context=context,
    )
    return page, len(gone), existing


def _is_whole(recheck: Recheck, former: Mapping[str, Any]) -> bool:
    """Return whether the stream was collected from the repository's beginning."""
    collected_from = datetime.fromisoformat(former["collected_from"])
    return collected_from <= datetime.fromisoformat(str(recheck.reading.repository["created_at"])).astimezone(UTC)


def _known_before(recheck: Recheck, keys: set[Any]) -> set[Any]:
    """Return those of `keys` that were known before this run: their records are stored, even if marked as gone, or in a dead letter."""
    table, ordered = TABLES[recheck.stream.name], sorted(keys)
    known: set[Any] = set()
    for start in range(0, len(ordered), IDS_A_QUERY):
        rows = table.model.objects.filter(repository=recheck.repository, **{f"{table.key}__in": ordered[start : start + IDS_A_QUERY]})
        known |= set(rows.values_list(table.key, flat=True))
    if len(known) < len(keys):
        letters = DeadLetter.objects.filter(source=recheck.job.source, stream=recheck.stream.name, kind=DeadLetter.Kind.RECORD)
        known |= {key for data in letters.values_list("data", flat=True) if (key := _key_of_letter(table, data)) in keys}
    return known


def _key_of_letter(table: StreamTable, data: str) -> Any:
    try:
        record = json.loads(data)
    except ValueError:
        return None
    return table.key_of(record) if isinstance(record, dict) else None


def _find_deleted(recheck: Recheck, given: set[Any], *, wanted: int | None, after: Any = None, has_grown: bool = False) -> Iterator[Page]:
    """Ask whether the stored records that this run has not read still exist, until `wanted` of them are found to be gone.

    If `wanted` is None, ask for all. `given`: the keys of the records that this run has read. `after`: the key at which the search
    of the last night stopped. `has_grown`: whether more records have disappeared since the search began. They may be among the
    records that the search has already passed, so after the last record it begins once more with the first.
    """
    found, queries, has_reached_end = 0, 0, False
    while wanted is None or (found < wanted and queries < MOST_EXISTENCE_QUERIES):
        rows = _next_rows(recheck, given, after)
        if not rows:
            has_reached_end = True
            break
        page, gone, _ = ask_whether_they_exist(recheck, [asked for _, asked in rows])
        yield page
        found, queries, after = found + gone, queries + 1, rows[-1][0]
    if wanted is None or found >= wanted:
        return
    recheck.cursor["unexplained"] = wanted - found
    if not has_reached_end:
        recheck.cursor["look"] = {"after": after, "is_grown": has_grown}
    elif has_grown:
        recheck.cursor["look"] = {"after": None, "is_grown": False}


def _next_rows(recheck: Recheck, given: set[Any], after: Any) -> list[tuple[Any, Any]]:
    """Return up to a hundred stored records whose keys are not in `given`: for each, its key and the value to request it by.

    `after`: the key after which to begin. The newest records come first. Of workflow runs the oldest come first, because GitHub
    itself deletes the oldest ones.
    """
    table = TABLES[recheck.stream.name]
    is_ascending = table.model is WorkflowRun
    rows = table.model.present.filter(repository=recheck.repository)
    if table.asked_by == "node_id":
        rows = rows.exclude(node_id="")
    found: list[tuple[Any, Any]] = []
    while len(found) < IDS_A_QUERY:
        more = rows.filter(**{f"{table.key}__{'gt' if is_ascending else 'lt'}": after}) if after is not None else rows
        ordered = more.order_by(table.key if is_ascending else f"-{table.key}")
        batch = list(ordered.values_list(table.key, table.asked_by).distinct()[:IDS_A_QUERY])
        if not batch:
            break
        found += [row for row in batch if row[0] not in given]
        after = batch[-1][0]
    return found[:IDS_A_QUERY]


def _find_unread(recheck: Recheck, given: set[Any], *, missing: int) -> Iterator[Page]:
    """Look for `missing` records that GitHub counts but that are not known.

    They may be records that were gone and exist again, or releases of old commits, which are far down in the list.
    """
    table = TABLES[recheck.stream.name]
    gone = table.model.objects.filter(repository=recheck.repository, gone_at__isnull=False).exclude(**{f"{table.key}__in": given})
    if table.asked_by == "node_id":
        gone = gone.exclude(node_id="")
    if asked := list(gone.order_by("-gone_at", table.key).values_list(table.asked_by, flat=True)[:IDS_A_QUERY]):
        _, _, existing = ask_whether_they_exist(recheck, asked)
        if existing and recheck.stream.by_id_query:
            yield from recheck.records_by_id(existing)
        missing -= len(existing)
    if missing > 0 and recheck.stream.order_key == "createdAt":
        yield from _read_further(recheck, given, missing)
    elif missing > 0:
        recheck.cursor["unexplained"] = -missing


def _read_further(recheck: Recheck, given: set[Any], missing: int) -> Iterator[Page]:
    """Read the list from its beginning and beyond the place where a run stops, until `missing` new records are found."""
    table = TABLES[recheck.stream.name]
    whole = replace(recheck.reading, reads_list=True, stop_at=None, former={}, ids=[])
    found: set[Any] = set()
    for number, page in enumerate(recheck.pages(read_list(whole)), start=1):
        yield page
        nodes = nodes_of_page(recheck.stream, page.body, page.context)
        keys = {key for node in nodes if isinstance(node, dict) and (key := table.key_of(node)) is not None} - given
        found |= keys - _known_before(recheck, keys)
        if len(found) >= missing or number >= MOST_FURTHER_PAGES:
            break
    if len(found) < missing:
        recheck.cursor["unexplained"] = len(found) - missing
