"""Three outages of the last days, each caused by a bad deployment and ended by a rollback. GitHub and the log lines show the same ones."""

from dataclasses import dataclass
from datetime import datetime, timedelta

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
QUIET_BEFORE, QUIET_AFTER = 4 * HOUR, 2 * HOUR  # nothing else is deployed so shortly before or after an outage


@dataclass(frozen=True, slots=True)
class Outage:
    """Errors from `began` to `ended`. The bad deployment finished three minutes before; the rollback finishes at the end.

    `change`: the title of the pull request that caused it. `errors`: what the logs say.
    """

    repository: str
    began: datetime
    ended: datetime
    change: str
    mend: str
    errors: tuple[str, ...]

    @property
    def deployed(self) -> datetime:
        return self.began - 3 * MINUTE

    def covers(self, moment: datetime) -> bool:
        return self.began <= moment < self.ended


def outages(now: datetime) -> tuple[Outage, ...]:
    """Return the outages before `now`, the oldest first."""
    minute = now.replace(second=0, microsecond=0)

    def outage(repository: str, hours_ago: float, minutes: int, *, change: str, mend: str, errors: tuple[str, ...]) -> Outage:
        began = minute - round(hours_ago * 60) * MINUTE
        return Outage(repository, began, began + minutes * MINUTE, change, mend, errors)

    return (
        outage(
            "acme/call-routing",
            76.2,
            26,
            change="Ask the presence service before every offer",
            mend="Offer calls without waiting for the presence service",
            errors=(
                "presence service did not answer within 2 s",
                "call {call} was offered to no agent",
                "queue {queue}: 14 calls wait, none is offered",
            ),
        ),
        outage(
            "acme/crm-sync",
            30.4,
            44,
            change="Send contacts in batches of 500",
            mend="Send contacts in batches of 50",
            errors=("the CRM refused a batch of 500 contacts: 413 Payload Too Large", "contact {contact} was not updated, attempt 5 of 5"),
        ),
        outage(
            "acme/agent-desktop",
            5.6,
            38,
            change="Keep agents’ sessions in the new session store",
            mend="Open only eight connections to the session store",
            errors=("502", "503", "500"),
        ),
    )
