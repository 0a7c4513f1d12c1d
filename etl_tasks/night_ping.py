"""Report each night to HEARTBEAT_URL, a service outside of this installation that alerts people when the report does not come.

An alert that this installation has to send itself cannot report that the whole installation is down. The protocol is that of healthchecks.io
(https://healthchecks.io/docs/http_api/): a POST to the URL after a good night, to URL/fail after a bad one, with the night's summary as
the body, and to URL/start when the night begins, from which the service measures how long a night takes.
"""

import logging
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.utils.timezone import now
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from dora_metrics.alerts.http_post import PostFailed, post
from etl_tasks.bounded_checks import BoundedCheck, Unanswered
from etl_tasks.models import NightPing
from etl_tasks.night_report import NightReport, report_last_night
from etl_tasks.night_schedule import UnusableSchedule, last_night_due_at

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 4.0
# The longest time that the sweep waits for the service. A timeout of a request does not cover the look-up of the host's name.
LONGEST_WAIT_SECONDS = 10.0
LONGEST_BODY = 3000  # characters
# A run that still waits for GitHub's next hour so long after the night was due does not delay the report any more.
POSTPONED_FOR = timedelta(hours=6)
KEPT_FOR = timedelta(days=92)


class PingFailed(OSError):
    """The service could not be told. The message does not contain the URL, with which anybody could report good nights."""


def ping() -> None:
    """Report the last night if it has begun, is decided, or was mended since it was reported as bad.

    Each report is sent once. One that fails is sent again by the next sweep. Raises PingFailed.
    """
    if not settings.HEARTBEAT_URL:
        return
    moment = now()
    try:
        due = last_night_due_at(moment)
    except UnusableSchedule:
        return  # the start of the night reports it
    if due is None:
        return
    told, _ = NightPing.objects.get_or_create(due=due)
    if told.verdict == NightPing.Verdict.GOOD:
        return
    report = report_last_night(moment)
    verdict = verdict_of(report, moment)
    if verdict and verdict != told.verdict:
        _send("" if verdict == NightPing.Verdict.GOOD else "/fail", report.sentence)
        NightPing.objects.filter(pk=told.pk).update(verdict=verdict, is_start_sent=True, sent_at=moment)
        NightPing.objects.filter(due__lt=moment - KEPT_FOR).delete()
        logger.info("night_pinged", extra={"verdict": str(verdict)})
    elif not verdict and not told.is_start_sent:
        _send("/start", report.sentence, is_optional=True)
        NightPing.objects.filter(pk=told.pk).update(is_start_sent=True)


def verdict_of(report: NightReport, moment: datetime) -> NightPing.Verdict:
    """Return whether the night was good or bad; UNTOLD if its runs have not ended yet.

    A night is good if no source has failed or did not run. Dead letters of single records do not make it bad.
    """
    states = {outcome.state for outcome in report.outcomes}
    undecided = {"under way", "waiting"}
    if report.due and moment < report.due + POSTPONED_FOR:
        undecided.add("postponed")
    if states & undecided:
        return NightPing.Verdict.UNTOLD
    return NightPing.Verdict.BAD if states & {"failed", "missing"} else NightPing.Verdict.GOOD


def address(url: str, suffix: str) -> str:
    """Return the URL with the suffix appended to its path, before a query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + suffix)) if suffix else url


def _send(suffix: str, sentence: str, *, is_optional: bool = False) -> None:
    """Send one report. `is_optional`: whether the service may answer that it does not know the address. Raises PingFailed."""
    waiting = BoundedCheck().begin(partial(_post, address(settings.HEARTBEAT_URL, suffix), sentence[:LONGEST_BODY].encode()))
    try:
        waiting(LONGEST_WAIT_SECONDS)
    except Unanswered:
        raise PingFailed(f"the server of HEARTBEAT_URL has not answered within {LONGEST_WAIT_SECONDS:g} seconds") from None
    except PostFailed as exc:
        if is_optional and exc.status is not None and 400 <= exc.status < 500:
            return
        raise PingFailed(f"the server of HEARTBEAT_URL {exc}") from None


@retry(retry=retry_if_exception_type(PostFailed), stop=stop_after_attempt(2), wait=wait_fixed(0.5), reraise=True)
def _post(url: str, body: bytes) -> None:
    post(url, body, content_type="text/plain; charset=utf-8", timeout_s=TIMEOUT_SECONDS)
