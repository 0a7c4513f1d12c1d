"""Select the local dates of events that charts mark."""

from datetime import date

from django.conf import settings

from dora_metrics.calculators.periods import local_date, start_of
from dora_metrics.models import Attempt, Incident, Service


def event_dates(service: Service, start: date, end: date) -> dict[str, list[date]]:
    """Return the local dates of the service's incidents and failed deployments in [start, end), in production, by time.

    An incident has the date of its start, and a deployment that of its finish. Two queries.
    """
    zone = settings.ETL_TIME_ZONE
    span = (start_of(start, zone), start_of(end, zone))
    incidents = Incident.objects.filter(service=service, started_at__gte=span[0], started_at__lt=span[1])
    failed = Attempt.objects.filter(service=service, finished_at__gte=span[0], finished_at__lt=span[1], is_failed=True)
    return {
        "incidents": [local_date(moment, zone) for moment in incidents.order_by("started_at").values_list("started_at", flat=True)],
        "failed_deployments": [local_date(moment, zone) for moment in failed.order_by("finished_at").values_list("finished_at", flat=True)],
    }
