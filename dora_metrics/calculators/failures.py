"""Why an attempt counts as failed, when it had recovered, and which successes were not planned: docs/metrics.md."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dora_metrics.calculators.facts import Attempt, IssueKey, PullRequest
from dora_metrics.calculators.flags import RECOVERED_BEFORE_FINISH, those
from dora_metrics.calculators.history import History
from dora_metrics.calculators.incidents import Incident, Link
from dora_metrics.calculators.matching import Carriers
from dora_metrics.calculators.reverts import Revert

STATE, INCIDENT, REVERT, HOTFIX, ROLLBACK, FIX = "state", "incident", "revert", "hotfix", "rollback", "fix"
REASONS = (STATE, INCIDENT, REVERT, HOTFIX, ROLLBACK)


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """One rule that placed an attempt among the failed or the unplanned ones, and the fact that met it.

    `ended_at`: when the failure was over by it, and `ended_by` what ended it; None if it is not, or is no end of one.
    """

    rule: str
    fact: str  # "issue 12", "pull request 7", "deployment 55", or "status"
    ended_at: datetime | None = None
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """An attempt and what is to be said of it. It failed where it has `causes`; `unplanned`: why it was rework."""

    attempt: Attempt
    causes: tuple[Cause, ...] = ()
    unplanned: tuple[Cause, ...] = ()
    recovered_at: datetime | None = None
    recovered_by: str = ""
    flags: frozenset[str] = frozenset()
    is_recovered_early: bool = False  # before it had finished: the recovery was set to the finish

    @property
    def recovery_flags(self) -> frozenset[str]:
        """What is to be said of it where its recovery counts."""
        return self.flags | those({RECOVERED_BEFORE_FINISH: self.is_recovered_early})

    @property
    def is_failed(self) -> bool:
        return bool(self.causes)

    @property
    def recovery_seconds(self) -> float | None:
        return (self.recovered_at - self.attempt.finished_at).total_seconds() if self.recovered_at else None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks of failures in one repository. `closes`: pull request to the issues of the service that it closes.

    `qualifier`: what tells a number of this repository from one of another.
    """

    qualifier: str
    carriers: Carriers
    history: History
    reverts: Mapping[int, Revert]
    hotfixes: Sequence[tuple[PullRequest, Link]]
    closes: Mapping[int, Sequence[IssueKey]]

    def named(self, number: int) -> str:
        return f"pull request {self.qualifier}{number}"


def judged(
    attempts: Sequence[Attempt],
    incidents: Sequence[tuple[Incident, Link]],
    evidence: Mapping[str, Evidence],
    *,
    flags_of: Mapping[str, frozenset[str]],
) -> list[Judged]:
    """`attempts`: of one environment, by finished_at; the answer is in their order. `evidence`: by repository. `flags_of`: by the attempt's key."""
    causes: dict[str, list[Cause]] = defaultdict(list)
    unplanned: dict[str, list[Cause]] = defaultdict(list)
    incidents_of: dict[str, list[Incident]] = defaultdict(list)
    for incident, link in incidents:
        if link.attempt:
            incidents_of[link.attempt.key].append(incident)
    for key, cause in _by_incident(incidents_of):
        causes[key].append(cause)
    next_success = _next_successes(attempts)
    for attempt in attempts:
        if not attempt.is_success:
            mended = next_success.get(attempt.key)
            causes[attempt.key].append(Cause(STATE, "status", *_end(mended)))
    for former, latter in _rollbacks(attempts, {repository: one.history for repository, one in evidence.items()}):
        causes[former.key].append(Cause(ROLLBACK, _deployment(latter), *_end(latter)))
        unplanned[latter.key].append(Cause(ROLLBACK, _deployment(former)))
    link_of = {(incident.number, incident.repository): link for incident, link in incidents if incident.number is not None}
    for one in evidence.values():
        for target, carrier, number in _carried_reverts(one):
            unplanned[carrier.key].append(Cause(REVERT, one.named(number)))
            if target and carrier.order > target.order:
                causes[target.key].append(Cause(REVERT, one.named(number), *_end(carrier)))
        for pull, link in one.hotfixes:
            if match := one.carriers.of_pull(pull.number):
                unplanned[match.deployment.key].append(Cause(HOTFIX, one.named(pull.number)))
                if link.attempt and match.deployment.order > link.attempt.order:
                    causes[link.attempt.key].append(Cause(HOTFIX, one.named(pull.number), *_end(match.deployment)))
        for carrier, cause in _fixes(one, link_of):
            unplanned[carrier.key].append(cause)
    return [
        _judge(
            attempt,
            sorted(set(causes.get(attempt.key, ())), key=_order),
            sorted(set(unplanned.get(attempt.key, ())), key=_order),
            incidents_of.get(attempt.key, ()),
            flags_of.get(attempt.key, frozenset()),
        )
        for attempt in attempts
    ]


