"""What every page's template may use."""

from django.conf import settings
from django.http import HttpRequest


def time_zone(request: HttpRequest) -> dict[str, str]:
    return {"ETL_TIME_ZONE": settings.ETL_TIME_ZONE}
