"""The rules that placed a deployment, in words, for people who ask why."""

from collections.abc import Mapping

from dora_metrics.calculators.failures import FIX, HOTFIX, INCIDENT, REVERT, ROLLBACK, STATE, Cause

WHY_FAILED: Mapping[str, str] = {
    STATE: "the attempt itself failed",
    INCIDENT: "{} is linked to it",
    REVERT: "{}, deployed later, reverts what it carried",
    HOTFIX: "{}, a hotfix linked to it, was deployed later",
    ROLLBACK: "{} rolled it back",
}
WHY_UNPLANNED: Mapping[str, str] = {
    ROLLBACK: "it rolled back {}",
    REVERT: "it carries {}, a revert",
    HOTFIX: "it carries {}, a hotfix",
    FIX: "it carries {}, which closes the incident of an earlier deployment",
}


def because(cause: Cause) -> str:
    """Why an attempt failed."""
    return WHY_FAILED[cause.rule].format(cause.fact)


def mends(cause: Cause) -> str:
    """Why a success was not planned."""
    return WHY_UNPLANNED[cause.rule].format(cause.fact)
