"""What the metrics of a service depend on beside its facts: the spans in which the facts were collected."""

from datetime import date, datetime

from django.conf import settings

from dora_metrics.calculators.periods import local_date
from dora_metrics.models import Coverage, Incident, Service

Span = tuple[int | None, str, datetime, datetime | date]


def spans_for_metrics(service: Service) -> list[Span]:
    """Return the collected spans of the service as exactly as its metrics depend on them. If they and the facts are equal, so are the metrics.

    Metrics count whole days, so of the end of a span only its local date matters. There are two exceptions. On the first day of a span, the
    exact end says whether two spans overlap. While an incident from the logs is open, the exact end says whether it is over.
    """
    rows = Coverage.objects.filter(service=service).order_by("pk").values_list("repository_id", "stream", "since", "until")
    spans = [(repository, stream, since, until, local_date(until, settings.ETL_TIME_ZONE)) for repository, stream, since, until in rows]
    first_days = {local_date(since, settings.ETL_TIME_ZONE) for _, _, since, _, _ in spans}
    has_open_incident = Incident.objects.filter(service=service, number=None, ended_at=None).exists()
    return [(repository, stream, since, until if has_open_incident or day in first_days else day) for repository, stream, since, until, day in spans]
