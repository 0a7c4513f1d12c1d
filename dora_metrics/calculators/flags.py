"""What is to be said of a value's quality, and what each flag means for its reader: docs/metrics.md, "Flags"."""

from collections.abc import Mapping, Sized

CLOCK_SKEW = "clock_skew"
DEPLOYED_BEFORE_MERGE = "deployed_before_merge"
IMPOSSIBLE_CAUSE = "impossible_cause"
LOW_N = "low_n"
NOT_BEGUN = "not_begun"
NOT_COLLECTED = "not_collected"
PROXY = "proxy_pr_merge"
RECOVERED_BEFORE_FINISH = "recovered_before_finish"
TIME_MATCHED = "time_matched"
UNKNOWN_SHA = "unknown_sha"
UNLINKED_INCIDENTS = "unlinked_incidents"

MEANING: Mapping[str, str] = {
    CLOCK_SKEW: "a date was impossible, and was left out or moved to the nearest possible one",
    DEPLOYED_BEFORE_MERGE: "a change was deployed before it was merged",
    IMPOSSIBLE_CAUSE: "an incident names a cause whose deployment began after it: that was not believed",
    LOW_N: "a median of 1 to 9 values: one more can move it far",
    NOT_BEGUN: "the period has not begun: there is nothing to know of it yet",
    NOT_COLLECTED: "the facts are missing: the value is unknown, not zero",
    PROXY: "merged pull requests stand in for deployments: nothing says that they were deployed",
    RECOVERED_BEFORE_FINISH: "an incident was over before the deployment blamed for it had finished: the recovery counts as 0",
    TIME_MATCHED: "no deployment names its commit: changes were matched by time alone",
    UNKNOWN_SHA: "a deployed commit is gone from git: its changes may be missing",
    UNLINKED_INCIDENTS: "an incident could not be linked to a deployment: the fail rate may be too low",
}
FEW = 10


def few(values: Sized) -> frozenset[str]:
    """Of a median: whether it is one of too few values to be steady."""
    return frozenset({LOW_N}) if 0 < len(values) < FEW else frozenset()


def those(said: Mapping[str, bool]) -> frozenset[str]:
    return frozenset(flag for flag, is_true in said.items() if is_true)
