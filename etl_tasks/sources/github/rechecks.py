"""What is asked once the lists are read, for it depends on what they gave and on what is stored: records by their ids, runs that
failed deployments name, histories of deployed commits, and whether what is stored is still there.

It runs in the caller's thread and may use the database. Begun again, it leaves out what is staged.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import re2

from dora_metrics.models import Change, Deployment, Issue, Release, WorkflowRun
from etl_tasks.models import DeadLetter
from etl_tasks.outcomes import Good, UnreadablePage
from etl_tasks.sources.adapter import Job, Page, Progress
from etl_tasks.sources.github import mapping, missing_records, paging
from etl_tasks.sources.github.paging import Reading, nothing
from etl_tasks.sources.github.streams import BY_NAME, Stream, with_fragments
from etl_tasks.sources.github.survey import News
from etl_tasks.sources.github.wanted import (
    FAILED_STATES,
    IDS_A_QUERY,
    MOST_HISTORIES,
    MOST_NAMED_RUNS,
    RUN_COLUMNS,
    deployed_shas,
    has_unknown,
    is_undecided,
    may_be_attempt,
    missing_attempts,
    named_by_failures,
    parents_of,
    reached,
    stored_attempts_of,
)

# Of one stream and night: queries for stored records, a hundred each, and further pages of a list. The next night goes on.
MOST_LOOKS, MOST_FURTHER_PAGES = 10, 10
# A record that GitHub did not give is asked for again in so many nights; then its dead letter waits for somebody.
MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where the records of a stream are stored, by which column they are told apart, and by which they are asked for."""

    model: Any  # a GithubFact
    key: str
    asked_by: str  # node_id, or number

    def key_of(self, node: Mapping[str, Any]) -> Any:
        """Of a node as GitHub gives it."""
        return node.get("number") if self.key == "number" else node.get("databaseId", node.get("id"))


PLACES = {
    "pull_requests": Place(Change, "number", "number"),
    "issues": Place(Issue, "number", "number"),
    "deployments": Place(Deployment, "external_id", "node_id"),
    "releases": Place(Release, "external_id", "node_id"),
    "workflow_runs": Place(WorkflowRun, "external_id", "node_id"),
}
FIELD = {"pull_requests": "pullRequest", "issues": "issue"}


def rechecks(
    reading: Reading, job: Job, news: News, cursor: dict[str, Any], *, asked: Collection[str], former_branches: Sequence[str]
) -> Iterator[Page]:
    """The rest of a stream whose list was read, up to `cursor`. The last page says that the stream is done.

    `asked`: the streams whose lists this run reads. `former_branches`: what the default branch was called, as this run has found.
    """
    name = reading.stream.name
    recheck = _Recheck(replace(reading, is_list_asked=False), job, news, cursor, asked, former_branches)
    yield from recheck.histories() if name == "commits" else recheck.runs() if name == "workflow_runs" else recheck.records()
    yield nothing(reading, cursor=recheck.cursor, resume=READ, is_done=True)


READ = {"is_read": True}


