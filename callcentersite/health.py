"""/healthz: status 200 if the database, the broker and the log store answer, else 503. The body has the result of each of the three."""

from collections.abc import Callable

from django.db import connection
from django.http import HttpRequest, JsonResponse

from etl_tasks import pipeline
from log_store.opening import open_log_store


def health(request: HttpRequest) -> JsonResponse:
    checks: dict[str, Callable[[], object]] = {
        "database": _check_database,
        "broker": pipeline.check_broker,
        "log_store": lambda: open_log_store().ping(),
    }
    results = {name: _result(check) for name, check in checks.items()}
    return JsonResponse(results, status=200 if set(results.values()) == {"ok"} else 503)


def _result(check: Callable[[], object]) -> str:
    try:
        check()
    except Exception as exc:  # noqa: BLE001  any failure means that the server does not work
        return f"failed: {type(exc).__name__}"  # without the message, because a driver may quote a password in it
    return "ok"


def _check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
