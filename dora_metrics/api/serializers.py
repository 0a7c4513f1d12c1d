"""Turn stored rows into the rows of the API, dora_export and dora_report, and define their CSV columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from dora_metrics import models
from dora_metrics.api import schemas
from dora_metrics.api.csv import Columns
from dora_metrics.calculators.bots import is_bot
from dora_metrics.calculators.lead_time_stages import STAGES

Row = Mapping[str, Any]
Reader = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of row.

    `row`: the function that makes a row from a model instance. `columns`: the functions that read the CSV cells from a row.
    """

    row: Callable[[Any], Row]
    columns: Columns


def deployment(attempt: models.Attempt) -> schemas.Deployment:
    recovered_at = attempt.recovered_at
    return {
        "service": attempt.service.name,
        "repository": _name_of(attempt.repository),
        "external_id": attempt.key,
        "ids": attempt.ids,
        "source": attempt.source,
        "environment": attempt.environment,
        "sha": attempt.sha or None,
        "started_at": iso(attempt.started_at),
        "finished_at": iso(attempt.finished_at),
        "succeeded": attempt.is_success,
        "failed": attempt.is_failed,
        "reasons": [{"reason": cause["rule"], "fact": cause["fact"], "ended_at": cause["ended_at"]} for cause in attempt.causes],
        "unplanned": attempt.is_unplanned,
        "unplanned_reasons": [{"reason": cause["rule"], "fact": cause["fact"]} for cause in attempt.unplanned],
        "recovered_at": iso_or_none(recovered_at),
        "recovered_by": attempt.recovered_by or None,
        "recovery_seconds": (recovered_at - attempt.finished_at).total_seconds() if recovered_at else None,
        "quality_flags": attempt.flags,
        "url": attempt.url or None,
        "staged_page": attempt.page_id,
    }


def change(change: models.Change) -> schemas.Change:
    delivery: models.Delivery | None = getattr(change, "delivery", None)
    stages = delivery.stages if delivery else {}
    return {
        "service": change.service.name,
        "repository": _name_of(change.repository),
        "external_id": str(change.external_id) if change.external_id is not None else None,
        "number": change.number,
        "title": change.title,
        "author": change.author or None,
        "by_bot": delivery.is_bots if delivery else is_bot(change.author, change.author_is_bot, frozenset(change.service.bots)),
        "base_branch": change.base_branch,
        "merge_sha": change.merge_sha or None,
        "created_at": iso(change.created_at),
        "merged_at": iso(_merge_time(change)),
        "change_start": iso_or_none(delivery.change_start if delivery else None),
        "deployment": delivery.deployment if delivery else None,
        "deployed_at": iso_or_none(delivery.deployed_at if delivery else None),
        "matched_by": delivery.how if delivery else None,
        "lead_time_seconds": delivery.lead_time_seconds if delivery else None,
        "stages": {
            "coding": stages.get("coding"),
            "draft": stages.get("draft"),
            "pickup": stages.get("pickup"),
            "review": stages.get("review"),
            "deploy": stages.get("deploy"),
        },
        "quality_flags": delivery.flags if delivery else [],
        "url": change.url or None,
        "staged_page": change.page_id,
    }


def incident(incident: models.Incident) -> schemas.Incident:
    ended_at = incident.ended_at
    return {
        "service": incident.service.name,
        "repository": _name_of(incident.repository),
        "external_id": incident.key,
        "number": incident.number,
        "title": incident.title,
        "started_at": iso(incident.started_at),
        "ended_at": iso_or_none(ended_at),
        "duration_seconds": (ended_at - incident.started_at).total_seconds() if ended_at else None,
        "deployment": incident.deployment or None,
        "linked_by": incident.how or None,
        "logs": log_evidence(incident.evidence) if incident.evidence else None,
        "quality_flags": incident.flags,
        "url": incident.url or None,
        "staged_page": incident.page_id,
    }


def log_evidence(evidence: Row) -> schemas.LogEvidence:
    return {
        "first_minute": evidence["first_minute"],
        "last_minute": evidence["last_minute"],
        "bad_minutes": evidence["bad_minutes"],
        "events": evidence["events"],
        "errors": evidence["errors"],
        "sources": evidence["sources"],
    }


def service(service: models.Service) -> schemas.Service:
    repositories = list(service.repositories.all())
    name_of = {repository.pk: repository.name or None for repository in repositories}
    return {
        "name": service.name,
        "repositories": list(dict.fromkeys(name for repository in repositories for name in repository.names)),
        "default_branch": repositories[0].default_branch or None if len(repositories) == 1 else None,
        "deployments_from": service.deployments_from,
        "production": service.production,
        "workflow": service.workflow,
        "prereleases": service.prereleases,
        "incident_label": service.incident_label or None,
        "hotfix": service.hotfix or None,
        "look_back_hours": service.look_back_hours,
        "log_incidents": service.log_incidents,
        "log_minute_events": service.log_minute_events,
        "log_error_share": service.log_error_share,
        "log_bad_minutes": service.log_bad_minutes,
        "log_good_minutes": service.log_good_minutes,
        "log_issue_hours": service.log_issue_hours,
        "path": service.path or None,
        "bots": service.bots,
        "coverage": [
            {"stream": span.stream, "repository": name_of.get(span.repository_id or 0), "since": iso(span.since), "until": iso(span.until)}
            for span in service.coverage.all()
        ],
        "created_at": iso(service.created_at),
    }


