"""Deployments: finished attempts of one environment, retries merged. docs/metrics.md, "Deployment".

deployment_sources.py says which source of deployments counts, and reads the attempts from it.
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
    """One finished attempt to put a commit into an environment. It has several `ids` if retries were merged into it."""

    ids: tuple[str, ...]
    environment: str
    sha: str
    started_at: datetime
    finished_at: datetime
    is_success: bool
    names_environment: bool = True  # False: its source names no environment, so it counts as production
    pull_request: int | None = None  # the one that it carries, if merged pull requests stand for deployments
    has_skew: bool = False  # it finished before it started: the start was set to the finish
    origin: Origin = NO_ORIGIN
    first_try_at: datetime | None = None  # the earliest start, if retries were merged
    repository: str = ""  # empty for a log line whose commit is in none of several repositories

    @property
    def began_at(self) -> datetime:
        """The earliest time at which it may have caused an incident."""
        return self.first_try_at or self.started_at

    @property
    def key(self) -> str:
        """The id that is unique among the attempts of its source."""
        return self.ids[-1]

    @property
    def order(self) -> tuple[datetime, tuple[str, ...], str]:
        """Sort key: finished_at, then id, then repository. Numbers sort as numbers, also in 123.9 and 123.10, attempts of a run."""
        repository, _, number = self.ids[-1].rpartition("#")
        return self.finished_at, tuple(part.zfill(20) for part in number.split(".")), repository


def in_environment(attempts: Iterable[Attempt], settings: Settings, environment: str) -> list[Attempt]:
    """Return the attempts of production, or of another environment by its exact name."""
    if environment == PRODUCTION:
        return [attempt for attempt in attempts if is_production(attempt.environment if attempt.names_environment else None, settings.production)]
    return [attempt for attempt in attempts if attempt.environment == environment]


def sorted_and_merged(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Sort the attempts of one environment, correct impossible start times, and merge retries."""
    return _merge_retries(sorted((_correct_start(attempt) for attempt in attempts), key=lambda attempt: attempt.order))


def _correct_start(attempt: Attempt) -> Attempt:
    if attempt.started_at <= attempt.finished_at:
        return attempt
    return replace(attempt, started_at=attempt.finished_at, has_skew=True)


def _merge_retries(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Merge a failed attempt into the next one of its repository and environment if that one is a retry."""
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
    """Return whether the later attempt has the same sha as the failed one and finished within an hour of it.

    Without a sha it is unknown whether both deployed the same commit.
    """
    is_same_commit = bool(before.sha) and before.sha == attempt.sha
    return not before.is_success and is_same_commit and attempt.finished_at - before.finished_at <= RETRY_WITHIN
