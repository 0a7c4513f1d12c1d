"""The causes by which an attempt counts as failed or unplanned, and its recovery.

docs/metrics.md defines them under "Change fail rate", "Failed deployment recovery time" and "Deployment rework rate".
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from dora_metrics.calculators.change_matching import FirstDeployments
from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.git_history import History
from dora_metrics.calculators.incident_linking import Link
from dora_metrics.calculators.incidents import Incident
from dora_metrics.calculators.inputs import IssueKey, PullRequest
from dora_metrics.calculators.quality_flags import RECOVERED_BEFORE_FINISH, flags_where
from dora_metrics.calculators.reverts_and_hotfixes import Revert

STATE, INCIDENT, REVERT, HOTFIX, ROLLBACK, FIX = "state", "incident", "revert", "hotfix", "rollback", "fix"
REASONS = (STATE, INCIDENT, REVERT, HOTFIX, ROLLBACK)
NO_FLAGS: frozenset[str] = frozenset()  # one object for all attempts without a flag


class Cause(msgspec.Struct, frozen=True, order=True, gc=False):
    """A rule by which an attempt counts as failed or unplanned, and the fact that met the rule.

    `ended_at` and `ended_by`: when the failure by this cause ended, and the fact that ended it. Both are empty if the failure has
    not ended, and for an unplanned success.
    """

    rule: str
    fact: str  # such as "issue 12", "pull request 7" or "deployment 55"; "status" if the attempt itself failed
    ended_at: datetime | None = None
    ended_by: str = ""


class AttemptOutcome(msgspec.Struct, frozen=True, gc=False):
    """An attempt, the causes by which it counts as failed (`causes`) and as unplanned (`unplanned`), and its recovery."""

    attempt: Attempt
    causes: tuple[Cause, ...] = ()
    unplanned: tuple[Cause, ...] = ()
    recovered_at: datetime | None = None
    recovered_by: str = ""
    flags: frozenset[str] = NO_FLAGS
    is_recovered_early: bool = False  # True if it recovered before it had finished, so that the recovery was set to the finish

    @property
    def recovery_flags(self) -> frozenset[str]:
        """The quality flags that the attempt adds to a value in which its recovery counts."""
        return self.flags | flags_where({RECOVERED_BEFORE_FINISH: self.is_recovered_early})

    @property
    def is_failed(self) -> bool:
        return bool(self.causes)

    @property
    def recovery_seconds(self) -> float | None:
        return (self.recovered_at - self.attempt.finished_at).total_seconds() if self.recovered_at else None


@dataclass(frozen=True, slots=True)
class RepositoryChanges:
    """The changes of one repository by which failures and unplanned successes are found.

    `qualifier`: as `Facts.qualifier` returns it. `reverts`: keyed by number. `hotfixes`: each with the link to the attempt
    that it mends. `closes`: for the number of each pull request, the issues of the service that it closes.
    """

    qualifier: str
    first_deployments: FirstDeployments
    history: History
    reverts: Mapping[int, Revert]
    hotfixes: Sequence[tuple[PullRequest, Link]]
    closes: Mapping[int, Sequence[IssueKey]]

    def name_of_pull(self, number: int) -> str:
        return f"pull request {self.qualifier}{number}"


def attempt_outcomes(
    attempts: Sequence[Attempt],
    incidents: Sequence[tuple[Incident, Link]],
    changes: Mapping[str, RepositoryChanges],
    *,
    flags_of: Mapping[str, frozenset[str]],
) -> list[AttemptOutcome]:
    """Return the outcomes of the attempts, in the order of `attempts`.

    `attempts`: the attempts of one environment, ordered by finished_at. `incidents`: each incident with the link to the
    attempt that caused it. `changes`: the changes of each repository, by its name. `flags_of`: the quality flags of
    each attempt that has any, by its key.
    """
    causes: dict[str, list[Cause]] = defaultdict(list)
    unplanned: dict[str, list[Cause]] = defaultdict(list)
    incidents_of: dict[str, list[Incident]] = defaultdict(list)
    for incident, link in incidents:
        if link.attempt:
            incidents_of[link.attempt.key].append(incident)
    for key, cause in _incident_causes(incidents_of):
        causes[key].append(cause)
    next_success = _next_successes(attempts)
    for attempt in attempts:
        if not attempt.is_success:
            causes[attempt.key].append(Cause(STATE, "status", *_end(next_success.get(attempt.key))))
    for rolled_back, rollback in _rollbacks(attempts, {name: repository.history for name, repository in changes.items()}):
        causes[rolled_back.key].append(Cause(ROLLBACK, _name(rollback), *_end(rollback)))
        unplanned[rollback.key].append(Cause(ROLLBACK, _name(rolled_back)))
    link_of = {(incident.number, incident.repository): link for incident, link in incidents if incident.number is not None}
    for repository in changes.values():
        for reverted, deployment, number in _deployed_reverts(repository):
            unplanned[deployment.key].append(Cause(REVERT, repository.name_of_pull(number)))
            if reverted and deployment.order > reverted.order:
                causes[reverted.key].append(Cause(REVERT, repository.name_of_pull(number), *_end(deployment)))
        for pull, link in repository.hotfixes:
            if match := repository.first_deployments.of_pull(pull.number):
                unplanned[match.deployment.key].append(Cause(HOTFIX, repository.name_of_pull(pull.number)))
                if link.attempt and match.deployment.order > link.attempt.order:
                    causes[link.attempt.key].append(Cause(HOTFIX, repository.name_of_pull(pull.number), *_end(match.deployment)))
        for deployment, cause in _deployed_fixes(repository, link_of):
            unplanned[deployment.key].append(cause)
    return [
        _outcome(
            attempt,
            sorted(set(causes.get(attempt.key, ())), key=_order),
            sorted(set(unplanned.get(attempt.key, ())), key=_order),
            incidents_of.get(attempt.key, ()),
            flags_of.get(attempt.key, NO_FLAGS),
        )
        for attempt in attempts
    ]


def _outcome(
    attempt: Attempt, causes: Sequence[Cause], unplanned: Sequence[Cause], incidents: Sequence[Incident], flags: frozenset[str]
) -> AttemptOutcome:
    recoveries = [(cause.ended_at, cause.ended_by) for cause in causes if cause.rule != INCIDENT and cause.ended_at]
    if incidents and all(incident.ended_at for incident in incidents):
        last = max(incidents, key=lambda incident: (incident.ended_at, incident.key))
        recoveries += [(last.ended_at, last.key)] if last.ended_at else []
    recovered_at, recovered_by = min(recoveries, default=(None, ""))
    return AttemptOutcome(
        attempt=attempt,
        causes=tuple(causes),
        unplanned=tuple(unplanned),
        recovered_at=max(recovered_at, attempt.finished_at) if recovered_at else None,
        recovered_by=recovered_by,
        flags=flags,
        is_recovered_early=recovered_at is not None and recovered_at < attempt.finished_at,
    )


def _incident_causes(incidents_of: Mapping[str, Sequence[Incident]]) -> Iterable[tuple[str, Cause]]:
    for key, found in incidents_of.items():
        for incident in found:
            yield key, Cause(INCIDENT, incident.key, incident.ended_at, incident.key if incident.ended_at else "")


def _next_successes(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    """Map the key of each failed attempt to the next success after it in the same environment and repository.

    If the repository of the failed attempt is unknown, a success of any repository counts. A failed attempt without a next success
    is left out.
    """
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
    """Yield each attempt that was rolled back, with the success that rolled it back.

    A success rolls back the attempt or the success before it if it started after that one had finished, and its commit is a true
    ancestor of that one's commit. A merged pull request that stands in for a deployment is never a rollback.
    """
    last_attempt: dict[tuple[str, str], Attempt] = {}
    last_success: dict[tuple[str, str], Attempt] = {}
    for attempt in attempts:
        place, history = (attempt.repository, attempt.environment), history_of.get(attempt.repository)
        if history and attempt.is_success and attempt.pull_request is None:
            candidates = {earlier.key: earlier for earlier in (last_attempt.get(place), last_success.get(place)) if earlier}
            for earlier in candidates.values():
                if attempt.started_at >= earlier.finished_at and history.is_true_ancestor(attempt.sha, earlier.sha):
                    yield earlier, attempt
            last_success[place] = attempt
        last_attempt[place] = attempt


def _deployed_reverts(changes: RepositoryChanges) -> Iterable[tuple[Attempt | None, Attempt, int]]:
    """Yield three items for each revert that counts.

    They are the first deployment of the reverted change (None if that change is unknown or was not deployed), the first deployment
    of the revert, and the number of the revert. A revert does not count if the same deployment first carried the reverted change, or
    a pull request that put the change back.
    """
    first_deployments = changes.first_deployments
    for number, revert in sorted(changes.reverts.items()):
        match = first_deployments.of_pull(number)
        if match is None:
            continue
        target = first_deployment_of_target(revert, first_deployments)
        back = [first_deployments.of_pull(other) for other in revert.put_back_by]
        is_put_back = any(other and other.deployment.key == match.deployment.key for other in back)
        if not is_put_back and not (target and target.key == match.deployment.key):
            yield target, match.deployment, number


def first_deployment_of_target(revert: Revert, first_deployments: FirstDeployments) -> Attempt | None:
    """Return the first deployment of the reverted change, or None if the change is unknown or was not deployed."""
    if revert.target_pull is not None:
        match = first_deployments.of_pull(revert.target_pull)
        return match.deployment if match else None
    return first_deployments.of_commit(revert.target_sha)


def _deployed_fixes(changes: RepositoryChanges, link_of: Mapping[IssueKey, Link]) -> Iterable[tuple[Attempt, Cause]]:
    """Yield each deployment that fixes an earlier one, with the cause that makes it unplanned.

    Such a deployment carries a pull request that closes an incident, and the incident is linked to the earlier deployment. `link_of`: the link of
    each incident, by its issue.
    """
    for number, issues in sorted(changes.closes.items()):
        match = changes.first_deployments.of_pull(number)
        for issue in issues:
            caused_by = link_of[issue].attempt if issue in link_of else None
            if match and caused_by and caused_by.order < match.deployment.order:
                yield match.deployment, Cause(FIX, changes.name_of_pull(number))


def _end(attempt: Attempt | None) -> tuple[datetime | None, str]:
    """Return the `ended_at` and `ended_by` of a cause whose failure this attempt ended. Without an attempt both are empty."""
    return (attempt.finished_at, _name(attempt)) if attempt else (None, "")


def _order(cause: Cause) -> tuple[str, str]:
    return cause.rule, cause.fact


def _name(attempt: Attempt) -> str:
    return f"deployment {attempt.key}"