class _Recheck:
    def __init__(
        self, reading: Reading, job: Job, news: News, cursor: dict[str, Any], asked: Collection[str], former_branches: Sequence[str]
    ) -> None:
        self.reading, self.job, self.news, self.cursor = reading, job, news, dict(cursor)
        self.stream, self.asked = reading.stream, asked
        self.home = job.source.ensure_facts_repository()
        self.branches = {str(reading.repository["default_branch"]), self.home.default_branch, *self.home.default_branches, *former_branches}

    # --- records of lists -------------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Page]:
        if rest := self.reading.progress and self.reading.progress.resume.get("rest"):
            resume = {"again": [], "is_listed": True, "rest": rest}
            yield from self._pages(paging.listed(replace(self.reading, progress=Progress(resume, self.cursor, is_done=False))))
        self.reading = replace(self.reading, progress=None)
        yield from self._by_id([*self.news["again"].get(self.stream.name, ()), *self._lost()])
        yield from self._missing_and_gone()

    def _lost(self) -> list[str]:
        """What GitHub gave null for: in this run's lists, and in earlier nights'."""
        named = [one for page in self.job.staged(self.stream.name) for one in page.context.get("named", ())]
        return [*named, *lost_ids(self.job, self.stream)]

    def _by_id(self, ids: Sequence[str]) -> Iterator[Page]:
        if not ids:
            return
        given = {node.get("id") for node in self._given()}
        asked = {one for page in self.job.staged(self.stream.name) for one in page.context.get("ids", ())}
        if wanted := [one for one in dict.fromkeys(ids) if one not in given and one not in asked]:
            yield from self._pages(paging.listed(replace(self.reading, again=wanted)))

    def _given(self, name: str = "") -> Iterator[dict[str, Any]]:
        return staged_records(self.job, name or self.stream.name)

    # --- is everything there? ---------------------------------------------------------------------------------------------

    def _missing_and_gone(self) -> Iterator[Page]:
        """GitHub's count says whether something went away, or appeared where the list was not read: then it is looked for."""
        former, total = self.job.cursors.get(self.stream.name, {}), self.cursor.get("total")
        if total is None or not former or self.job.until:
            return
        place = PLACES[self.stream.name]
        given = {key for node in self._given() if (key := place.key_of(node)) is not None}
        new = given - self._known(place, given)
        if self.job.is_full:
            yield from self._look(place, given, wanted=None)
            return
        if "total" in former:
            more = former["total"] + len(new) - total
        else:  # as collected by a version that did not count
            stored = place.model.present.filter(repository=self.home).values(place.key).distinct().count()
            is_whole = self._is_whole(former)
            more = stored + len(new) - total if is_whole else 0
        unexplained = self.cursor.pop("unexplained", 0) + more
        look = self.cursor.pop("look", None)
        if unexplained > 0 and (more or look):
            position = look["after"] if look else None
            yield from self._look(place, given, wanted=unexplained, after=position, is_grown=bool(look and (look["is_grown"] or more > 0)))
        elif unexplained < 0 and more:
            yield from self._find(place, given, missing=-unexplained)
        elif unexplained:
            self.cursor["unexplained"] = unexplained

    def _is_whole(self, former: Mapping[str, Any]) -> bool:
        begun = datetime.fromisoformat(former["collected_from"])
        return begun <= datetime.fromisoformat(str(self.reading.repository["created_at"])).astimezone(UTC)

    def _known(self, place: Place, given: set[Any]) -> set[Any]:
        """Of these, what was there before this run: stored, gone or not, or a dead letter."""
        keys = sorted(given)
        known: set[Any] = set()
        for start in range(0, len(keys), IDS_A_QUERY):
            rows = place.model.objects.filter(repository=self.home, **{f"{place.key}__in": keys[start : start + IDS_A_QUERY]})
            known |= set(rows.values_list(place.key, flat=True))
        if len(known) < len(given):
            letters = DeadLetter.objects.filter(source=self.job.source, stream=self.stream.name, kind=DeadLetter.Kind.RECORD)
            known |= {key for data in letters.values_list("data", flat=True) if (key := _key_of_letter(place, data)) in given}
        return known

    def _look(self, place: Place, given: set[Any], *, wanted: int | None, after: Any = None, is_grown: bool = False) -> Iterator[Page]:
        """Ask whether stored records are still there, until so many are found that are not; `wanted` None asks for all."""
        found, looks, is_over = 0, 0, False
        while wanted is None or (found < wanted and looks < MOST_LOOKS):
            rows = self._next_rows(place, given, after)
            if not rows:
                is_over = True
                break
            page, gone, _ = self._ask(rows)
            yield page
            found, looks, after = found + gone, looks + 1, rows[-1][0]
        if wanted is None or found >= wanted:
            return
        self.cursor["unexplained"] = wanted - found
        if not is_over:
            self.cursor["look"] = {"after": after, "is_grown": is_grown}
        elif is_grown:
            self.cursor["look"] = {"after": None, "is_grown": False}

    def _next_rows(self, place: Place, given: set[Any], after: Any) -> list[tuple[Any, Any]]:
        """A hundred stored records that this run has not read, as key and what they are asked for by: the newest first.

        Runs the oldest first: GitHub forgets them by itself after a time.
        """
        is_rising = place.model is WorkflowRun
        rows = place.model.present.filter(repository=self.home)
        if place.asked_by == "node_id":
            rows = rows.exclude(node_id="")
        found: list[tuple[Any, Any]] = []
        while len(found) < IDS_A_QUERY:
            more = rows.filter(**{f"{place.key}__{'gt' if is_rising else 'lt'}": after}) if after is not None else rows
            some = list(more.order_by(place.key if is_rising else f"-{place.key}").values_list(place.key, place.asked_by).distinct()[:IDS_A_QUERY])
            if not some:
                break
            found += [row for row in some if row[0] not in given]
            after = some[-1][0]
        return found[:IDS_A_QUERY]

    def _ask(self, rows: Sequence[tuple[Any, Any]]) -> tuple[Page, int, list[str]]:
        """One query for stored records: the page, how many of them are gone, and the ids of those that are there."""
        asked_by, asked = PLACES[self.stream.name].asked_by, [one for _, one in rows]
        context: dict[str, Any] = {"shape": "looked", "repository": self.reading.repository["node_id"]}
        if asked_by == "number":
            fields = " ".join(f"n{number}: {FIELD[self.stream.name]}(number: {number}) {{ id number repository {{ id }} }}" for number in asked)
            query = (
                f"query Look($owner: String!, $name: String!) {{ repository(owner: $owner, name: $name) {{ {fields} }} rateLimit {{ ...Budget }} }}"
            )
            answer = self.reading.github.query(with_fragments(query), self.reading.variables())
            context |= {"numbers": asked, "at": answer.fetched_at.isoformat()}
        else:
            query = "query Look($ids: [ID!]!) { nodes(ids: $ids) { id } rateLimit { ...Budget } }"
            answer = self.reading.github.query(with_fragments(query), {"ids": asked})
            context |= {"ids": asked, "at": answer.fetched_at.isoformat()}
        gone = missing_records.gone_facts(answer.body, context)
        data = json.loads(answer.body)["data"]
        nodes = (data.get("repository") or {}).values() if asked_by == "number" else data["nodes"]
        missing = {one.get("node_id", one.get("number")) for one in gone}
        there = [node["id"] for one, node in zip(asked, nodes, strict=True) if node and one not in missing]
        if not gone:
            return nothing(self.reading, cursor=self.cursor, resume=READ, is_done=False), 0, there
        page = Page(
            stream=self.stream.name,
            url=answer.url,
            body=answer.body,
            record_count=len(gone),
            fetched_at=answer.fetched_at,
            cursor=self.cursor,
            resume=READ,
            context=context,
        )
        return page, len(gone), there

    def _find(self, place: Place, given: set[Any], *, missing: int) -> Iterator[Page]:
        """There is more than is known of: what was gone may be back; and a release appears where its commit is."""
        gone = place.model.objects.filter(repository=self.home, gone_at__isnull=False).exclude(**{f"{place.key}__in": given})
        if place.asked_by == "node_id":
            gone = gone.exclude(node_id="")
        if rows := list(gone.order_by("-gone_at", place.key).values_list(place.key, place.asked_by)[:IDS_A_QUERY]):
            _, _, there = self._ask(rows)
            if there and self.stream.again_query:
                yield from self._by_id(there)
            missing -= len(there)
        if missing > 0 and self.stream.order_key == "createdAt":
            yield from self._read_on(place, given, missing)
        elif missing > 0:
            self.cursor["unexplained"] = -missing

    def _read_on(self, place: Place, given: set[Any], missing: int) -> Iterator[Page]:
        whole = replace(self.reading, is_list_asked=True, stop_at=None, former={}, again=[])
        found: set[Any] = set()
        for number, page in enumerate(self._pages(paging.listed(whole)), start=1):
            yield page
            keys = {place.key_of(node) for node in _nodes(self.stream, page.body, page.context) if node} - given
            found |= keys - self._known(place, keys)
            if len(found) >= missing or number >= MOST_FURTHER_PAGES:
                break
        if len(found) < missing:
            self.cursor["unexplained"] = len(found) - missing

    # --- workflow runs ----------------------------------------------------------------------------------------------------

    def runs(self) -> Iterator[Page]:
        self.reading = replace(self.reading, progress=None)
        changed = self.news["again"].get("workflow_runs", ())
        numbers = [one for one in changed if isinstance(one, int)]
        given = {node.get("id") for node in self._given()} if numbers else set()
        named = named_by_failures(self.home, also=self._failed_now())
        wanted = [one for one in numbers if one not in given] + self._named(named)
        if wanted:
            # Of a run that a failed deployment names every attempt counts: the deployment may be any attempt's.
            attempts = missing_attempts(self.home, named=frozenset(named))
            yield from self._pages(paging.runs(replace(self.reading, again=wanted, former=self.cursor, needs_attempts=attempts)), keeps=("gone",))
        if vanished := [one for one in changed if isinstance(one, str)]:
            for start in range(0, len(vanished), IDS_A_QUERY):
                page, _, _ = self._ask([(one, one) for one in vanished[start : start + IDS_A_QUERY]])
                yield page
        if self.stream.name in self.asked:
            yield from self._missing_and_gone()

    def _named(self, named: Sequence[int]) -> list[int | str]:
        """Of runs that failed deployments name, those that are not there, and of the others the attempts that are not."""
        attempts = stored_attempts_of(self.home, named)
        for node in self._given():
            if node.get("id") in named:
                attempts.setdefault(node["id"], set()).add(node.get("run_attempt", 1))
        missing: list[int | str] = []
        for one in named:
            known = attempts.get(one, set())
            missing += [f"{one}/attempts/{attempt}" for attempt in range(1, max(known)) if attempt not in known] if known else [one]
        gone = set(self.cursor.get("gone", ()))
        return [one for one in missing if str(one) not in gone][:MOST_NAMED_RUNS]

    def _failed_now(self) -> dict[int, list[str]]:
        """Of the deployments that this run has read, the addresses of their logs, if they have failed."""
        found: dict[int, list[str]] = {}
        for node in self._given("deployments"):
            statuses = [one for one in (node.get("statuses") or {}).get("nodes") or () if one]
            states = {str(one.get("state", "")).lower() for one in statuses}
            has_failed = "success" not in states and bool(states & set(FAILED_STATES))
            found[node.get("databaseId", 0)] = [str(one.get("logUrl") or "") for one in statuses] if has_failed else []
        return found

    # --- history ----------------------------------------------------------------------------------------------------------

    def histories(self) -> Iterator[Page]:
        """What deployed commits reach beside the default branch, as far as it is neither stored nor read."""
        self.reading = replace(self.reading, progress=None)
        asked_before = self.job.cursors.get("commits", {}).get("asked", ())
        staged = {node["oid"]: _parents(node) for node in self._given() if "oid" in node}
        is_open = is_undecided_now(self.job)
        deployed = deployed_shas(self.home, also=self._deployed_now(is_open=is_open), is_open=is_open)
        head = self.reading.top
        is_new = head != self.job.cursors.get("commits", {}).get("top")
        self.cursor["has_strays"] = is_open != is_undecided(self.job.source.service) or self._lost_a_deployment()
        if not is_new and not staged and not has_unknown(self.home, deployed, asked=asked_before):
            return
        parents = {**parents_of(self.home), **staged}
        known, holes = reached([head] if head else [], parents)
        reached_beside, beside = reached(deployed, parents, known=known)
        self.cursor["has_strays"] |= len(known) + len(reached_beside) < len(parents)
        missing = list(dict.fromkeys([*holes, *beside]))
        asked = [sha for sha in asked_before if sha in missing]
        wanted = [sha for sha in missing if sha not in asked][:MOST_HISTORIES]
        self.cursor["asked"] = [*asked, *wanted]
        if wanted:
            further = replace(self.reading, again=wanted, stored_commits=frozenset(parents), asked=asked)
            yield from self._pages(paging.history(further), keeps=("asked",))

    def _lost_a_deployment(self) -> bool:
        names = ("deployments", "releases", "workflow_runs")
        asked = (one for name in names for one in self.job.staged(name) if one.context.get("shape") in {"again", "looked"})
        return any(missing_records.gone_facts(page.content, page.context) for page in asked)

    def _deployed_now(self, *, is_open: bool) -> list[tuple[bool, datetime, str]]:
        """What this run has read of deployed commits, as `deployed_shas` takes it."""
        service, is_production = self.job.source.service, re2.compile(self.job.source.service.production)
        found: list[tuple[bool, Any, Any]] = []
        if "deployments" in self.asked:
            for node in self._given("deployments"):
                found.append((bool(is_production.search(str(node.get("environment") or ""))), node.get("createdAt"), node.get("commitOid")))
        if service.deployments_from == service.DeploymentsFrom.RELEASES or is_open:
            published = (node for node in self._given("releases") if not node.get("isDraft"))
            found += [(True, node.get("createdAt"), (node.get("tagCommit") or {}).get("oid")) for node in published]
        if service.deployments_from == service.DeploymentsFrom.WORKFLOWS or is_open:
            is_attempt = may_be_attempt(service, branches=self.branches)
            runs = (run for run in self._given("workflow_runs") if is_attempt(*(str(run.get(name) or "") for name in RUN_COLUMNS)))
            found += [(True, run.get("created_at"), run.get("head_sha")) for run in runs]
        return [(in_production, moment, str(sha)) for in_production, time, sha in found if sha and (moment := _moment(time))]

    # --- pages ------------------------------------------------------------------------------------------------------------

    def _pages(self, pages: Iterator[Page], *, keeps: Sequence[str] = ()) -> Iterator[Page]:
        """With the stream's cursor, and of theirs what they `keep` there. An unreadable page leaves the stream where it was."""
        for page in pages:
            if page.body and not page.cursor:
                self.cursor = {}
            elif self.cursor:
                self.cursor |= {name: page.cursor[name] for name in keeps if name in page.cursor}
            yield replace(page, cursor=dict(self.cursor), resume={**READ, "rest": page.resume.get("rest", [])}, is_done=False)


