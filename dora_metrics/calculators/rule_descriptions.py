"""Describe in words why a deployment failed or was unplanned, and what the logs show of an incident, for `dora_explain` and the API."""

from collections.abc import Mapping

from dora_metrics.calculators.failures import FIX, HOTFIX, INCIDENT, REVERT, ROLLBACK, STATE, Cause
from dora_metrics.calculators.incidents import LogEvidence

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


def why_failed(cause: Cause) -> str:
    """Return in words why an attempt counts as failed."""
    return WHY_FAILED[cause.rule].format(cause.fact)


def why_unplanned(cause: Cause) -> str:
    """Return in words why a successful deployment counts as unplanned."""
    return WHY_UNPLANNED[cause.rule].format(cause.fact)


def describe_log_evidence(evidence: LogEvidence) -> tuple[str, ...]:
    """Return one line about an incident's bad minutes, and one line for each log.

    The line of a log has its numbers of errors and events, and the command that prints the errors.
    """
    first, last = evidence.first_minute, evidence.last_minute
    summary = f"{evidence.bad_minutes} bad minutes from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    lines = (f"{log.errors} errors among {log.events} events: {log.command}" for log in evidence.sources)
    return (f"from the logs: {summary}", *lines)
