"""Deployments: the finished attempts of one environment, sorted by finish and with retries merged (docs/metrics.md, "Deployment").

deployment_sources.py chooses the source of deployments that counts, and reads its attempts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dora_metrics.calculators.inputs import NO_ORIGIN, Origin
from dora_metrics.calculators.production import PRODUCTION, is_production
from dora_metrics.calculators.service_settings import Settings

RETRY_WITHIN = timedelta(minutes=60)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished attempt to put a commit into an environment.

    `ids`: the attempt's own id comes last. Before it come the ids of the failed attempts that were merged into it, because it
    retried them.
    """

    ids: tuple[str, ...]
    environment: str
    sha: str
    started_at: datetime
    finished_at: datetime
    is_success: bool
    names_environment: bool = True  # False if the source names no environment; the attempt then counts as production
    pull_request: int | None = None  # the number of the merged pull request that stands in for a deployment
    has_skew: bool = False  # True if it finished before it started, so that the start was set to the finish
    origin: Origin = NO_ORIGIN
    first_try_at: datetime | None = None  # the earliest start of the merged attempts; None if none was merged
    repository: str = ""  # empty for a log line if the service has several repositories and none of them has its commit

    @property
    def began_at(self) -> datetime:
        """The start of the attempt, or of the first attempt that was merged into it. From this time on the attempt may have caused an incident."""
        return self.first_try_at or self.started_at

    @property
    def key(self) -> str:
        """The attempt's own id, which is unique among the attempts of its source."""
        return self.ids[-1]

    @property
    def order(self) -> tuple[datetime, tuple[str, ...], str]:
        """The sort key: finished_at, then id, then repository.

        Numbers in an id are compared as numbers, so attempt 123.9 of a workflow run comes before attempt 123.10.
        """
        repository, _, number = self.ids[-1].rpartition("#")
        return self.finished_at, tuple(part.zfill(20) for part in number.split(".")), repository


def in_environment(attempts: Iterable[Attempt], settings: Settings, environment: str) -> list[Attempt]:
    """Return the attempts in the environment.

    "production" means all environments that match the service's setting. Any other name means the environment of exactly that name.
    """
    if environment == PRODUCTION:
        return [attempt for attempt in attempts if is_production(attempt.environment if attempt.names_environment else None, settings.production)]
    return [attempt for attempt in attempts if attempt.environment == environment]


def sorted_and_merged(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Correct impossible start times of the attempts of one environment, sort the attempts, and merge retries."""
    return _merge_retries(sorted((_correct_start(attempt) for attempt in attempts), key=lambda attempt: attempt.order))


def _correct_start(attempt: Attempt) -> Attempt:
    if attempt.started_at <= attempt.finished_at:
        return attempt
    return replace(attempt, started_at=attempt.finished_at, has_skew=True)


def _merge_retries(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Merge each failed attempt into the next attempt of its repository and environment, if that next attempt is a retry of it."""
    kept: list[Attempt] = []
    last_of: dict[tuple[str, str], int] = {}
    for attempt in attempts:
        place = attempt.repository, attempt.environment
        position = last_of.get(place)
        before = kept[position] if position is not None else None
        if before is not None and position is not None and _is_retry(before, attempt):
            began_at = min(before.began_at, attempt.began_at)
            kept[position] = replace(attempt, ids=(*before.ids, *attempt.ids), first_try_at=began_at)
        else:
            last_of[place] = len(kept)
            kept.append(attempt)
    return sorted(kept, key=lambda attempt: attempt.order)


def _is_retry(before: Attempt, attempt: Attempt) -> bool:
    """Return whether `attempt` retries `before`: `before` failed, both have the same sha, and they finished at most 60 minutes apart.

    Attempts without a sha are not retries, because it is unknown whether they deployed the same commit.
    """
    is_same_commit = bool(before.sha) and before.sha == attempt.sha
    return not before.is_success and is_same_commit and attempt.finished_at - before.finished_at <= RETRY_WITHIN
