"""What `etl_status` says that a person must do."""

from collections.abc import Iterator

from django.utils.timezone import now
from django.utils.translation import gettext as _

from etl_tasks.doctor.findings import Finding, ok, problem
from etl_tasks.models import Source
from etl_tasks.night_report import NeedKind, report_last_night


def check_runs() -> Iterator[Finding]:
    """Check last night's runs, overdue sources, open dead letters and failures outside of runs."""
    if not Source.objects.exists():
        return
    report = report_last_night(now())
    for need in report.needs:
        subject, _colon, rest = need.sentence.partition(": ")
        if need.kind is NeedKind.FAULT:
            yield problem(subject, rest, _("The worker's log has the whole error"))
            continue
        sentence, _second, action = rest.partition(": ")
        yield problem(subject, sentence, action[:1].upper() + action[1:])
    if not report.needs:
        yield ok(_("runs"), report.sentence)
