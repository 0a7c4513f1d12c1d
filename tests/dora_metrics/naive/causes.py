"""A second, slow and simple implementation of docs/metrics.md: what carries a change, what a revert reverts, what caused an incident."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.inputs import Facts, Issue, Links, PullRequest
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.naive.attempts import PRODUCTION, attempts_in, is_later, name_of_pull, order, place, place_of, source_of
from tests.dora_metrics.naive.logs import Spell, spells

Key = tuple[str, int]  # repository, and the number of a pull request or issue in it


@dataclass(frozen=True)
class Incident:
    """`kind`: explicit, revert, time, or empty if there is no deployment. An incident from logs has neither number nor repository."""

    repository: str
    number: int | None
    start: datetime
    end: datetime | None
    has_skew: bool
    kind: str
    attempt: Attempt | None
    has_impossible_cause: bool = False


@dataclass
class World:
    """One service in one environment.

    `world_of` fills the fields from `carriers` on, each from the ones above it. Their keys name pull requests.
    """

    facts: Facts
    settings: Settings
    environment: str
    source: str
    attempts: list[Attempt]
    carriers: dict[Key, Attempt | None] = field(default_factory=dict)  # the deployment that carries each pull request
    incidents: list[Incident] = field(default_factory=list)
    counting: dict[Key, Attempt | None] = field(default_factory=dict)  # reverts that count, with the deployment that carried what they revert
    hotfixes: dict[Key, Attempt | None] = field(default_factory=dict)  # hotfixes, with the deployment that they are linked to
    rollbacks: list[tuple[Attempt, list[Attempt]]] = field(default_factory=list)  # each rollback, with the attempts that it rolled back

    @property
    def successes(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.is_success]

    @property
    def is_by_time(self) -> bool:
        return self.source != "pulls" and not any(attempt.sha for attempt in self.attempts)

    @property
    def pulls(self) -> list[tuple[Facts, PullRequest]]:
        """Return all pull requests, each with the facts of its repository."""
        return [(part, pull) for part in self.facts.parts for pull in part.pull_requests]

    def history(self, part: Facts) -> dict[str, tuple[str, ...]]:
        """Return the history by which deployments carry changes; empty if merged pull requests are the deployments, whatever was collected."""
        return {} if self.source == "pulls" else dict(part.parents)

    def attempts_of(self, part: Facts) -> list[Attempt]:
        """Return the attempts of the repository, and those whose repository is unknown."""
        return [attempt for attempt in self.attempts if attempt.repository in (part.repository, "")]

    def successes_of(self, part: Facts) -> list[Attempt]:
        return [attempt for attempt in self.attempts_of(part) if attempt.is_success]


def world_of(facts: Facts, settings: Settings, environment: str, now: datetime) -> World:
    source = source_of(facts, settings)
    world = World(facts, settings, environment, source, attempts_in(facts, settings, source, environment))
    for part, pull in world.pulls:
        world.carriers[part.repository, pull.number] = _carrier_of_pull(world, part, pull)
    issues = [(part, issue) for part in facts.parts for issue in part.issues if _is_incident(world, issue)]
    world.incidents = [_incident(world, part, issue) for part, issue in sorted(issues, key=lambda both: (both[1].number, both[0].repository))]
    from_logs = [spell for spell in spells(facts, settings, now) if not any(_is_same_outage(world, spell, incident) for incident in world.incidents)]
    for spell in from_logs:
        attempt = time_link(world, spell.start)
        world.incidents.append(Incident("", None, spell.start, spell.end, False, "time" if attempt else "", attempt))
    for part, pull in world.pulls:
        if is_counting_revert(world, part, pull):
            world.counting[part.repository, pull.number] = carrier_of_target(world, part, pull)
        if is_hotfix(world, part, pull):
            world.hotfixes[part.repository, pull.number] = hotfix_link(world, part, pull)
    world.rollbacks = [(success, rolled_back_by(world, success)) for success in world.successes]
    return world


# Carriers of changes


def descends(history: dict[str, tuple[str, ...]], young: str, old: str) -> bool:
    """Whether `young` is `old` or descends from it. False if the history lacks one of them."""
    if young not in history or old not in history:
        return False
    seen, left = set(), [young]
    while left:
        sha = left.pop()
        if sha == old:
            return True
        if sha not in seen:
            seen.add(sha)
            left.extend(history.get(sha, ()))
    return False


def _carrier_of_pull(world: World, part: Facts, pull: PullRequest) -> Attempt | None:
    if world.source == "pulls":
        for success in world.successes_of(part):
            if success.pull_request == pull.number:
                return success
        return None
    if world.is_by_time:
        return _carrier_by_time(world, part, pull)
    return _carrier(world, part, {pull.merge_sha, pull.head_sha}, pull.merge_sha if pull.merge_sha in world.history(part) else pull.head_sha)


def _carrier_by_time(world: World, part: Facts, pull: PullRequest) -> Attempt | None:
    if pull.base_branch != part.default_branch:
        return None
    for number, success in enumerate(world.successes_of(part)):
        if success.finished_at >= pull.merged_at:
            return success if number > 0 else None
    return None


def _carrier(world: World, part: Facts, shas: set[str], anchor: str) -> Attempt | None:
    """Return the first success that has one of `shas` or descends from `anchor`.

    None if the very first success whose commit is in the history already descends from `anchor`: nobody knows which earlier deployment had it first.
    """
    history = world.history(part)
    is_first_known = True
    for success in world.successes_of(part):
        if success.sha and success.sha in shas:
            return success
        if success.sha not in history:
            continue
        if descends(history, success.sha, anchor):
            return None if is_first_known else success
        is_first_known = False
    return None


# Commits by sha


def _commit_named(world: World, part: Facts, prefix: str) -> str:
    """Return the only commit that begins with `prefix`; empty if none or several do, or if `prefix` is shorter than 7 digits."""
    known = set(part.parents) | {attempt.sha for attempt in world.attempts_of(part)}
    for pull in part.pull_requests:
        known |= {pull.merge_sha, pull.head_sha, *pull.commit_shas}
    return _only_one(known, prefix)


def _only_one(shas: set[str], prefix: str) -> str:
    if prefix in shas:
        return prefix  # a shortened sha from a log, whose full sha is unknown
    fitting = [sha for sha in shas if sha.startswith(prefix)]
    return fitting[0] if len(prefix) >= 7 and len(fitting) == 1 else ""


def _carrier_of_commit(world: World, part: Facts, sha: str) -> Attempt | None:
    """Return the first deployment that carries the commit or, if there is none, a pull request that contains it."""
    itself = _carrier(world, part, {sha}, sha)
    if itself is not None:
        return itself
    carriers = []
    for pull in part.pull_requests:
        carrier = world.carriers[part.repository, pull.number]
        if carrier is not None and sha in (pull.merge_sha, pull.head_sha, *pull.commit_shas):
            carriers.append(carrier)
    return min(carriers, key=order) if carriers else None


# Reverts


@dataclass(frozen=True)
class Target:
    """The pull request or commit that a pull request says it reverts. If both are empty, the target is unknown."""

    pull: int | None = None
    commit: str = ""


def target_of(world: World, part: Facts, pull: PullRequest) -> Target | None:
    """Return the target of a revert; None if there is no sign of a revert, or if the target is in another repository."""
    signs = pull.revert_signs
    if signs.pull is not None:
        if signs.pull_repository and not is_own(part, signs.pull_repository):
            return None
        return _merged_earlier(part, [signs.pull], pull)
    if signs.branch is not None:
        return _merged_earlier(part, [signs.branch], pull)
    if signs.sha:
        named = _commit_named(world, part, signs.sha)
        same = [other.number for other in part.pull_requests if named and other.merge_sha == named]
        return _merged_earlier(part, same, pull) if same else Target(commit=named)
    if signs.has_title:
        return Target()
    return None


def is_own(part: Facts, repository: str) -> bool:
    return repository.lower() in {name.lower() for name in part.repositories}


def _merged_earlier(part: Facts, numbers: list[int], revert: PullRequest) -> Target:
    """Return the first of several pull requests as the target; an unknown target if all were merged after the revert."""
    for pull in sorted(part.pull_requests, key=lambda pull: (pull.merged_at, pull.number)):
        if pull.number in numbers and (pull.merged_at, pull.number) < (revert.merged_at, revert.number):
            return Target(pull=pull.number)
    return Target()


def puts_back(world: World, part: Facts, pull: PullRequest) -> PullRequest | None:
    """Return the revert that `pull` reverts, if any."""
    target = target_of(world, part, pull)
    if target is None or target.pull is None:
        return None
    for other in part.pull_requests:
        if other.number == target.pull and is_revert(world, part, other):
            return other
    return None


def is_revert(world: World, part: Facts, pull: PullRequest) -> bool:
    return target_of(world, part, pull) is not None and puts_back(world, part, pull) is None


def carrier_of_target(world: World, part: Facts, revert: PullRequest) -> Attempt | None:
    target = target_of(world, part, revert)
    if target is None:
        return None
    if target.pull is not None:
        return world.carriers[part.repository, target.pull]
    return _carrier_of_commit(world, part, target.commit) if target.commit else None


def is_counting_revert(world: World, part: Facts, pull: PullRequest) -> bool:
    carrier = world.carriers[part.repository, pull.number]
    if not is_revert(world, part, pull) or carrier is None or carrier_of_target(world, part, pull) == carrier:
        return False
    undone_by = [other for other in part.pull_requests if puts_back(world, part, other) == pull]
    return not any(world.carriers[part.repository, other.number] == carrier for other in undone_by)


# Incidents and hotfixes


def _is_incident(world: World, issue: Issue) -> bool:
    if issue.closed_at is not None and issue.state_reason in ("not_planned", "duplicate"):
        return False
    return any(re.search(world.settings.incident_label, label) for label in issue.labels)


def _incident(world: World, part: Facts, issue: Issue) -> Incident:
    has_skew = issue.closed_at is not None and issue.closed_at < issue.created_at
    kind, attempt, is_impossible = _link(world, part, issue)
    end = issue.created_at if has_skew else issue.closed_at
    return Incident(part.repository, issue.number, issue.created_at, end, has_skew, kind, attempt, is_impossible)


def _is_same_outage(world: World, spell: Spell, incident: Incident) -> bool:
    """Whether an incident from logs (`spell`) and an issue are the same outage.

    They must overlap, and the issue may be at most `log_issue_hours` older than the spell.
    """
    if (spell.start - incident.start).total_seconds() > 3600 * world.settings.log_issue_hours:
        return False
    begins = max(spell.start, incident.start)
    ends = [end for end in (spell.end, incident.end) if end is not None]
    if incident.end == incident.start:
        return spell.start < incident.start and (spell.end is None or incident.start < spell.end)
    return not ends or begins < min(ends)


def _link(world: World, part: Facts, issue: Issue) -> tuple[str, Attempt | None, bool]:
    """Return the kind of link, the linked deployment, and whether the issue also points to a deployment that began too late to be the cause."""
    is_settled, attempt, is_impossible = explicit_link(world, part, issue.links, issue.created_at)
    if is_settled:
        return "explicit" if attempt else "", attempt, is_impossible
    for home, pull in sorted(world.pulls, key=lambda both: (both[1].number, both[0].repository)):
        if is_revert(world, home, pull) and (part.repository, issue.number) in closed_by(world, pull):
            attempt = carrier_of_target(world, home, pull)
            if attempt and not had_begun(world, attempt, issue.created_at):
                is_impossible = True
            elif attempt:
                return "revert", attempt, is_impossible
    attempt = time_link(world, issue.created_at)
    return "time" if attempt else "", attempt, is_impossible


def had_begun(world: World, attempt: Attempt, moment: datetime) -> bool:
    """Whether the attempt, or one that it retried, had started by `moment`."""
    alone = attempts_in(world.facts, world.settings, world.source, world.environment, merges=False)
    return any(one.started_at <= moment for one in alone if one.ids[0] in attempt.ids)


def closed_by(world: World, pull: PullRequest) -> list[Key]:
    """Return the service's issues that the pull request closes. A former name of a repository counts only if no other one has it now."""
    found = []
    for name, number in pull.closes:
        called_so = [part for part in world.facts.parts if part.repository.lower() == name.lower()]
        called_so += [part for part in world.facts.parts if is_own(part, name)]
        found += [(part.repository, number) for part in called_so[:1]]
    return found


