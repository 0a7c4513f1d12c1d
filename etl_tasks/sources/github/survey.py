"""What is new in many repositories, asked in one query: a quiet one costs a fraction of a point and nothing more."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etl_tasks.errors import FatalError, RetriableError
from etl_tasks.models import Source
from etl_tasks.sources.github.client import GitHub
from etl_tasks.sources.github.streams import BY_NAME, with_fragments
from etl_tasks.sources.github.wanted import IDS_A_QUERY, Watched, not_stored, watched

logger = logging.getLogger(__name__)

# A night does not wait longer for what only saves points; it is less than a task's time.
LONGEST_SURVEY_SECONDS = 300
REPOSITORIES_A_QUERY = 25  # of four lists each: a hundred, which is one point
LISTS_OF_IDS = 10  # of a hundred each, in a query for what a repository watches beyond the first hundred records
LISTS = {"pull_requests": "pullRequests", "deployments": "deployments", "issues": "issues", "releases": "releases"}

# What reading an answer of another shape raises.
UNLIKE_THE_QUERY = (KeyError, TypeError, ValueError, AttributeError)

# What a survey says of one repository, as JSON, since a run carries it in its options:
# seen_at; repository: the fields of Identity; head: the default branch's commit; top: by stream, the first record's time
# and id and how many there are; again: by stream, the ids of watched records that have changed or are not there.
News = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a repository could not be surveyed; `stream`: the one that its token may not read, if it is only that."""

    stream: str
    sentence: str


def survey(sources: Sequence[Source]) -> dict[int, News]:
    """News by the source's primary key. A source that is missing has to find out by itself, and say why it cannot."""
    found: dict[int, News] = {}
    deadline = time.monotonic() + LONGEST_SURVEY_SECONDS
    for name in sorted({source.credential for source in sources}):
        ours = [source for source in sources if source.credential == name]
        for start in range(0, len(ours), REPOSITORIES_A_QUERY):
            if time.monotonic() > deadline:
                logger.warning("survey_too_slow", extra={"sources": len(ours) - start})
                break
            batch = ours[start : start + REPOSITORIES_A_QUERY]
            try:
                found |= survey_batch(GitHub(name), batch)[0]
            except FatalError as exc:
                logger.warning("survey_failed", extra={"sources": len(batch), "error": str(exc)})
            except RetriableError as exc:
                # GitHub is away, or the hour's budget is spent: asking on would only hold up the night.
                logger.warning("survey_broken_off", extra={"sources": len(ours) - start, "error": str(exc)})
                break
            except Exception:  # whatever it is, each source meets it again in its own run, which fails by itself
                logger.exception("survey_failed", extra={"sources": len(batch)})
    return found


def survey_batch(github: GitHub, sources: Sequence[Source], *, without: frozenset[str] = frozenset()) -> tuple[dict[int, News], dict[int, Refusal]]:
    """One query: the news by the source's primary key, and what stands against the rest. `without`: streams to leave out.

    Raises RetriableError where the answer as a whole is not one to such a query, as a proxy's page is not.
    """
    watching = [_watched(source) for source in sources]
    lists = [[name for name in LISTS if name not in without and BY_NAME[name].is_asked_for(source.service)] for source in sources]
    variables: dict[str, object] = {}
    for number, (source, ids) in enumerate(zip(sources, watching, strict=True)):
        owner, _, name = source.repository.partition("/")
        variables |= {f"o{number}": owner, f"n{number}": name, f"i{number}": list(ids)[:IDS_A_QUERY]}
    answer = github.query(_query(lists), variables, is_tolerant=True)
    data, errors = _answer(answer.body)
    news: dict[int, News] = {}
    refusals: dict[int, Refusal] = {}
    for number, source in enumerate(sources):
        if repository := data.get(f"r{number}"):
            try:
                standing = _standing(github, data.get(f"u{number}") or (), watching[number])
                news[source.pk] = _news(source, repository, standing, watching[number], seen_at=answer.fetched_at)
            except UNLIKE_THE_QUERY as exc:
                refusals[source.pk] = Refusal("", f"{source.repository}: {unlike(exc)}")
        else:
            refusals[source.pk] = _refusal(source, [error for error in errors if _path(error)[:1] == [f"r{number}"]])
    return news, refusals


def survey_by_id(github: GitHub, source: Source, *, node_id: str) -> News | None:
    """The news of a repository that is no longer found under its name; None if it is gone."""
    watching = _watched(source)
    fields = _fields([name for name in LISTS if BY_NAME[name].is_asked_for(source.service)])
    query = (
        f"query SurveyById($id: ID!, $ids: [ID!]!) {{ node(id: $id) {{ ... on Repository {{ {fields} }} }} "
        "nodes(ids: $ids) { ...Standing } rateLimit { ...Budget } }"
    )
    answer = github.query(with_fragments(query), {"id": node_id, "ids": list(watching)[:IDS_A_QUERY]}, is_tolerant=True)
    data, _ = _answer(answer.body)
    if not data.get("node"):
        return None
    try:
        standing = _standing(github, data.get("nodes") or (), watching)
        return _news(source, data["node"], standing, watching, seen_at=answer.fetched_at)
    except UNLIKE_THE_QUERY as exc:
        raise RetriableError(f"{source.repository}: {unlike(exc)}") from exc


