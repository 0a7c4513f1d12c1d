"""/healthz, /readyz and /metrics: what monitors ask.

| address | question | answer |
| --- | --- | --- |
| /healthz | does this process work? | 200 without asking any server |
| /readyz | does everything work? | 200, or 503 if anything does not; JSON says what |
| /metrics | the numbers | Prometheus' text format: prometheus.py |

Anybody may ask /healthz, and whether /readyz is well. Who may read the details and the numbers says `may_read_details`.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.http.request import split_domain_port, validate_host
from django.utils.crypto import constant_time_compare
from django.utils.timezone import now

from callcentersite import prometheus
from etl_tasks import ledger_statistics
from etl_tasks.bounded_checks import BoundedCheck, Unanswered
from etl_tasks.component_states import component_states

logger = logging.getLogger(__name__)

READY_SECONDS = 6.0  # the longest wait for an answer of /readyz: the servers have three seconds, the rest is for what the database stores
METRICS_SECONDS = 9.0  # below Prometheus' own limit of ten
# An answer of /readyz is given again for this long, so that many requests do not become many requests to the servers.
FRESH_SECONDS = 3.0
# A proxy adds at least one of these headers. A request with one of them may come from anywhere, whatever address it comes from at last.
FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
HOW_TO_READ = "set METRICS_TOKEN, and send it as `Authorization: Bearer TOKEN` (docs/operate.md)\n"


class MonitoringMiddleware:
    """Answers the three addresses before any other middleware sees the request.

    A monitor or an orchestrator inside the network uses http and an address or a container's name, which need not be in ALLOWED_HOSTS. And
    a session would have to be read from the database, which may hang.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        view = VIEWS.get(request.path_info)
        if view is None:
            return self._get_response(request)
        response = view(request) if request.method in ("GET", "HEAD") else HttpResponseNotAllowed(["GET", "HEAD"])
        response["Cache-Control"] = "no-store"
        response["X-Content-Type-Options"] = "nosniff"
        return response


def healthz(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    report = readiness.report()
    shown = report if may_read_details(request) else {"status": report["status"]}
    return JsonResponse(shown, status=200 if report["status"] == "ok" else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    if not may_read_details(request):
        response = HttpResponse(HOW_TO_READ, status=401 if settings.METRICS_TOKEN else 403, content_type="text/plain; charset=utf-8")
        if settings.METRICS_TOKEN:
            response["WWW-Authenticate"] = "Bearer"
        return response
    try:
        content_type, body = prometheus.exposition(accept=request.headers.get("Accept", ""), timeout_s=METRICS_SECONDS)
    except Exception:
        logger.exception("metrics_failed")
        return HttpResponse("the numbers cannot be read: see the log of the web process\n", status=500, content_type="text/plain; charset=utf-8")
    return HttpResponse(body, content_type=content_type)


VIEWS: dict[str, Callable[[HttpRequest], HttpResponse]] = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}


# --- who may read it ------------------------------------------------------------------------------------------------


def may_read_details(request: HttpRequest) -> bool:
    """Return whether the request may read which component fails, and the numbers.

    If METRICS_TOKEN is set, every request needs it. Otherwise a request must come directly, without a proxy, from this machine or a private
    network.
    """
    if settings.METRICS_TOKEN:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and constant_time_compare(token.strip(), settings.METRICS_TOKEN)
    return _is_private(request.META.get("REMOTE_ADDR", "")) and not any(name in request.headers for name in FORWARDED) and _is_host_inside(request)


def _is_private(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:  # empty if gunicorn listens on a unix socket: then a proxy is in front
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_private


def _is_host_inside(request: HttpRequest) -> bool:
    """Return whether the Host header is one of ALLOWED_HOSTS, an address, or a name without a dot, such as a container's.

    A page on the internet may let its own name point to a private address, so that the browser of somebody inside reads from there (DNS
    rebinding). But then the Host header has the page's name.
    """
    host, _ = split_domain_port(request.META.get("HTTP_HOST", ""))
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return bool(host) and ("." not in host or validate_host(host, [name for name in settings.ALLOWED_HOSTS if name != "*"]))
    return True


# --- readiness ------------------------------------------------------------------------------------------------------


class Readiness:
    """The answer of /readyz. It is ready after READY_SECONDS, even if the database hangs."""

    def __init__(self) -> None:
        self._check = BoundedCheck()
        self._latest: tuple[float, dict[str, Any]] | None = None

    def report(self) -> dict[str, Any]:
        if self._latest and time.monotonic() < self._latest[0] + FRESH_SECONDS:
            return self._latest[1]
        try:
            report: dict[str, Any] = self._check.begin(build_report)(READY_SECONDS)
        except Unanswered:
            return _failing(f"database: it has not answered within {READY_SECONDS:g} seconds")
        except Exception as exc:
            logger.exception("readiness_failed")
            return _failing(f"the check itself failed ({type(exc).__name__}): see the log of the web process")
        self._latest = time.monotonic(), report
        return report


readiness = Readiness()


def build_report() -> dict[str, Any]:
    states = component_states()
    is_database_ok = all(state.is_ok for state in states if state.name in ("database", "migrations"))
    return {
        "status": "ok" if all(state.is_ok for state in states) else "failing",
        "checked_at": now().isoformat(),
        "wrong": [f"{state.name}: {state.sentence}" for state in states if state.is_ok is False],
        "components": {
            state.name: {
                "status": {True: "ok", False: "failing", None: "unknown"}[state.is_ok],
                "what": state.sentence,
                "seen_at": _iso(state.seen_at),
            }
            for state in states
        },
        "last_success": {name: _iso(moment) for name, moment in ledger_statistics.last_successes().items()} if is_database_ok else None,
    }


def _failing(reason: str) -> dict[str, Any]:
    return {"status": "failing", "checked_at": now().isoformat(), "wrong": [reason], "components": {}, "last_success": None}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
