"""Measure how long a server takes for each page, with a thousand services that have three years of facts.

    scripts/bench pages [--services 1000] [--years 3] [--requests 30] [--folder DIR] [--only TEXT]

The database is SQLite, or the empty database that DATABASE_URL names. One gunicorn process with one worker answers one request after
the other. "first" is the first request for a page, for which nothing has been computed yet; p50 and p95 are those of the others. Time
is what a client on this machine waits. Queries are counted in this process, for the first and for a further request. If there is a
Chromium, it says when it first painted something of the overview, with an empty cache.

With --folder, the database of SQLite is kept there and used again the next time. It takes several minutes and gigabytes to write.
To measure another page, add a line to PAGES.
"""

import argparse
import http.client
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

from benchmarks.servers import cpu_seconds

MOST_QUERIES, LONGEST_MS = 15, 150
PAINTS = 10
# The parts in braces are filled with what the database has: `names_of`.
PAGES = (
    "/",
    "/?period=365d",
    "/?period={month}",
    "/?page=7",
    "/?search=99",
    "/?sort=-change_lead_time",
    "/?sort=-change_lead_time&period=365d",
    "/?sort=deployment_frequency&period=90d",
    "/?environment=staging",
    "/services/{service}/",
    "/services/{service}/?by=month",
    "/services/{service}/?by=day",
    "/compare/?service={service}&service={other}",
    "/services/{service}/change_fail_rate/{month}/",
    "/services/{service}/change_lead_time/{range}/",
    "/services/{service}/deployments/{deployment}/",
    "/services/{service}/changes/{repository}/{change}/",
    "/services/{service}/incidents/{incident}/",
    "/definitions/",
    "/operations/",
    "/operations/live/",
    "/operations/nights/",
    "/operations/components/",
    "/operations/runs/",
    "/operations/runs/{run}/",
    "/operations/sources/{source}/",
    "/operations/letters/",
    "/operations/letters/{letter}/",
    "/operations/letters/like/{letter}/",
    "/operations/durations/",
    "/staged/{staged}/",
    "/setup/",
    "/logs/",
    "/logs/?level=error",
    "/logs/?text=calls/99",
    "/admin/",
    "/admin/dora_metrics/service/",
    "/admin/dora_metrics/dorametric/",
    "/admin/etl_tasks/etlrun/",
)


