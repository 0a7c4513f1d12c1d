"""The change lead time: the time from the start of a change to the deployment that first carried it."""

from collections.abc import Sequence

from dora_metrics.calculators.lead_time_stages import STAGES, LeadTime
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.metric_interface import Measures, Member
from dora_metrics.calculators.percentiles import percentile
from dora_metrics.calculators.periods import ByDate, Period
from dora_metrics.calculators.quality_flags import UNKNOWN_SHA, low_n
from dora_metrics.calculators.sentences import Sentence, gettext_noop
from dora_metrics.calculators.tiers import lead_time_tier

HOW = {
    "sha": gettext_noop("has the very commit that was deployed: {}"),
    "range": gettext_noop("is in the history of the commit that was deployed: {}"),
    "time_matched": gettext_noop("was merged before the deployment, which names no commit: {}"),
}


class ChangeLeadTime:
    """A change counts in the period of its deployment. Changes by bots are left out of the value and counted in `n_bots`."""

    name, unit = "change_lead_time", "seconds"

    def __init__(self, linked: LinkedFacts) -> None:
        self.coverage = linked.coverage.changes
        self._successes = linked.successes
        self._deployed = ByDate(linked.changes, lambda change: change.deployed_at, linked.settings.time_zone)

    def measure(self, period: Period, collected: Period) -> Measures:
        found = self._deployed.within(collected)
        people = [change for change in found if not change.is_by_bot]
        seconds = [change.seconds for change in people]
        has_unknown_sha = any(UNKNOWN_SHA in success.flags for success in self._successes.within(collected))
        flags = frozenset().union(*(change.flags for change in people), low_n(seconds), {UNKNOWN_SHA} if has_unknown_sha else ())
        p50 = percentile(seconds, 0.5)
        return Measures(
            n=len(people),
            value=p50,
            p50=p50,
            p75=percentile(seconds, 0.75),
            p90=percentile(seconds, 0.9),
            tier=lead_time_tier(p50),
            flags=flags,
            details={"n_bots": len(found) - len(people), "stages": {stage: _stage(stage, people) for stage in STAGES}},
        )

    def members(self, collected: Period) -> list[Member]:
        return [
            _member(change)
            for change in sorted(self._deployed.within(collected), key=lambda change: (change.deployed_at, change.pull.number, change.repository))
        ]


def _stage(stage: str, lead_times: Sequence[LeadTime]) -> dict[str, float | int | None]:
    known = [seconds for change in lead_times if (seconds := change.stages[stage]) is not None]
    return {"p50": percentile(known, 0.5), "n": len(known)}


def _member(change: LeadTime) -> Member:
    matched = Sentence(HOW[change.match.how], f"deployment {change.match.deployment.key}")
    if change.is_by_bot:
        counts: dict[str, float] = {"n_bots": 1}
        rules: tuple[str, ...] = (Sentence(gettext_noop("by a bot ({}): left out"), change.pull.author), matched)
    else:
        stages = {f"stages.{stage}.n": 1.0 for stage, seconds in change.stages.items() if seconds is not None}
        counts = {"n": 1, "seconds": change.seconds, **stages}
        rules = (matched,)
    return Member(
        kind="change",
        key=change.key,
        repository=change.repository,
        at=change.deployed_at,
        counts=counts,
        rules=rules,
        title=change.pull.title,
        flags=tuple(sorted(change.flags)),
        origin=change.pull.origin,
    )
