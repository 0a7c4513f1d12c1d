"""Describe in words why a deployment failed or was unplanned, and what the logs show of an incident, for `dora_explain` and the API."""

from collections.abc import Mapping

from dora_metrics.calculators.failures import FIX, HOTFIX, INCIDENT, REVERT, ROLLBACK, STATE, Cause
from dora_metrics.calculators.incidents import LogEvidence
from dora_metrics.calculators.sentences import LogLines, Minute, Sentence, gettext_noop

WHY_FAILED: Mapping[str, str] = {
    STATE: gettext_noop("the attempt itself failed"),
    INCIDENT: gettext_noop("{} is linked to it"),
    REVERT: gettext_noop("{}, deployed later, reverts what it carried"),
    HOTFIX: gettext_noop("{}, a hotfix linked to it, was deployed later"),
    ROLLBACK: gettext_noop("{} rolled it back"),
}
WHY_UNPLANNED: Mapping[str, str] = {
    ROLLBACK: gettext_noop("it rolled back {}"),
    REVERT: gettext_noop("it carries {}, a revert"),
    HOTFIX: gettext_noop("it carries {}, a hotfix"),
    FIX: gettext_noop("it carries {}, which closes the incident of an earlier deployment"),
}


def why_failed(cause: Cause) -> Sentence:
    """Return in words why an attempt counts as failed."""
    return Sentence(WHY_FAILED[cause.rule], cause.fact)


def why_unplanned(cause: Cause) -> Sentence:
    """Return in words why a successful deployment counts as unplanned."""
    return Sentence(WHY_UNPLANNED[cause.rule], cause.fact)


def describe_log_evidence(evidence: LogEvidence) -> tuple[str, ...]:
    """Return one line about an incident's bad minutes, and one line for each log.

    The line of a log has its numbers of errors and events, and the command that prints the errors.
    """
    span = Minute(evidence.first_minute), Minute(evidence.last_minute)
    summary = Sentence(gettext_noop("from the logs: {} bad minutes from {} to {}"), evidence.bad_minutes, *span)
    template = gettext_noop("{} errors among {} events: {}")
    lines = (Sentence(template, log.errors, log.events, LogLines(log.command, log.url)) for log in evidence.sources)
    return (summary, *lines)