def explicit_link(world: World, part: Facts, links: Links, start: datetime, *, is_hotfix: bool = False) -> tuple[bool, Attempt | None, bool]:
    """Follow the references (`links`) in the text of an incident or hotfix, which began or was opened at `start`.

    Return whether they decide the link, the linked deployment if it is in this environment, and whether they name one that began too late.

    For a hotfix no deployment is too late, because a hotfix may be created before the deployment that it fixes.
    """
    is_impossible = False
    for name in links.deployments:
        is_known, candidates = _named_deployments(world, part, name)
        if is_known and not candidates:
            return True, None, is_impossible
        by_then = [attempt for attempt in candidates if attempt.finished_at <= start]
        running = [attempt for attempt in candidates if attempt.finished_at > start and (is_hotfix or had_begun(world, attempt, start))]
        if by_then or running:
            return True, by_then[-1] if by_then else running[0], is_impossible
        is_impossible = is_impossible or is_known
    for sha in links.root_causes:
        named = _commit_named(world, part, sha)
        attempt = _carrier_of_commit(world, part, named) if named else None
        if attempt and (is_hotfix or had_begun(world, attempt, start)):
            return True, attempt, is_impossible
        is_impossible = is_impossible or attempt is not None
    for number in links.caused_by:
        attempt = world.carriers.get((part.repository, number))
        if attempt and (is_hotfix or had_begun(world, attempt, start)):
            return True, attempt, is_impossible
        is_impossible = is_impossible or attempt is not None
    return False, None, is_impossible


