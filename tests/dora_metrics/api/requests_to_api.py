"""Send requests to the API, and store rows for it to return."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.test import Client

from dora_metrics.models import Attempt, Change, Incident, Service
from tests.dora_metrics.stored_rows import repository_of

LISTS = ("deployments", "changes", "incidents")
ENDPOINTS = ("services", "metrics", *LISTS)
TIME = {"deployments": "finished_at", "changes": "merged_at", "incidents": "started_at"}
STORED = {"deployments": Attempt, "changes": Change, "incidents": Incident}


def get(client: Client, what: str, status: int = 200, **asked: Any) -> Any:
    response = client.get(what if what.startswith("/") else f"/api/v1/{what}", asked)
    assert response.status_code == status, response.content
    return response.json()


def pages(client: Client, what: str, **asked: Any) -> Iterator[dict[str, Any]]:
    page = get(client, what, **asked)
    yield page
    while page["next"]:
        assert page["next"].startswith("/api/v1/")
        page = get(client, page["next"])
        yield page


def table(client: Client, what: str, **asked: Any) -> list[dict[str, str]]:
    response = client.get(f"/api/v1/{what}", {"format": "csv", **asked})
    assert response.status_code == 200, response.content
    assert response.streaming
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(response.getvalue().decode(), newline="")))


def attempt(service: Service, key: str, finished_at: datetime, **values: Any) -> Attempt:
    common = {"source": "github", "environment": "production", "is_success": True, "is_failed": False, "is_unplanned": False, "page_id": 1}
    return Attempt.objects.create(service=service, key=key, started_at=finished_at, finished_at=finished_at, **common, **values)


def merged(service: Service, number: int, merged_at: datetime, **values: Any) -> Change:
    times = dict.fromkeys(("created_at", "merged_at", "version_at"), merged_at)
    place = {"service": service, "repository": repository_of(service)}
    return Change.objects.create(number=number, state="merged", run_id=1, page_id=1, head_sha="a", **place, **times, **values)