def _judge(attempt: Attempt, causes: Sequence[Cause], unplanned: Sequence[Cause], incidents: Sequence[Incident], flags: frozenset[str]) -> Judged:
    recoveries = [(cause.ended_at, cause.ended_by) for cause in causes if cause.rule != INCIDENT and cause.ended_at]
    if incidents and all(incident.ended_at for incident in incidents):
        last = max(incidents, key=lambda incident: (incident.ended_at, incident.key))
        recoveries += [(last.ended_at, last.key)] if last.ended_at else []
    recovered_at, recovered_by = min(recoveries, default=(None, ""))
    return Judged(
        attempt=attempt,
        causes=tuple(causes),
        unplanned=tuple(unplanned),
        recovered_at=max(recovered_at, attempt.finished_at) if recovered_at else None,
        recovered_by=recovered_by,
        flags=flags,
        is_recovered_early=recovered_at is not None and recovered_at < attempt.finished_at,
    )


def _by_incident(incidents_of: Mapping[str, Sequence[Incident]]) -> Iterable[tuple[str, Cause]]:
    for key, found in incidents_of.items():
        for incident in found:
            yield key, Cause(INCIDENT, incident.key, incident.ended_at, incident.key if incident.ended_at else "")


def _next_successes(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    """By the key of each failed attempt, the next success of its repository in its very environment; of an unknown one, of any repository."""
    found: dict[str, Attempt] = {}
    following: dict[tuple[str, str], Attempt] = {}
    for attempt in reversed(attempts):
        place, anywhere = (attempt.repository, attempt.environment), ("", attempt.environment)
        if attempt.is_success:
            following[place] = following[anywhere] = attempt
        elif place in following:
            found[attempt.key] = following[place]
    return found


def _rollbacks(attempts: Sequence[Attempt], history_of: Mapping[str, History]) -> Iterable[tuple[Attempt, Attempt]]:
    """What was rolled back, and the success that did it. Where merges stand for deployments there is none: a merge only adds."""
    last_attempt: dict[tuple[str, str], Attempt] = {}
    last_success: dict[tuple[str, str], Attempt] = {}
    for attempt in attempts:
        place, history = (attempt.repository, attempt.environment), history_of.get(attempt.repository)
        if history and attempt.is_success and attempt.pull_request is None:
            before = {former.key: former for former in (last_attempt.get(place), last_success.get(place)) if former}
            for former in before.values():
                if attempt.started_at >= former.finished_at and history.is_true_ancestor(attempt.sha, former.sha):
                    yield former, attempt
            last_success[place] = attempt
        last_attempt[place] = attempt


def _carried_reverts(evidence: Evidence) -> Iterable[tuple[Attempt | None, Attempt, int]]:
    """Of each revert that counts: what first carried its target, what first carried it, and its number."""
    carriers = evidence.carriers
    for number, revert in sorted(evidence.reverts.items()):
        match = carriers.of_pull(number)
        if match is None:
            continue
        target = carrier_of_target(revert, carriers)
        back = [carriers.of_pull(other) for other in revert.put_back_by]
        is_put_back = any(other and other.deployment.key == match.deployment.key for other in back)
        if not is_put_back and not (target and target.key == match.deployment.key):
            yield target, match.deployment, number


def carrier_of_target(revert: Revert, carriers: Carriers) -> Attempt | None:
    if revert.target_pull is not None:
        match = carriers.of_pull(revert.target_pull)
        return match.deployment if match else None
    return carriers.of_commit(revert.target_sha)


def _fixes(evidence: Evidence, link_of: Mapping[IssueKey, Link]) -> Iterable[tuple[Attempt, Cause]]:
    """Deployments that carry a pull request which closes an incident of an earlier deployment."""
    for number, issues in sorted(evidence.closes.items()):
        match = evidence.carriers.of_pull(number)
        for issue in issues:
            caused_by = link_of[issue].attempt if issue in link_of else None
            if match and caused_by and caused_by.order < match.deployment.order:
                yield match.deployment, Cause(FIX, evidence.named(number))


def _end(attempt: Attempt | None) -> tuple[datetime | None, str]:
    return (attempt.finished_at, _deployment(attempt)) if attempt else (None, "")


def _order(cause: Cause) -> tuple[str, str]:
    return cause.rule, cause.fact


def _deployment(attempt: Attempt) -> str:
    return f"deployment {attempt.key}"
