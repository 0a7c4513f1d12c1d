"""The lead time of one change and its five stages (docs/metrics.md, "Change lead time")."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from dora_metrics.calculators.bots import is_bot
from dora_metrics.calculators.change_matching import Match
from dora_metrics.calculators.inputs import PullRequest
from dora_metrics.calculators.quality_flags import CLOCK_SKEW, DEPLOYED_BEFORE_MERGE, PROXY, TIME_MATCHED, flags_where

STAGES = ("coding", "draft", "pickup", "review", "deploy")
BEFORE_GIT = datetime(2005, 1, 1, tzinfo=UTC)


class LeadTime(msgspec.Struct, frozen=True, gc=False):
    """A deployed change and its lead time.

    `seconds`: the lead time. `stages`: the seconds of each stage; None if the start or end of the stage is unknown.
    """

    key: str  # such as "pull request 7"
    repository: str
    pull: PullRequest
    match: Match
    change_start: datetime
    seconds: float
    stages: Mapping[str, float | None]
    flags: frozenset[str]
    is_by_bot: bool = False

    @property
    def deployed_at(self) -> datetime:
        return self.match.deployment.finished_at


def lead_time(pull: PullRequest, match: Match, *, bots: frozenset[str] = frozenset(), repository: str = "", qualifier: str = "") -> LeadTime:
    """Return the lead time of a pull request. Raises TypeError for naive datetimes.

    `match`: the deployment that first carried the pull request. `bots`: the logins that the service lists as bots. `qualifier`: as
    `Facts.qualifier` returns it.
    """
    deployed_at = match.deployment.finished_at
    possible = possible_dates(pull)
    start = min([pull.created_at, *possible])
    has_skew = len(possible) < len(pull.authored_at) or pull.merged_at < pull.created_at or pull.closed_at is None
    flags = flags_where(
        {
            CLOCK_SKEW: has_skew,
            DEPLOYED_BEFORE_MERGE: deployed_at < pull.merged_at,
            TIME_MATCHED: match.how == TIME_MATCHED,
            PROXY: match.deployment.pull_request is not None,
        }
    )
    ready_at, has_draft = ready(pull)
    reviewed = first_review(pull, bots)
    stages = {
        "coding": _seconds(start, pull.created_at),
        "draft": _seconds(pull.created_at, ready_at) if has_draft else None,
        "pickup": _seconds(ready_at, reviewed),
        "review": _seconds(reviewed, pull.merged_at),
        "deploy": _seconds(pull.merged_at, deployed_at),
    }
    return LeadTime(
        key=f"pull request {qualifier}{pull.number}",
        repository=repository,
        pull=pull,
        match=match,
        change_start=start,
        seconds=max(0.0, (deployed_at - start).total_seconds()),
        stages=stages,
        flags=flags,
        is_by_bot=is_bot(pull.author, pull.author_is_bot, bots),
    )


def possible_dates(pull: PullRequest) -> list[datetime]:
    """Return the dates on which the commits were authored, without those before git existed and those after the merge."""
    return [moment for moment in pull.authored_at if BEFORE_GIT <= moment <= pull.merged_at]


def ready(pull: PullRequest) -> tuple[datetime, bool]:
    """Return when the pull request was first ready for review, and whether it was a draft until then.

    It was ready at its creation if it has no `ready_for_review` event, or if a `convert_to_draft` event came before the first one.
    """
    readied = min((event.at for event in pull.draft_events if event.kind == "ready_for_review"), default=None)
    drafted = min((event.at for event in pull.draft_events if event.kind == "convert_to_draft"), default=None)
    if readied is None or (drafted is not None and drafted < readied):
        return pull.created_at, False
    return readied, True


def first_review(pull: PullRequest, bots: frozenset[str]) -> datetime | None:
    """Return the time of the earliest review between creation and merge by a person other than the author; None if there is none."""
    return min(
        (
            review.submitted_at
            for review in pull.reviews
            if pull.created_at <= review.submitted_at <= pull.merged_at
            and not is_bot(review.login, review.is_bot, bots)
            and review.login != pull.author
        ),
        default=None,
    )


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())
