"""Tell whether the stored attempts, deliveries and incidents of a service still follow from its facts and settings."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, Max, Sum

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.calculators.log_incidents import ONE_HOUR, ONE_MINUTE
from dora_metrics.derivation.program import program_digest
from dora_metrics.derivation.stored_facts import hours_with_errors
from dora_metrics.models import Coverage, LogDeployment, MetricsSummary, Repository, Service

TRUSTED_DAYS = 7


class FactsState(NamedTuple):
    """What differs if a fact differs. `hours`: empty if incidents do not follow from the logs."""

    repositories: list[list[Any]]
    deployments: dict[str, Any]
    hours: dict[str, Any]


def state_of_facts(service: Service, repositories: Iterable[Repository]) -> FactsState:
    """Return what differs if a fact differs. Call it before the facts are read.

    GitHub's facts are represented by the version that each repository counts, and those of logs by sums over the rows that matter. Each load
    of a row stores the id of another page in it.
    """
    sums = {"rows": Count("pk"), "last": Max("pk"), "pages": Sum("page_id")}
    deployments = LogDeployment.objects.filter(service=service).aggregate(**sums)
    of_hours = sums | {"events": Sum("events"), "errors": Sum("errors"), "latest": Max("hour")}
    hours = hours_with_errors(service).aggregate(**of_hours) if service.log_incidents else {}
    return FactsState([_identity(repository) for repository in repositories], deployments, hours)


def _identity(repository: Repository) -> list[Any]:
    names = repository.name, sorted(repository.names), repository.default_branch, sorted(repository.default_branches)
    return [repository.pk, repository.facts_version, *names]


def digest_of_inputs(service: Service, state: FactsState, known: LinkedFacts, *, moment: datetime) -> str:
    """Return a digest of everything from which attempts, deliveries and incidents are derived. If two are equal, the rows are.

    It is another one each week, so whatever it leaves out is not left out for long. Services have different days, so not all have it in one night.
    Of the collected spans, it matters whether failures are known, and how far the logs were read while an incident from the logs may be open.
    `state`: as `state_of_facts` returns it. `known`: its settings, source and coverage are used. `moment`: as for `recompute`.
    """
    inputs = [
        [program_digest(), DEFINITION_VERSION, service.path],
        {**asdict(known.settings), "time_zone": "", "bots": sorted(known.settings.bots)},
        [known.source, known.coverage.failures is not None, _logs_read_until(service, state.hours.get("latest"), moment=moment)],
        list(state),
        (moment.toordinal() + service.pk) // TRUSTED_DAYS,
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _logs_read_until(service: Service, latest: datetime | None, *, moment: datetime) -> datetime | str | None:
    """Return how far the logs were read, or "far enough" if all incidents from the logs are over.

    The stored incidents do not tell that: one that is left out because an issue reports the same outage may become another outage when it is
    over. `latest`: the latest hour that may have a bad minute; None if there is none.
    """
    if latest is None:
        return None
    read = Coverage.objects.filter(service=service, repository=None, stream="log_events").values_list("until", flat=True).first()
    until = min(read, moment) if read else None
    return "far enough" if until and until >= latest + ONE_HOUR + service.log_good_minutes * ONE_MINUTE else until


def are_current(service: Service, digest: str) -> bool:
    """Return whether the stored rows were derived from the inputs with this digest."""
    return MetricsSummary.objects.filter(service=service, derived_from=digest).exists()