def _meant_to_be_deployed(world: World, part: Facts) -> set[tuple[str, str]]:
    """Return id and sha of the repository's GitHub deployments and of what else may be a deployment in `world.source`, even if it is no attempt."""
    pattern = world.settings.workflow
    told: set[tuple[str, str]] = {(deployment.id, deployment.sha) for deployment in part.deployments}
    if world.source == "logs":
        places = [(line.id, *place_of(line, world.facts)) for line in world.facts.log_deployments]
        told |= {(number, sha) for number, repository, sha in places if repository in (part.repository, "")}
    if world.source == "releases":
        told |= {(release.id, release.sha) for release in part.releases}
    if world.source == "workflows":
        told |= {(run.id, run.sha) for run in part.workflow_runs if re.search(pattern, run.name) or re.search(pattern, run.path)}
    if world.source == "pulls":
        told |= {(name_of_pull(pull.number, part, world.facts), pull.merge_sha or pull.head_sha) for pull in part.pull_requests}
    return told


def _named_deployments(world: World, part: Facts, text: str) -> tuple[bool, list[Attempt]]:
    """Return whether a deployment has that id or sha, and the attempts of this environment that have it.

    A pull request's number and a sha are looked up in this repository only, an id in the whole service.
    """
    ids = {number for one in world.facts.parts for number, _ in _meant_to_be_deployed(world, one)}
    for name in (f"{part.repository}#{text}", text):
        if name in ids:
            return True, [attempt for attempt in world.attempts if name in attempt.ids or name in [number.split(".")[0] for number in attempt.ids]]
    sha = _only_one({sha for _, sha in _meant_to_be_deployed(world, part)}, text)
    return bool(sha), [attempt for attempt in world.attempts_of(part) if sha and attempt.sha == sha]


