"""The services and sources of the installation, and the generated repositories that they collect."""

from datetime import UTC, datetime, timedelta
from typing import Any

from github_stand_in.worlds.ordinary import ordinary_world
from soak.misbehaviour import ODD

END = datetime(2026, 3, 20, 1, tzinfo=UTC)
BEGIN = END - timedelta(days=25)  # the stand-in's clock when the soak begins; every new night sets it forward by a day
LOG_BEGIN = END - timedelta(days=12)
DAYS = 60

# By service: its repositories, and whether it has a log.
SERVICES: dict[str, tuple[tuple[str, ...], bool]] = {
    "billing": (("acme/billing", "acme/invoices"), False),
    "calls": ((), True),
    "odd": ((ODD,), False),
    "odd-calls": ((), True),
}
ODD_LOG_SERVICE = "odd-calls"  # its log has bad lines
UNDISTURBED = "undisturbed-"  # begins the names of the services that are collected without any fault


def repositories() -> dict[str, Any]:
    names = [repository for found, _ in SERVICES.values() for repository in found]
    return {name: ordinary_world(name, end=END, days=DAYS, seed=number) for number, name in enumerate(names)}


def log_source_of(service: str) -> str:
    return f"{service}-log"


def add_services(patterns: dict[str, str], *, prefix: str = "", is_strict: bool = True) -> None:
    """Create all services with their sources. `patterns`: the files of each log, by service."""
    from dora_metrics.models import Service
    from etl_tasks.models import Source

    for name, (found, _) in SERVICES.items():
        kind = Service.DeploymentsFrom.LOGS if name == "calls" else Service.DeploymentsFrom.AUTO
        service = Service.objects.create(name=f"{prefix}{name}", deployments_from=kind)
        for repository in found:
            Source.objects.create(name=f"{prefix}{repository.partition('/')[2]}", service=service, kind="github", repository=repository)
        if name in patterns:
            Source.objects.create(
                name=f"{prefix}{log_source_of(name)}",
                service=service,
                kind="logs",
                path=patterns[name],
                log_format="json",
                is_strict=is_strict and name == ODD_LOG_SERVICE,
                every_minutes=None if prefix else 1,
                deploy_pattern=r"deployed (?P<sha>[0-9a-f]{7,40}) to (?P<environment>\w+)",
            )
