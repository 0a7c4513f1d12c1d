"""The quality flags of a value, and the meaning of each flag in words (docs/metrics.md, "Flags")."""

from collections.abc import Mapping, Sized

from dora_metrics.calculators.sentences import gettext_noop

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
    CLOCK_SKEW: gettext_noop("a date was impossible, and was left out or moved to the nearest possible one"),
    DEPLOYED_BEFORE_MERGE: gettext_noop("a change was deployed before it was merged"),
    IMPOSSIBLE_CAUSE: gettext_noop("an incident names a cause whose deployment began after it: that cause was ignored"),
    LOW_N: gettext_noop("a median of 1 to 9 values: one more can move it far"),
    NOT_BEGUN: gettext_noop("the period has not begun: nothing is known about it yet"),
    NOT_COLLECTED: gettext_noop("the facts are missing: the value is unknown, not zero"),
    PROXY: gettext_noop("merged pull requests stand in for deployments: nothing says that they were deployed"),
    RECOVERED_BEFORE_FINISH: gettext_noop("an incident was over before the deployment blamed for it had finished: the recovery counts as 0"),
    TIME_MATCHED: gettext_noop("no deployment names its commit: changes were matched by time alone"),
    UNKNOWN_SHA: gettext_noop("a deployed commit is gone from git: its changes may be missing"),
    UNLINKED_INCIDENTS: gettext_noop("an incident could not be linked to a deployment: the fail rate may be too low"),
}
ENOUGH_VALUES = 10


def low_n(values: Sized) -> frozenset[str]:
    """Return the flag LOW_N if a median is computed from 1 to 9 values, otherwise no flag. `values`: the values of the median."""
    return frozenset({LOW_N}) if 0 < len(values) < ENOUGH_VALUES else frozenset()


def flags_where(conditions: Mapping[str, bool]) -> frozenset[str]:
    """Return the flags whose condition is true."""
    return frozenset(flag for flag, is_true in conditions.items() if is_true)
