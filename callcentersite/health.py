"""/healthz: 200 while database, broker and log store answer, else 503 and which of them does not."""

from collections.abc import Callable

from django.db import connection
from django.http import HttpRequest, JsonResponse

from etl_tasks import pipeline
from log_store.opening import open_log_store


def health(request: HttpRequest) -> JsonResponse:
    checks: dict[str, Callable[[], object]] = {
        "database": _ask_database,
        "broker": pipeline.check_broker,
        "log_store": lambda: open_log_store().ping(),
    }
    answers = {name: _answer(ask) for name, ask in checks.items()}
    # The kind of failure only: a driver's message may quote a password.
    return JsonResponse(answers, status=200 if set(answers.values()) == {"ok"} else 503)


def _answer(ask: Callable[[], object]) -> str:
    try:
        ask()
    except Exception as exc:  # noqa: BLE001  whatever it is, the part does not work, and that is the answer
        return f"failed: {type(exc).__name__}"
    return "ok"


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