def time_link(world: World, start: datetime) -> Attempt | None:
    if world.environment != PRODUCTION:
        return None
    before = [success for success in world.successes if success.finished_at <= start]
    if not before or start - before[-1].finished_at > timedelta(hours=world.settings.look_back_hours):
        return None
    return before[-1]


def is_hotfix(world: World, part: Facts, pull: PullRequest) -> bool:
    if is_revert(world, part, pull):
        return False
    return any(re.search(world.settings.hotfix, name) for name in (*pull.labels, pull.head_branch))


def hotfix_link(world: World, part: Facts, pull: PullRequest) -> Attempt | None:
    is_settled, attempt, _ = explicit_link(world, part, pull.links, pull.created_at, is_hotfix=True)
    if is_settled:
        return attempt
    for incident in world.incidents:
        if (incident.repository, incident.number) in closed_by(world, pull) and incident.attempt:
            return incident.attempt
    return time_link(world, pull.created_at)


# Failures, recoveries and rework


def rolled_back_by(world: World, success: Attempt) -> list[Attempt]:
    """Return the attempts that `success` rolled back. If merges are the deployments, there are no rollbacks."""
    if world.source == "pulls":
        return []
    before = [other for other in world.attempts if place(other) == place(success) and is_later(success, other)]
    history = next((dict(part.parents) for part in world.facts.parts if part.repository == success.repository), {})
    last = before[-1:] + [other for other in before if other.is_success][-1:]
    found = []
    for other in last:
        is_older = other.sha != success.sha and descends(history, other.sha, success.sha)
        if is_older and success.started_at >= other.finished_at and other not in found:
            found.append(other)
    return found


