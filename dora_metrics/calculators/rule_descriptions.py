"""The rules that placed a deployment or an incident, in words, for people who ask why."""

from collections.abc import Mapping
from shlex import quote

from dora_metrics.calculators.facts import LogEvidence
from dora_metrics.calculators.failures import FIX, HOTFIX, INCIDENT, REVERT, ROLLBACK, STATE, Cause
from dora_metrics.calculators.log_incidents import ONE_MINUTE, iso

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


def shown_by(evidence: LogEvidence) -> tuple[str, ...]:
    """What the logs say of an incident, and the command that prints the lines of each."""
    first, last = evidence.first_minute, evidence.last_minute
    said = f"{evidence.bad_minutes} bad minutes from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    lines = (
        f"{one.errors} errors among {one.events} events: "
        f"manage.py log_events --source {quote(one.source)} --from {iso(first)} --to {iso(last + ONE_MINUTE)} --level error --limit 0"
        for one in evidence.sources
    )
    return (f"from the logs: {said}", *lines)