class Measured(NamedTuple):
    """Times in milliseconds."""

    status: int
    first: float
    p50: float
    p95: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench pages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--years", type=float, default=3)
    parser.add_argument("--requests", type=int, default=30, help="of each page, after the first one")
    parser.add_argument("--folder", type=Path, help="where the database of SQLite is kept")
    parser.add_argument("--only", default="", help="a part of the addresses to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        set_up(folder)
        prepare(options.services, options.years)
        pages = [page.format_map(names_of()) for page in PAGES]
        measure([page for page in pages if options.only in page], options.requests)


def set_up(folder: Path) -> None:
    os.environ |= {
        "CALLCENTERSITE_VAR": str(folder),
        "DATABASE_URL": os.environ.get("DATABASE_URL", f"sqlite:///{folder}/pages.sqlite3"),
        "DJANGO_SETTINGS_MODULE": "callcentersite.settings",
        "DJANGO_SECRET_KEY": secrets.token_hex(32),
        "ETL_LOG_LEVEL": "ERROR",
        "CASSANDRA_CONTACT_POINTS": "",
    }
    import django

    django.setup()


def prepare(services: int, years: float) -> None:
    """Create the tables, and write the services unless a database that is used again has them."""
    from django.core.management import call_command
    from django.db import connection

    from benchmarks.world_of_pages import write_world
    from dora_metrics.models import DORAMetric, Service

    call_command("migrate", verbosity=0)
    if not Service.objects.exists():
        began = time.monotonic()
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA synchronous=OFF")
        write_world(services=services, years=years)
        print(f"the database was written in {time.monotonic() - began:.0f} s")
    print(f"{connection.vendor}, {Service.objects.count()} services, {DORAMetric.objects.count()} stored metrics")


def names_of() -> dict[str, Any]:
    """Return what the addresses of the pages may name."""
    from dashboard.facts.fact_keys import FactKeyConverter
    from dora_metrics.calculators.periods import ONE_DAY
    from dora_metrics.models import Attempt, Delivery, Incident, Service
    from etl_tasks.models import DeadLetter, ETLRun, StagedPage

    written = FactKeyConverter().to_url
    service = Service.objects.order_by("-name")[0]  # of the last template, which deploys most often
    attempt = Attempt.objects.filter(service=service).order_by("-finished_at")[5]
    change = Delivery.objects.filter(service=service).select_related("change").order_by("-deployed_at")[5].change
    last = attempt.finished_at.date()
    return {
        "service": service.name,
        "other": Service.objects.order_by("name")[0].name,
        "month": f"{last.replace(day=1) - ONE_DAY:%Y-%m}",
        "range": f"{last - 90 * ONE_DAY}..{last}",
        "deployment": written(attempt.key),
        "repository": change.repository_id,
        "change": change.number,
        "incident": written(Incident.objects.filter(service=service).order_by("-started_at")[0].key),
        "run": ETLRun.objects.latest("pk").pk,
        "source": ETLRun.objects.latest("pk").source_id,
        "letter": DeadLetter.objects.latest("pk").pk,
        "staged": StagedPage.objects.latest("pk").pk,
    }


def measure(pages: Sequence[str], requests: int) -> None:
    session = log_in()
    counts = {page: count_queries(page) for page in pages}
    with server() as (port, worker):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        found = {page: times_of(connection, page, session=session, requests=requests, worker=worker) for page in pages}
        paints = first_paints(f"http://127.0.0.1:{port}", session)
    print(f"{'page':52}{'status':>7}{'first':>8}{'p50':>7}{'p95':>7}{'CPU':>6}{'queries':>12}")
    for page, times in found.items():
        first, later = counts[page]
        is_slow = times.p95 > LONGEST_MS or max(first, later) > MOST_QUERIES or times.status != 200
        numbers = f"{times.status:>7}{times.first:>8.0f}{times.p50:>7.0f}{times.p95:>7.0f}{times.cpu:>6.0f}{f'{first}, {later}':>12}"
        print(f"{page:52}{numbers}{'  !' if is_slow else ''}")
    if paints:
        print(f"first paint of the overview, with an empty cache: p50 {median(paints):.0f} ms, slowest of {len(paints)} {max(paints):.0f} ms")
    print(f"milliseconds; ! is a p95 above {LONGEST_MS}, more than {MOST_QUERIES} queries, or a status other than 200")


def log_in() -> str:
    """Return the session of somebody who may read everything. A superuser would cost fewer queries."""
    from django.contrib.auth.models import Group, User
    from django.test import Client

    user, _ = User.objects.get_or_create(username="reader", is_staff=True)  # for the admin
    user.groups.add(Group.objects.get(name="Operator"))
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


def count_queries(page: str) -> tuple[int, int]:
    """Return the number of queries of the first request and of a further one."""
    from django.contrib.auth.models import User
    from django.core.cache import caches
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username="reader"))
    caches["overview"].clear()
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as asked:
            response = client.get(page)
            response.getvalue()
        counts.append(len(asked))
    return counts[0], counts[1]


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """Run gunicorn with one worker. Yields its port and the worker's process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gunicorn = Path(sys.executable).parent / "gunicorn"
    process = subprocess.Popen(
        [gunicorn, "callcentersite.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--timeout", "300", "--log-level", "error"],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port, worker_of(process, port)
    finally:
        process.terminate()
        process.wait()


def worker_of(process: subprocess.Popen[bytes], port: int) -> int:
    """Wait until the server answers, and return the process id of its worker."""
    for _ in range(600):
        time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/login/")
            connection.getresponse().read()
        except OSError:
            continue
        return int(children[0])
    raise SystemExit("gunicorn does not answer")


def times_of(connection: http.client.HTTPConnection, page: str, *, session: str, requests: int, worker: int) -> Measured:
    times = []
    cpu = 0.0
    for number in range(requests + 1):
        if number == 1:
            cpu = cpu_seconds(worker)
        began = time.perf_counter()
        connection.request("GET", page, headers={"Cookie": f"sessionid={session}", "Accept-Language": "en"})
        response = connection.getresponse()
        response.read()
        times.append(1000 * (time.perf_counter() - began))
    per_request = 1000 * (cpu_seconds(worker) - cpu) / requests
    later = quantiles(times[1:], n=20, method="inclusive")
    return Measured(response.status, times[0], later[9], later[18], per_request)


def first_paints(address: str, session: str) -> list[float]:
    """Return the times from the request to the first paint of the overview, in milliseconds; none without Chromium."""
    program = shutil.which("chromium")
    if not program:
        return []
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(PAINTS):
            context = browser.new_context(viewport={"width": 1366, "height": 900})
            context.add_cookies([{"name": "sessionid", "value": session, "url": address}])
            page = context.new_page()
            page.goto(address)
            while not (paint := page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")):
                page.wait_for_timeout(10)  # the page may have been loaded before it is painted
            times.append(paint)
            context.close()
        browser.close()
    return times


if __name__ == "__main__":
    main()