def reasons_of(world: World, attempt: Attempt) -> dict[str, list[datetime]]:
    """Map each reason of the failure to the times at which the attempt may have recovered from it."""
    reasons: dict[str, list[datetime]] = {}
    if not attempt.is_success:
        following = [other for other in world.successes if place(other) == place(attempt) and is_later(other, attempt)]
        if not attempt.repository:  # its repository is unknown: the next success of any repository counts
            following = [other for other in world.successes if other.environment == attempt.environment and is_later(other, attempt)]
        reasons["state"] = [following[0].finished_at] if following else []
    incidents = [incident for incident in world.incidents if incident.attempt == attempt]
    if incidents:
        ends = [incident.end for incident in incidents if incident.end is not None]
        reasons["incident"] = [max(ends)] if len(ends) == len(incidents) else []
    for key, carrier in world.carriers.items():
        if carrier is None or not is_later(carrier, attempt):
            continue
        if world.counting.get(key) == attempt:
            reasons.setdefault("revert", []).append(carrier.finished_at)
        if world.hotfixes.get(key) == attempt:
            reasons.setdefault("hotfix", []).append(carrier.finished_at)
    for success, rolled_back in world.rollbacks:
        if attempt in rolled_back:
            reasons.setdefault("rollback", []).append(success.finished_at)
    return reasons


def is_recovered_early(attempt: Attempt, reasons: dict[str, list[datetime]]) -> bool:
    """Whether it recovered before it had finished."""
    return any(end < attempt.finished_at for moments in reasons.values() for end in moments)


def recovered_at(attempt: Attempt, reasons: dict[str, list[datetime]]) -> datetime | None:
    ends = [end for moments in reasons.values() for end in moments]
    return max(min(ends), attempt.finished_at) if ends else None


def is_unplanned(world: World, success: Attempt) -> bool:
    if any(other == success and rolled_back for other, rolled_back in world.rollbacks):
        return True
    for part, pull in world.pulls:
        key = part.repository, pull.number
        if world.carriers[key] != success:
            continue
        if key in world.counting or key in world.hotfixes:
            return True
        for incident in world.incidents:
            if (incident.repository, incident.number) in closed_by(world, pull) and incident.attempt and order(incident.attempt) < order(success):
                return True
    return False
