"""Throw random faults at a whole installation on real servers, and check the promises: scripts/soak --seed 7 --minutes 10

The same seed and length give the same plan of faults. Exit status: 0 if every promise was kept, 1 if not; the folder with all logs then stays.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from github_stand_in.server import StandIn
from soak import worlds
from soak.plan import GRACE_S, LEASE_S, SOFT_LIMIT_S, plan
from soak.report import Report
from soak.servers import Servers
from tests.tcp_proxy import Proxy

SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "callcentersite.settings",
    "DJANGO_SECRET_KEY": "only-for-the-soak",
    "GITHUB_TOKEN": "token-of-the-stand-in",
    "GITHUB_TIMEOUT_SECONDS": "3",
    "ETL_BACKOFF_SECONDS": "0",
    "ETL_BACKOFF_MAX_SECONDS": "0",
    "ETL_STAGE_BACKOFF_SECONDS": "1",
    "ETL_STAGE_BACKOFF_MAX_SECONDS": "2",
    "ETL_STAGE_RETRIES": "3",
    "ETL_STAGE_SOFT_LIMIT_SECONDS": str(SOFT_LIMIT_S),
    "ETL_LEASE_SECONDS": str(LEASE_S),
    "ETL_GRACE_SECONDS": str(GRACE_S),
    "ETL_SWEEP_SECONDS": "1",
    "ALERT_EMAILS": "",
    "ALERT_WEBHOOK_URL": "",
    "HEARTBEAT_URL": "",
}


def main() -> int:
    options = _options()
    seconds = options.seconds if options.seconds else options.minutes * 60
    if options.plan:
        for step in plan(options.seed, seconds=seconds):
            print(step)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    report = Report()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers and processes are stopped
    report.say(f"seed {options.seed}, {seconds:.0f} s of faults, folder {folder}")
    with ExitStack() as stack:
        servers = stack.enter_context(Servers(folder / "servers"))
        github = stack.enter_context(StandIn(worlds.repositories(), clock=worlds.BEGIN, limit=1_000_000))
        github_proxy = stack.enter_context(Proxy(int(github.url.rpartition(":")[2])))
        os.environ.update(SETTINGS | servers.direct() | _of(folder, github.url))
        report.say("MariaDB, Redis and Cassandra run")
        _soak(folder, servers, report, options.seed, seconds, github, github_proxy)
    report.print_counts()
    kept = not report.violations
    report.say(f"seed {options.seed}: {'every promise was kept' if kept else f'{len(report.violations)} VIOLATIONS; everything is in {folder}'}")
    if kept and not options.keep:
        shutil.rmtree(folder)
    return 0 if kept else 1


def _soak(folder: Path, servers: Servers, report: Report, seed: int, seconds: float, github: StandIn, github_proxy: Proxy) -> None:
    import django

    django.setup()
    logging.disable(logging.CRITICAL)  # the alerts and errors of the worker are in its log
    from soak.installation import Installation  # after the settings

    with Installation(folder, servers, report, seed=seed, seconds=seconds, github=github, github_proxy=github_proxy) as installation:
        report.say("the installation runs")
        installation.soak()


def _of(folder: Path, github_url: str) -> dict[str, str]:
    return {
        "CALLCENTERSITE_VAR": str(folder / "var"),
        "LOG_ROOTS": str(folder),
        "GITHUB_API_URL": github_url,
        "GITHUB_GRAPHQL_URL": f"{github_url}/graphql",
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=2, help="how long faults are thrown")
    parser.add_argument("--seconds", type=float, help="the same in seconds")
    parser.add_argument("--plan", action="store_true", help="only print what would be done, and when")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs even if every promise was kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
