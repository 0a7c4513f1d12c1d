"""Ask with one query what has changed in up to 25 repositories.

A repository without changes needs no other request in that night, so it costs only its fraction of the query's point.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.models import Source
from etl_tasks.sources.github import mapping, records
from etl_tasks.sources.github.client import IDS_A_QUERY, Answer, GitHub, store_budgets
from etl_tasks.sources.github.query_texts import with_fragments
from etl_tasks.sources.github.streams import BY_NAME
from etl_tasks.sources.github.watched_records import Watched, not_stored, watched

logger = logging.getLogger(__name__)

# After this time, the survey sends no more queries, and the remaining repositories are collected without it. That costs more
# points, but nothing is missed. The value must be less than the time limit of a task, because the survey runs inside one.
LONGEST_SURVEY_SECONDS = 300
# The survey asks each repository for four lists, so a query of 25 repositories asks for 100 lists, which cost one point.
REPOSITORIES_A_QUERY = 25
# The survey's query contains the ids of at most IDS_A_QUERY watched records of each repository. If a repository has more, they are
# requested by further queries. Each of these has at most this many batches of IDS_A_QUERY ids.
BATCHES_A_QUERY = 10
LISTS = {"pull_requests": "pullRequests", "deployments": "deployments", "issues": "issues", "releases": "releases"}

# The exceptions that reading an answer can raise if the answer does not have the expected form.
UNEXPECTED_ANSWER = (KeyError, TypeError, ValueError, AttributeError, OverflowError, msgspec.ValidationError)

# What the survey found about one repository. It can be written as JSON, because a run stores it in its options. The keys:
# "seen_at", the time of the survey; "repository", its id, names and flags; "head", the newest commit of the default branch;
# "top", by stream, the time and id of the list's first record and the number of records; "again", by stream, the records to
# request again: watched records that have changed or were not found, and releases that are not stored in their latest version.
SurveyResult = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a repository could not be surveyed. `stream`: the stream that the token may not read; empty if there is another reason."""

    stream: str
    sentence: str


def survey(sources: Sequence[Source]) -> dict[int, SurveyResult]:
    """Return the survey results by the primary keys of the sources.

    A source that has no result here is surveyed again by its own run, which reports the error.
    """
    return {source_id: result for part in survey_in_parts(sources) for source_id, result in part.items()}


def survey_in_parts(sources: Sequence[Source]) -> Iterator[dict[int, SurveyResult]]:
    """Yield what `survey` returns, a query's part at a time."""
    deadline = time.monotonic() + LONGEST_SURVEY_SECONDS
    for name in sorted({source.credential for source in sources}):
        of_credential = [source for source in sources if source.credential == name]
        for start in range(0, len(of_credential), REPOSITORIES_A_QUERY):
            if time.monotonic() > deadline:
                logger.warning("survey_too_slow", extra={"sources": len(of_credential) - start})
                break
            batch = of_credential[start : start + REPOSITORIES_A_QUERY]
            try:
                part = survey_batch(GitHub(name), batch)[0]
            except FatalError as exc:
                logger.warning("survey_failed", extra={"sources": len(batch), "error": str(exc)})
            except RetriableError as exc:
                # GitHub cannot be reached, or the hourly limit is used up: more queries would only delay the night's runs.
                logger.warning("survey_broken_off", extra={"sources": len(of_credential) - start, "error": str(exc)})
                break
            except Exception:  # each source's own run repeats the survey and reports the error; the other runs continue
                logger.exception("survey_failed", extra={"sources": len(batch)})
            else:
                yield part
    store_budgets()


