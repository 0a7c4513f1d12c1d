"""The link from an incident to its cause, and from a hotfix to the deployment that it mends (docs/metrics.md, "Incident" and "Hotfix")."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property

import msgspec
from msgspec.structs import replace

from dora_metrics.calculators.change_matching import FirstDeployments
from dora_metrics.calculators.deployment_sources import Mentioned
from dora_metrics.calculators.deployments import Attempt
from dora_metrics.calculators.git_history import Shas
from dora_metrics.calculators.inputs import Links
from dora_metrics.calculators.service_settings import Settings

EXPLICIT, REVERT, TIME = "explicit", "revert", "time"


class Link(msgspec.Struct, frozen=True, gc=False):
    """The link of an incident or a hotfix.

    `attempt`: the attempt that it is linked to; None if there is none. `how`: the rule that found the attempt: explicit, revert or
    time.
    """

    attempt: Attempt | None = None
    how: str = ""
    is_contradicted: bool = False  # True if a named cause was ignored because it began after the incident


UNLINKED = Link()


class ServiceAttempts:
    """Finds an attempt by its id or by time, among the attempts of one environment in all repositories of a service.

    `attempts`: ordered by finished_at. `links_by_time`: whether an incident may be linked by time alone, which is so in production
    only.
    """

    def __init__(self, attempts: Sequence[Attempt], *, settings: Settings, links_by_time: bool) -> None:
        self._attempts = attempts
        self._successes = [attempt for attempt in attempts if attempt.is_success]
        self._look_back = timedelta(hours=settings.look_back_hours) if links_by_time else None

    @cached_property
    def by_id(self) -> Mapping[str, Sequence[Attempt]]:
        found: dict[str, list[Attempt]] = {}
        for attempt in self._attempts:
            # Attempts 123.1 and 123.2 of a workflow run are both found by the run's number, 123.
            for name in {attempt_id if attempt.pull_request is not None else attempt_id.partition(".")[0] for attempt_id in attempt.ids}:
                found.setdefault(name, []).append(attempt)
        return found

    def link_by_time(self, moment: datetime) -> Link:
        """Return a link to the latest success that finished at or before `moment`.

        There is no link if that success finished more than `look_back_hours` (a setting) before `moment`, or if the environment is not
        production.
        """
        if self._look_back is None:
            return UNLINKED
        position = _count_finished(self._successes, moment)
        latest = self._successes[position - 1] if position else None
        return Link(latest, TIME) if latest and moment - latest.finished_at <= self._look_back else UNLINKED


class Linker:
    """Finds the attempt to which an incident or a hotfix of one repository is linked.

    `attempts`: the repository's attempts, ordered by finished_at. `mentioned`: the deployments that the facts of the service mention.
    `repository`: its name. `qualifier`: as `Facts.qualifier` returns it.
    """

    def __init__(
        self,
        service_attempts: ServiceAttempts,
        attempts: Sequence[Attempt],
        *,
        mentioned: Mentioned,
        repository: str,
        qualifier: str,
        first_deployments: FirstDeployments,
        shas: Shas,
    ) -> None:
        self._service_attempts = service_attempts
        self._first_deployments, self._shas = first_deployments, shas
        self._attempts, self._mentioned, self._repository, self._qualifier = attempts, mentioned, repository, qualifier

    @cached_property
    def _deployed_shas(self) -> Shas:
        return Shas(sha for _, sha in self._mentioned.by(self._repository))

    @cached_property
    def _by_sha(self) -> Mapping[str, Sequence[Attempt]]:
        found: dict[str, list[Attempt]] = {}
        for attempt in self._attempts:
            found.setdefault(attempt.sha, []).append(attempt)
        return found

    def link(self, links: Links, moment: datetime, *, second: Callable[[], Link], is_effect: bool = True) -> Link:
        """Return the link by the first of three rules that finds one: the named causes, then `second`, then time.

        `links`: the causes that the body of the issue or pull request names. `moment`: when the incident began or the hotfix was
        created. `second`: returns the link by the second rule. `is_effect`: True if the cause must have begun by `moment`. It is
        False for a hotfix, which may be written before the deployment that it mends.
        """
        is_settled, stated = self._explicit_link(links, moment, is_effect=is_effect)
        if is_settled:
            return stated
        between = second()
        found = between if between.attempt else self._service_attempts.link_by_time(moment)
        return replace(found, is_contradicted=stated.is_contradicted or between.is_contradicted)

    def _explicit_link(self, links: Links, moment: datetime, *, is_effect: bool) -> tuple[bool, Link]:
        """Return whether the causes that the body names decide the link, and the link.

        If the body names a known deployment that is not an attempt in this environment, it is decided that there is no link.
        """
        is_contradicted = False
        for candidates in self._stated_attempts(links):
            attempt = _choose(candidates, moment, is_effect=is_effect)
            if attempt or not candidates:
                return True, Link(attempt, EXPLICIT if attempt else "", is_contradicted)
            is_contradicted = True
        return False, Link(is_contradicted=is_contradicted)

    def _stated_attempts(self, links: Links) -> Iterator[Sequence[Attempt]]:
        """For each cause that the body names, yield the attempts that may be meant. The causes come in the order in which they are tried.

        If a cause is a known deployment that is not an attempt in this environment, an empty list is yielded for it. A cause that is
        unknown, or is a change that was not deployed, is skipped.
        """
        for text in links.deployments:
            names = f"{self._qualifier}{text}", text
            if name := next((name for name in names if name in self._mentioned.ids), ""):
                yield self._service_attempts.by_id.get(name, [])
            elif sha := self._deployed_shas.named(text):
                yield self._by_sha.get(sha, [])
        for text in links.root_causes:
            if attempt := self._first_deployments.of_commit(self._shas.named(text)):
                yield [attempt]
        for number in links.caused_by:
            if match := self._first_deployments.of_pull(number):
                yield [match.deployment]


def _choose(candidates: Sequence[Attempt], moment: datetime, *, is_effect: bool) -> Attempt | None:
    """Return the latest candidate that had finished by `moment`.

    If none had finished: with `is_effect`, return the first candidate that had begun by `moment`, or None if none had begun. Without
    `is_effect`, return the first candidate.
    """
    if position := _count_finished(candidates, moment):
        return candidates[position - 1]
    return next((attempt for attempt in candidates if could_cause(attempt, moment) or not is_effect), None)


def could_cause(attempt: Attempt, moment: datetime) -> bool:
    """Return whether the attempt had begun by `moment`. An attempt may break things from its beginning on, before it has finished."""
    return attempt.began_at <= moment


def _count_finished(attempts: Sequence[Attempt], moment: datetime) -> int:
    return bisect_right(attempts, moment, key=lambda attempt: attempt.finished_at)
