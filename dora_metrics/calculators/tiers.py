"""The tier of a value: elite, high, medium or low (docs/metrics.md, "Tiers").

The bounds are the figures of the clusters of teams in DORA's report of 2023.
"""

TIER_YEAR = 2023
ONE_HOUR_SECONDS, ONE_DAY_SECONDS = 3_600, 86_400
TIERS = ("elite", "high", "medium")


def frequency_tier(deploy_days_per_week: float | None, *, has_recent_deploy_day: bool) -> str | None:
    if deploy_days_per_week is None:
        return None
    if deploy_days_per_week >= 5:
        return "elite"
    if deploy_days_per_week >= 1:
        return "high"
    return "medium" if has_recent_deploy_day else "low"


def lead_time_tier(p50_seconds: float | None) -> str | None:
    return _below(p50_seconds, (ONE_DAY_SECONDS, 7 * ONE_DAY_SECONDS, 30 * ONE_DAY_SECONDS))


def recovery_tier(p50_seconds: float | None) -> str | None:
    return _below(p50_seconds, (ONE_HOUR_SECONDS, ONE_DAY_SECONDS, 7 * ONE_DAY_SECONDS))


def fail_rate_tier(share: float | None) -> str | None:
    if share is None:
        return None
    return next((tier for bound, tier in zip((0.05, 0.10, 0.15), TIERS, strict=False) if share <= bound), "low")


def _below(seconds: float | None, bounds: tuple[int, int, int]) -> str | None:
    if seconds is None:
        return None
    return next((tier for bound, tier in zip(bounds, TIERS, strict=False) if seconds < bound), "low")
