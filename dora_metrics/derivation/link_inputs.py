"""Tell whether the stored attempts, deliveries and incidents of a service still follow from its facts and settings."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Sum

from dora_metrics.calculators import DEFINITION_VERSION
from dora_metrics.calculators.linked_facts import LinkedFacts
from dora_metrics.derivation.program import program_digest
from dora_metrics.derivation.stored_facts import hours_with_errors
from dora_metrics.models import Coverage, Incident, LogDeployment, MetricsSummary, Repository, Service


def state_of_facts(service: Service, repositories: Iterable[Repository]) -> list[Any]:
    """Return what differs if a fact differs. Call it before the facts are read.

    GitHub's facts are represented by the version that each repository counts, and those of logs by sums over the rows that matter. Each load
    of a row stores the id of another page in it.
    """
    sums = {"rows": Count("pk"), "last": Max("pk"), "pages": Sum("page_id")}
    deployments = LogDeployment.objects.filter(service=service).aggregate(**sums)
    hours = hours_with_errors(service).aggregate(**sums, events=Sum("events"), errors=Sum("errors")) if service.log_incidents else {}
    return [[_identity(repository) for repository in repositories], deployments, hours]


def _identity(repository: Repository) -> list[Any]:
    names = repository.name, sorted(repository.names), repository.default_branch, sorted(repository.default_branches)
    return [repository.pk, repository.facts_version, *names]


def digest_of_inputs(service: Service, state: Iterable[Any], known: LinkedFacts) -> str:
    """Return a digest of everything from which attempts, deliveries and incidents are derived. If two are equal, the rows are.

    Of the collected spans, it matters whether failures are known. While an incident from the logs is open, it also matters how far the logs
    were read. `state`: as `state_of_facts` returns it. `known`: its settings, source and coverage are used.
    """
    inputs = [
        [program_digest(), DEFINITION_VERSION, service.path],
        {**asdict(known.settings), "time_zone": "", "bots": sorted(known.settings.bots)},
        [known.source, known.coverage.failures is not None, _logs_read_until(service)],
        list(state),
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _logs_read_until(service: Service) -> datetime | None:
    if not Incident.objects.filter(service=service, number=None, ended_at=None).exists():
        return None
    return Coverage.objects.filter(service=service, repository=None, stream="log_events").values_list("until", flat=True).first()


def are_current(service: Service, digest: str) -> bool:
    """Return whether the stored rows were derived from the inputs with this digest."""
    return MetricsSummary.objects.filter(service=service, derived_from=digest).exists()