def periods(reports: Iterable[Row]) -> Iterator[Row]:
    """Yield the periods of the reports as rows, each with the fields that identify its report."""
    for report in reports:
        of_report = {name: report[name] for name in ("service", "environment", "by", "time_zone", "definition_version")}
        for period in report["periods"]:
            yield {**of_report, **period}


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def iso_or_none(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None


def _name_of(repository: models.Repository | None) -> str | None:
    return repository.name or None if repository else None


def _merge_time(change: models.Change) -> datetime:
    if change.merged_at is None:
        raise ValueError("a pull request that is not merged is not a change")
    return change.merged_at


# --- CSV: one column for each field, nested fields flattened -----------------------------------------------------------


def path(*names: str) -> Reader:
    def read(row: Row) -> Any:
        found: Any = row
        for name in names:
            found = found[name]
        return found

    return read


def _joined(name: str, key: str = "", between: str = " ") -> Reader:
    """Return a function that joins the items of a list in one cell.

    `name`: the field that has the list. `key`: the field to take of each item, if the items are objects. `between`: the separator.
    """
    return lambda row: between.join(str(item[key] if key else item) for item in row[name])


def _coverage_in_a_cell(row: Row) -> str:
    """Return the collected span of each stream, all in one text. If the service has several repositories, their names are in front of the spans."""
    has_several = len({span["repository"] for span in row["coverage"] if span["repository"]}) > 1
    prefixes = (f"{span['repository']}:" if has_several and span["repository"] else "" for span in row["coverage"])
    return " ".join(f"{prefix}{span['stream']}={span['since']}/{span['until']}" for prefix, span in zip(prefixes, row["coverage"], strict=True))


def _of_logs(read: Reader) -> Reader:
    """Return a function that reads a cell from the log evidence of an incident. The cell of an incident from an issue is empty."""
    return lambda row: read(row["logs"]) if row["logs"] else None


def _columns(schema: Any, nested: Mapping[str, Columns]) -> Columns:
    """Return a column for each field of the schema, in the order of the fields.

    `nested`: for the name of a field with a list or an object, the columns that replace it.
    """
    flags: dict[str, Columns] = {"quality_flags": {"quality_flags": _joined("quality_flags")}}
    return {column: read for name in schema.__annotations__ for column, read in (flags | dict(nested)).get(name, {name: itemgetter(name)}).items()}


DEPLOYMENTS = Kind(
    deployment,
    _columns(
        schemas.Deployment,
        {
            "ids": {"ids": _joined("ids")},
            "reasons": {"reasons": _joined("reasons", "reason"), "reason_facts": _joined("reasons", "fact", "; ")},
            "unplanned_reasons": {
                "unplanned_reasons": _joined("unplanned_reasons", "reason"),
                "unplanned_facts": _joined("unplanned_reasons", "fact", "; "),
            },
        },
    ),
)
CHANGES = Kind(change, _columns(schemas.Change, {"stages": {f"{stage}_seconds": path("stages", stage) for stage in STAGES}}))
INCIDENTS = Kind(
    incident,
    _columns(
        schemas.Incident,
        {
            "logs": {
                "logs": _of_logs(_joined("sources", "source")),
                **{f"log_{name}": _of_logs(itemgetter(name)) for name in ("first_minute", "last_minute", "bad_minutes", "events", "errors")},
            }
        },
    ),
)
SERVICES = Kind(
    service,
    _columns(
        schemas.Service,
        {
            "repositories": {"repositories": _joined("repositories")},
            "bots": {"bots": _joined("bots")},
            "coverage": {"coverage": _coverage_in_a_cell},
        },
    ),
)
METRIC_COLUMNS: Columns = {
    "deployments_per_day": path("deployment_frequency", "value"),
    "deployments": path("deployment_frequency", "deployments"),
    "deploy_days_per_week": path("deployment_frequency", "deploy_days_per_week"),
    "lead_time_p50_seconds": path("change_lead_time", "p50"),
    "lead_time_p90_seconds": path("change_lead_time", "p90"),
    "changes": path("change_lead_time", "n"),
    "change_fail_rate": path("change_fail_rate", "value"),
    "recovery_p50_seconds": path("failed_deployment_recovery_time", "p50"),
    "rework_rate": path("deployment_rework_rate", "value"),
}
PERIOD_COLUMNS: Columns = {
    **{name: itemgetter(name) for name in ("service", "environment", "start", "end", "partial")},
    **METRIC_COLUMNS,
    "quality_flags": _joined("quality_flags"),
}
