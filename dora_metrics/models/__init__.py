"""The tables: services with their settings, facts, rows that are derived from facts, alert rules, API tokens, and attempts to log in."""

from dora_metrics.models.alerting import AlertEpisode, AlertRule
from dora_metrics.models.api_token import ApiToken
from dora_metrics.models.derived import Attempt, Delivery, DORAMetric, Incident, MetricRevision, MetricsSummary
from dora_metrics.models.facts import Change, Commit, Coverage, Deployment, Fact, GithubFact, Issue, LogDeployment, LogTraffic, Release, WorkflowRun
from dora_metrics.models.login_attempts import LoginAttempts
from dora_metrics.models.repository import Repository
from dora_metrics.models.service import Service, validate_name, validate_pattern

__all__ = [
    "AlertEpisode",
    "AlertRule",
    "ApiToken",
    "Attempt",
    "Change",
    "Commit",
    "Coverage",
    "DORAMetric",
    "Delivery",
    "Deployment",
    "Fact",
    "GithubFact",
    "Incident",
    "Issue",
    "LogDeployment",
    "LogTraffic",
    "LoginAttempts",
    "MetricRevision",
    "MetricsSummary",
    "Release",
    "Repository",
    "Service",
    "WorkflowRun",
    "validate_name",
    "validate_pattern",
]