def has_no_news(result: Mapping[str, Any], cursors: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether the survey has found the lists and the default branch as the last run did, and no record to request again."""
    lists = {name: cursors.get(name, {}).get("top") for name in result["top"]}
    return not any(result["again"].values()) and lists == result["top"] and cursors.get("commits", {}).get("top", "") == result["head"]


def survey_batch(
    github: GitHub, sources: Sequence[Source], *, without: frozenset[str] = frozenset()
) -> tuple[dict[int, SurveyResult], dict[int, Refusal]]:
    """Survey sources with one query. Returns results and refusals by the source's primary key. `without`: streams to leave out.

    Raises RetriableError if the answer as a whole is not an answer to this query, but for example a proxy's page.
    """
    watched_records = [_watched(source) for source in sources]
    lists = [[name for name in LISTS if name not in without and BY_NAME[name].is_asked_for(source.service)] for source in sources]
    variables: dict[str, object] = {}
    for number, (source, ids) in enumerate(zip(sources, watched_records, strict=True)):
        owner, _, name = source.repository.partition("/")
        variables |= {f"o{number}": owner, f"n{number}": name, f"i{number}": list(ids)[:IDS_A_QUERY]}
    answer = github.query(_query(lists), variables, is_tolerant=True)
    data, errors = _answer(answer)
    results: dict[int, SurveyResult] = {}
    refusals: dict[int, Refusal] = {}
    for number, source in enumerate(sources):
        if repository := data.get(f"r{number}"):
            try:
                nodes = _watched_nodes(github, data.get(f"u{number}") or (), watched_records[number])
                results[source.pk] = _result(source, repository, nodes, watched_records[number], seen_at=answer.fetched_at)
            except UNEXPECTED_ANSWER as exc:
                refusals[source.pk] = Refusal("", f"{source.repository}: {describe_unexpected(exc)}")
        else:
            refusals[source.pk] = _refusal(source, [error for error in errors if _path(error)[:1] == [f"r{number}"]])
    return results, refusals


def survey_by_id(github: GitHub, source: Source, *, node_id: str) -> SurveyResult | None:
    """Survey a repository by its node id, because GitHub does not find it by its name any more. Returns None if it is gone."""
    watched_records = _watched(source)
    fields = _fields([name for name in LISTS if BY_NAME[name].is_asked_for(source.service)])
    query = (
        f"query SurveyById($id: ID!, $ids: [ID!]!) {{ node(id: $id) {{ ... on Repository {{ {fields} }} }} "
        "nodes(ids: $ids) { ...WatchedFields } rateLimit { ...RateLimitFields } }"
    )
    variables = {"id": node_id, "ids": list(watched_records)[:IDS_A_QUERY]}
    answer = github.query(with_fragments(query), variables, is_tolerant=True)
    data, _ = _answer(answer)
    if not data.get("node"):
        return None
    try:
        nodes = _watched_nodes(github, data.get("nodes") or (), watched_records)
        return _result(source, data["node"], nodes, watched_records, seen_at=answer.fetched_at)
    except UNEXPECTED_ANSWER as exc:
        raise RetriableError(f"{source.repository}: {describe_unexpected(exc)}") from exc


def _answer(answer: Answer) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """Return the data and the errors of an answer. Raises RetriableError for an answer without data."""
    decoded = answer.json()
    if decoded is None:
        raise RetriableError("GitHub's answer to the survey is not JSON: does a proxy answer in its place?")
    data = decoded.get("data") if isinstance(decoded, dict) else None
    if not isinstance(data, dict):
        raise RetriableError("GitHub's answer to the survey has no data: does a proxy answer in its place?")
    errors = decoded.get("errors")
    return data, [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def describe_unexpected(exc: Exception) -> str:
    """Return an error message for an exception of UNEXPECTED_ANSWER."""
    return f"GitHub's answer is not what was asked for ({type(exc).__name__}: {exc})"


def _path(error: Mapping[str, Any]) -> list[Any]:
    path = error.get("path")
    return path if isinstance(path, list) else []


def _watched(source: Source) -> Watched:
    """Return the watched records of the streams that the service needs.

    Watched workflow runs are always included, because failed deployments may name them.
    """
    found = watched(source.facts_repository) if source.facts_repository else {}
    return {
        node_id: (stream, version)
        for node_id, (stream, version) in found.items()
        if stream == "workflow_runs" or BY_NAME[stream].is_asked_for(source.service)
    }


def _watched_nodes(github: GitHub, nodes: Sequence[Any], watched_records: Watched) -> list[Any]:
    """Return the nodes of all watched records of a repository. Records that the survey's query did not contain are requested here.

    `nodes`: the nodes of the first IDS_A_QUERY records, which the survey's query returned. If it is empty, the result is empty.
    """
    if not nodes:
        return []
    found = list(nodes)
    further = list(watched_records)[IDS_A_QUERY:]
    for start in range(0, len(further), BATCHES_A_QUERY * IDS_A_QUERY):
        part = further[start : start + BATCHES_A_QUERY * IDS_A_QUERY]
        batches = [part[first : first + IDS_A_QUERY] for first in range(0, len(part), IDS_A_QUERY)]
        declared = ", ".join(f"$i{number}: [ID!]!" for number in range(len(batches)))
        fields = " ".join(f"u{number}: nodes(ids: $i{number}) {{ ...WatchedFields }}" for number in range(len(batches)))
        query = with_fragments(f"query WatchedRecords({declared}) {{ {fields} rateLimit {{ ...RateLimitFields }} }}")
        answer = github.query(query, {f"i{number}": batch for number, batch in enumerate(batches)}, is_tolerant=True)
        data, _ = _answer(answer)
        found += [node for number in range(len(batches)) for node in data[f"u{number}"]]
    return found


def _query(lists: Sequence[Sequence[str]]) -> str:
    declared = ", ".join(f"$o{n}: String!, $n{n}: String!, $i{n}: [ID!]!" for n in range(len(lists)))
    fields = "\n".join(
        f"  r{n}: repository(owner: $o{n}, name: $n{n}) {{ {_fields(names)} }}\n  u{n}: nodes(ids: $i{n}) {{ ...WatchedFields }}"
        for n, names in enumerate(lists)
    )
    return with_fragments(f"query Survey({declared}) {{\n{fields}\n  rateLimit {{ ...RateLimitFields }}\n}}\n")


def _fields(names: Sequence[str]) -> str:
    return " ".join(["...RepositoryFields", *(f"...TopOf{LISTS[name][0].upper()}{LISTS[name][1:]}" for name in names)])


def _refusal(source: Source, errors: Sequence[Mapping[str, Any]]) -> Refusal:
    first = errors[0] if errors else {}
    path = _path(first)
    stream = next((name for name, field in LISTS.items() if len(path) > 1 and path[1] == field), "")
    message = str(first.get("message") or "GitHub shows nothing of it.")
    if stream:
        return Refusal(stream, f"{source.repository}: {message}: the token needs the permission “{BY_NAME[stream].permission}: read” for {stream}")
    return Refusal("", f"{source.repository}: {message} It does not exist, or the token may not read it (permission “Metadata: read”)")


def _result(source: Source, repository: dict[str, Any], nodes: Sequence[Any], watched_records: Watched, *, seen_at: datetime) -> SurveyResult:
    """Return the survey's result. "again" contains changed workflow runs by their numbers and all other records by their global ids."""
    again: dict[str, list[Any]] = {}
    # GitHub returns nodes in the order of the requested ids. The ids inside the nodes are not compared: they may have another format.
    for (node_id, (stream, version)), node in zip(watched_records.items(), nodes, strict=bool(nodes)):
        if not node:
            again.setdefault(stream, []).append(node_id)
        elif _version(node) > datetime.fromisoformat(version):
            again.setdefault(stream, []).append(node["databaseId"] if stream == "workflow_runs" else node_id)
    newest = [node for node in (repository.get("releases") or {}).get("nodes") or () if node]
    if source.pk is not None:  # a source that is only tried has no stored releases
        again.setdefault("releases", []).extend(not_stored(source.ensure_facts_repository(), {node["id"]: node["updatedAt"] for node in newest}))
    seen = msgspec.convert(repository, records.SurveyedRepository)
    branch = seen.default_branch_ref
    return {
        "seen_at": seen_at.isoformat(),
        "repository": {
            "id": seen.database_id,
            "node_id": seen.id,
            "name": seen.name_with_owner,
            "created_at": _checked(repository["createdAt"]),
            "default_branch": branch.name if branch else "",
            "is_archived": seen.is_archived,
            "is_private": seen.is_private,
        },
        "head": branch.target.oid if branch and branch.target else "",
        "top": {name: _top(repository[field], BY_NAME[name].order_key) for name, field in LISTS.items() if repository.get(field)},
        "again": again,
    }


def _top(connection: Mapping[str, Any], order_key: str) -> dict[str, Any]:
    first = next((node for node in connection["nodes"] or () if node), None)
    total = msgspec.convert(connection["totalCount"], records.Count)
    return {"total": total, "time": first and _checked(first[order_key]), "id": first and str(first["databaseId"])}


def _checked(time: str) -> str:
    """Return the time as GitHub has written it. Raises ValueError if it is impossible or has no zone, TypeError if it is no text."""
    mapping.checked_time(datetime.fromisoformat(time))
    return time


def _version(node: Mapping[str, Any]) -> datetime:
    status = node.get("latestStatus") or {}
    return max(datetime.fromisoformat(moment) for moment in (node["updatedAt"], status.get("createdAt")) if moment)
