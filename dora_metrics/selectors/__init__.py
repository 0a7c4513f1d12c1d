"""The queries that reports, pages and the API use."""

from dora_metrics.selectors.event_dates import event_dates
from dora_metrics.selectors.fact_pages import ChangeFacts, DeploymentFacts, IncidentFacts, change_facts, deployment_facts, incident_facts
from dora_metrics.selectors.facts import FactFilter, changes, deployments, incidents
from dora_metrics.selectors.keyset_pagination import Keyset, Position
from dora_metrics.selectors.outcomes import Outcome, outcomes_of
from dora_metrics.selectors.report import (
    UNKNOWN,
    UnknownEnvironment,
    begun_periods,
    check_environment,
    report,
    reports,
)
from dora_metrics.selectors.services import UnknownService, services, services_by_name, services_with_coverage

__all__ = [
    "UNKNOWN",
    "ChangeFacts",
    "DeploymentFacts",
    "FactFilter",
    "IncidentFacts",
    "Keyset",
    "Outcome",
    "Position",
    "UnknownEnvironment",
    "UnknownService",
    "begun_periods",
    "change_facts",
    "changes",
    "check_environment",
    "deployment_facts",
    "deployments",
    "event_dates",
    "incident_facts",
    "incidents",
    "outcomes_of",
    "report",
    "reports",
    "services",
    "services_by_name",
    "services_with_coverage",
]