def _answer(body: bytes) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    """The data and the errors of an answer."""
    try:
        decoded = json.loads(body)
    except ValueError as exc:
        raise RetriableError("GitHub's answer to the survey is not JSON: does a proxy answer in its place?") from exc
    data = decoded.get("data") if isinstance(decoded, dict) else None
    if not isinstance(data, dict):
        raise RetriableError("GitHub's answer to the survey has no data: does a proxy answer in its place?")
    errors = decoded.get("errors")
    return data, [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def unlike(exc: Exception) -> str:
    """What to say of one of UNLIKE_THE_QUERY."""
    return f"GitHub's answer is not what was asked for ({type(exc).__name__}: {exc})"


def _path(error: Mapping[str, Any]) -> list[Any]:
    path = error.get("path")
    return path if isinstance(path, list) else []


def _watched(source: Source) -> Watched:
    """Of the streams that are asked for. A run that a failed deployment names is watched wherever deployments count."""
    found = watched(source.facts_repository) if source.facts_repository else {}
    return {
        one: (stream, version)
        for one, (stream, version) in found.items()
        if stream == "workflow_runs" or BY_NAME[stream].is_asked_for(source.service)
    }


def _standing(github: GitHub, nodes: Sequence[Any], watching: Watched) -> list[Any]:
    """The nodes of all that is watched, the first of which are known; [] where GitHub said nothing of those."""
    if not nodes:
        return []
    found = list(nodes)
    further = list(watching)[IDS_A_QUERY:]
    for start in range(0, len(further), LISTS_OF_IDS * IDS_A_QUERY):
        some = further[start : start + LISTS_OF_IDS * IDS_A_QUERY]
        batches = [some[place : place + IDS_A_QUERY] for place in range(0, len(some), IDS_A_QUERY)]
        declared = ", ".join(f"$i{number}: [ID!]!" for number in range(len(batches)))
        asked = " ".join(f"u{number}: nodes(ids: $i{number}) {{ ...Standing }}" for number in range(len(batches)))
        query = with_fragments(f"query Standing({declared}) {{ {asked} rateLimit {{ ...Budget }} }}")
        answer = github.query(query, {f"i{number}": batch for number, batch in enumerate(batches)}, is_tolerant=True)
        data, _ = _answer(answer.body)
        found += [node for number in range(len(batches)) for node in data[f"u{number}"]]
    return found


def _query(lists: Sequence[Sequence[str]]) -> str:
    declared = ", ".join(f"$o{n}: String!, $n{n}: String!, $i{n}: [ID!]!" for n in range(len(lists)))
    asked = "\n".join(
        f"  r{n}: repository(owner: $o{n}, name: $n{n}) {{ {_fields(names)} }}\n  u{n}: nodes(ids: $i{n}) {{ ...Standing }}"
        for n, names in enumerate(lists)
    )
    return with_fragments(f"query Survey({declared}) {{\n{asked}\n  rateLimit {{ ...Budget }}\n}}\n")


def _fields(names: Sequence[str]) -> str:
    return " ".join(["...Identity", *(f"...TopOf{LISTS[name][0].upper()}{LISTS[name][1:]}" for name in names)])


def _refusal(source: Source, errors: Sequence[Mapping[str, Any]]) -> Refusal:
    first = errors[0] if errors else {}
    path = _path(first)
    stream = next((name for name, field in LISTS.items() if len(path) > 1 and path[1] == field), "")
    message = str(first.get("message") or "GitHub shows nothing of it.")
    if stream:
        return Refusal(stream, f"{source.repository}: {message}: the token needs the permission “{BY_NAME[stream].permission}: read” for {stream}")
    return Refusal("", f"{source.repository}: {message} It does not exist, or the token may not read it (permission “Metadata: read”)")


def _news(source: Source, repository: dict[str, Any], nodes: Sequence[Any], watching: Watched, *, seen_at: datetime) -> News:
    """Runs are asked for by their number, unless they are not there any more."""
    again: dict[str, list[Any]] = {}
    # In the order in which they were asked for: GitHub may answer with an id of another form.
    for (node_id, (stream, version)), node in zip(watching.items(), nodes, strict=bool(nodes)):
        if not node:
            again.setdefault(stream, []).append(node_id)
        elif _version(node) > datetime.fromisoformat(version):
            again.setdefault(stream, []).append(node["databaseId"] if stream == "workflow_runs" else node_id)
    newest = [node for node in (repository.get("releases") or {}).get("nodes") or () if node]
    again.setdefault("releases", []).extend(not_stored(source.ensure_facts_repository(), {node["id"]: node["updatedAt"] for node in newest}))
    branch = repository.get("defaultBranchRef") or {}
    return {
        "seen_at": seen_at.isoformat(),
        "repository": {
            "id": repository["databaseId"],
            "node_id": repository["id"],
            "name": repository["nameWithOwner"],
            "created_at": repository["createdAt"],
            "default_branch": branch.get("name") or "",
            "is_archived": repository["isArchived"],
            "is_private": repository["isPrivate"],
        },
        "head": (branch.get("target") or {}).get("oid") or "",
        "top": {name: _top(repository[field], BY_NAME[name].order_key) for name, field in LISTS.items() if repository.get(field)},
        "again": again,
    }


def _top(connection: Mapping[str, Any], order_key: str) -> dict[str, Any]:
    first = next((node for node in connection["nodes"] or () if node), None)
    return {"total": connection["totalCount"], "time": first and first[order_key], "id": first and str(first["databaseId"])}


def _version(node: Mapping[str, Any]) -> datetime:
    status = node.get("latestStatus") or {}
    return max(datetime.fromisoformat(moment) for moment in (node["updatedAt"], status.get("createdAt")) if moment)
