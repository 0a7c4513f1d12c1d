"""DORA 2023's clusters, their figures as bounds: docs/metrics.md, "Tiers"."""

TIER_YEAR = 2023
ONE_DAY_SECONDS = 86_400


def frequency_tier(deploy_days_per_week: float | None, *, has_recent_deploy_day: bool) -> str | None:
    if deploy_days_per_week is None:
        return None
    if deploy_days_per_week >= 5:
        return "elite"
    if deploy_days_per_week >= 1:
        return "high"
    return "medium" if has_recent_deploy_day else "low"


def lead_time_tier(p50_seconds: float | None) -> str | None:
    if p50_seconds is None:
        return None
    for days, tier in ((1, "elite"), (7, "high"), (30, "medium")):
        if p50_seconds < days * ONE_DAY_SECONDS:
            return tier
    return "low"