def is_undecided_now(job: Job) -> bool:
    """`is_undecided`, as it will be once this run has loaded."""
    service = job.source.service
    if service.deployments_from != service.DeploymentsFrom.AUTO:
        return False
    read: dict[int, dict[str, Any]] = {}
    without: set[str] = set()
    for page in job.staged("deployments"):
        if page.context.get("shape") in {"again", "looked"}:
            without |= {one["node_id"] for one in missing_records.gone_facts(page.content, page.context)}
    for one in mapping.facts("deployment", staged_records(job, "deployments")):
        if isinstance(one, Good):
            read[one.fact["external_id"]] = one.fact
            without.add(one.fact["node_id"])
    cancelled = {str(run.get("id")) for run in staged_records(job, "workflow_runs") if run.get("conclusion") == "cancelled"}
    return is_undecided(service, read=list(read.values()), without=without, cancelled=cancelled)


def staged_records(job: Job, name: str) -> Iterator[dict[str, Any]]:
    """The records of a stream that this run has staged."""
    for page in job.staged(name):
        if page.context.get("shape") not in {"rest", "looked"}:
            yield from (node for node in _nodes(BY_NAME[name], page.content, page.context) if isinstance(node, dict) and node)


def lost_ids(job: Job, stream: Stream) -> list[str]:
    """What GitHub did not give in earlier nights, as long as it is worth asking."""
    letters = DeadLetter.objects.filter(
        source=job.source, stream=stream.name, kind=DeadLetter.Kind.LOST, state=DeadLetter.State.OPEN, attempts__lt=MOST_TRIES
    )
    return [one for data in letters.order_by("pk").values_list("data", flat=True) if (one := json.loads(data).get("id"))]


def _nodes(stream: Stream, content: bytes, context: Mapping[str, Any]) -> list[Any]:
    try:
        return mapping.nodes(content, stream.shape(context)[0])
    except UnreadablePage:
        return []


def _moment(text: object) -> datetime | None:
    """None for what is no time: a bad record, which transform buries."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _parents(commit: Mapping[str, Any]) -> list[str]:
    return [parent["oid"] for parent in (commit.get("parents") or {}).get("nodes") or () if parent]


def _key_of_letter(place: Place, data: str) -> Any:
    try:
        raw = json.loads(data)
    except ValueError:
        return None
    return place.key_of(raw) if isinstance(raw, dict) else None
