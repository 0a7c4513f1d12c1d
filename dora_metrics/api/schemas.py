"""The fields of the rows that the API and dora_export return. serializers.py fills them. The OpenAPI description is made from them.

A value in a row that is unknown or missing is null, never 0 and never an empty text. Only a `Member` has empty texts.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict  # before Python 3.12, typing's TypedDict does not tell pydantic which keys are required

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Date = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
Seconds = Annotated[float | None, Field(ge=0)]
Number = int | float | None

ServiceName = Annotated[str, Field(description="the service that it belongs to")]
RepositoryName = Annotated[str | None, Field(description="the GitHub repository that it belongs to, owner/name; null: none is known")]
Url = Annotated[str | None, Field(description="its page on GitHub; for a fact from the logs, the path of a page on this host")]
StagedPage = Annotated[int, Field(description="id of the staged page that it came from")]
QualityFlags = Annotated[list[str], Field(description="notes on its quality; `flags` says what each means")]
DeploymentKey = Annotated[str | None, Field(description="`external_id` of the deployment; null: none is known")]


class Reason(TypedDict):
    reason: Annotated[str, Field(description="state, incident, revert, hotfix or rollback")]
    fact: Annotated[
        str, Field(description="the fact that met the rule: `issue 12`, `logs 2026-02-28T09:15Z`, `pull request 7`, `deployment 55`, `status`")
    ]
    ended_at: Annotated[Time | None, Field(description="when it ended the failure; null: it has not")]


class Mended(TypedDict):
    reason: Annotated[str, Field(description="rollback, revert, hotfix or fix")]
    fact: Annotated[str, Field(description="the fact that met the rule")]


class Deployment(TypedDict):
    """A finished attempt to put a commit into production (docs/metrics.md, "Deployment")."""

    service: ServiceName
    repository: RepositoryName
    external_id: Annotated[
        str, Field(description="its id in the source that counts: 12, 34.2 for the second attempt of a workflow run, an event's id")
    ]
    ids: Annotated[list[str], Field(description="its id and those of the failed attempts that it retried")]
    source: Annotated[str, Field(description="github, logs, releases, workflows or pulls")]
    environment: str
    sha: Annotated[str | None, Field(description="the deployed commit")]
    started_at: Time
    finished_at: Time
    succeeded: Annotated[bool, Field(description="whether the attempt itself succeeded")]
    failed: Annotated[bool | None, Field(description="whether it counts as failed; null if issues or changes were not collected")]
    reasons: Annotated[list[Reason], Field(description="why it counts as failed")]
    unplanned: Annotated[bool | None, Field(description="whether it was rework; null in the same cases as `failed`")]
    unplanned_reasons: Annotated[list[Mended], Field(description="why it was unplanned")]
    recovered_at: Annotated[Time | None, Field(description="null if it did not fail or has not recovered")]
    recovered_by: Annotated[str | None, Field(description="the fact that ended the failure")]
    recovery_seconds: Annotated[Seconds, Field(description="seconds from its finish to its recovery")]
    quality_flags: QualityFlags
    url: Url
    staged_page: StagedPage


class Stages(TypedDict):
    """The seconds of each stage; null if the start or end of the stage is unknown."""

    coding: Seconds
    draft: Seconds
    pickup: Seconds
    review: Seconds
    deploy: Seconds


class Change(TypedDict):
    """A merged pull request (docs/metrics.md, "Change lead time"). If it was not deployed, the fields about its deployment are null."""

    service: ServiceName
    repository: RepositoryName
    external_id: Annotated[str | None, Field(description="GitHub's database id; null if GitHub gave none")]
    number: int
    title: str
    author: Annotated[str | None, Field(description="null: the user was deleted")]
    by_bot: Annotated[bool, Field(description="its author is a bot: it is left out of the metrics, and counted beside them")]
    base_branch: str
    merge_sha: Annotated[str | None, Field(description="the merge commit")]
    created_at: Time
    merged_at: Time
    change_start: Annotated[Time | None, Field(description="its creation, or its first commit's date if that is earlier")]
    deployment: DeploymentKey
    deployed_at: Time | None
    matched_by: Annotated[str | None, Field(description="how it was matched to the deployment: sha, range or time_matched")]
    lead_time_seconds: Annotated[Seconds, Field(description="from change start to the deployment")]
    stages: Stages
    quality_flags: QualityFlags
    url: Url
    staged_page: StagedPage


class LogErrors(TypedDict):
    source: Annotated[str, Field(description="the log's name")]
    events: int
    errors: int
    url: Annotated[str, Field(description="the path of the page on this host that shows the errors")]


class LogEvidence(TypedDict):
    """The bad minutes of an incident from the logs, and their events and errors (docs/metrics.md, "Incidents from logs")."""

    first_minute: Time
    last_minute: Annotated[Time, Field(description="its beginning")]
    bad_minutes: int
    events: int
    errors: int
    sources: Annotated[list[LogErrors], Field(description="the logs with errors in those minutes, most errors first")]


class Incident(TypedDict):
    """An incident, from an issue or from the logs (docs/metrics.md, "Incident")."""

    service: ServiceName
    repository: RepositoryName
    external_id: Annotated[str, Field(description="`issue 12` or `logs 2026-02-28T09:15Z`, as the reasons of deployments name it")]
    number: Annotated[int | None, Field(description="its issue's number; null for an incident from the logs")]
    title: str
    started_at: Time
    ended_at: Annotated[Time | None, Field(description="null while it is open")]
    duration_seconds: Seconds
    deployment: DeploymentKey
    linked_by: Annotated[str | None, Field(description="how it was linked to the deployment: explicit, revert or time")]
    logs: Annotated[LogEvidence | None, Field(description="null for an incident from an issue")]
    quality_flags: QualityFlags
    url: Url
    staged_page: StagedPage


class Coverage(TypedDict):
    stream: str
    repository: Annotated[str | None, Field(description="owner/name; null for the streams of logs")]
    since: Time
    until: Time


class Service(TypedDict):
    """A service, which is the unit that metrics belong to, and the settings that determine its numbers."""

    name: str
    repositories: Annotated[list[str], Field(description="every owner/name that GitHub has known its repositories by")]
    default_branch: Annotated[str | None, Field(description="null if it is not collected yet or the service has several repositories")]
    deployments_from: Annotated[str, Field(description="the source that counts: auto, github, logs, releases, workflows or pulls")]
    production: Annotated[str, Field(description="environments that are production (regex)")]
    workflow: Annotated[str, Field(description="workflows that deploy (regex)")]
    prereleases: bool
    incident_label: Annotated[str | None, Field(description="labels of incidents (regex); null: no issues are collected")]
    hotfix: Annotated[str | None, Field(description="labels and branches of hotfixes (regex); null: there are no hotfixes")]
    look_back_hours: int
    log_incidents: Annotated[bool, Field(description="minutes in a row with many errors in the logs are incidents")]
    log_minute_events: Annotated[int, Field(description="a minute with fewer log events is never bad")]
    log_error_share: Annotated[float, Field(description="percent; a minute is bad when more of its log events are errors")]
    log_bad_minutes: Annotated[int, Field(description="so many bad minutes in a row begin an incident")]
    log_good_minutes: Annotated[int, Field(description="so many minutes in a row that are not bad end it")]
    log_issue_hours: Annotated[int, Field(description="one that begins within so many hours of the start of an issue's incident is the same outage")]
    path: Annotated[str | None, Field(description="only pull requests that change a matching file are changes")]
    bots: list[str]
    coverage: Annotated[list[Coverage], Field(description="the spans in which its facts are complete; outside of them they are unknown")]
    created_at: Time


class DeploymentFrequency(TypedDict):
    value: Number
    unit: Literal["deployments/day"]
    deployments: int | None
    deploy_days: int | None
    deploy_days_per_week: Number
    tier: str | None


class Stage(TypedDict):
    p50: Number
    n: int | None


class StageMedians(TypedDict):
    coding: Stage
    draft: Stage
    pickup: Stage
    review: Stage
    deploy: Stage


class ChangeLeadTime(TypedDict):
    p50: Number
    p75: Number
    p90: Number
    unit: Literal["seconds"]
    n: int | None
    n_bots: int | None
    tier: str | None
    stages: StageMedians


class ChangeFailRate(TypedDict):
    value: Number
    failed: int | None
    deployments: Annotated[int | None, Field(description="all finished attempts; in the other metrics, successes")]
    reasons: Annotated[dict[str, int] | None, Field(description="failed deployments by reason; one may have several")]
    unlinked_incidents: int | None
    devlake_value: Number
    tier: str | None


class MeanTimeToRestore(TypedDict):
    mean: Number
    n: int | None


class RecoveryTime(TypedDict):
    p50: Number
    p75: Number
    p90: Number
    unit: Literal["seconds"]
    n: int | None
    n_open: int | None
    tier: str | None
    mean_time_to_restore: MeanTimeToRestore


class ReworkRate(TypedDict):
    value: Number
    unplanned: int | None
    deployments: int | None


class Period(TypedDict):
    start: Date
    end: Annotated[Date, Field(description="exclusive")]
    partial: Annotated[bool, Field(description="it still runs, or collection began inside it")]
    deployment_frequency: DeploymentFrequency
    change_lead_time: ChangeLeadTime
    change_fail_rate: ChangeFailRate
    failed_deployment_recovery_time: RecoveryTime
    deployment_rework_rate: ReworkRate
    quality_flags: QualityFlags
    metric_flags: Annotated[dict[str, list[str]], Field(description="the flags of each metric, by its name")]


# Not a class, because "from" is a Python keyword and cannot be the name of a field.
Report = TypedDict(
    "Report",
    {
        "service": str,
        "environment": str,
        "from": Date,
        "to": Annotated[Date, Field(description="exclusive")],
        "by": Literal["day", "week", "month", "range"],
        "time_zone": Annotated[str, Field(description="the time zone of its dates")],
        "definition_version": Annotated[str, Field(description="the version of docs/metrics.md")],
        "periods": list[Period],
    },
)


class ExplainedPeriod(TypedDict):
    kind: Annotated[str, Field(description="day, week or month")]
    start: Date
    end: Annotated[Date, Field(description="exclusive")]


class CollectedDays(TypedDict):
    start: Date
    end: Annotated[Date, Field(description="exclusive")]
    days: int


class Member(TypedDict):
    """One deployment, change or incident that counts in a value."""

    kind: Annotated[str, Field(description="deployment, change or incident")]
    repository: Annotated[str, Field(description="the GitHub repository that it belongs to, owner/name; empty: none is known")]
    key: Annotated[str, Field(description="its `external_id` in the lists of facts; for a change, `pull request` and its number")]
    at: Annotated[Time, Field(description="the time that places it in the period")]
    title: str
    counts: Annotated[dict[str, float], Field(description="how much it adds to each number of the report; a duration is under `seconds`")]
    rules: Annotated[list[str], Field(description="the rules that placed it, in words")]
    quality_flags: list[str]
    url: Annotated[str, Field(description="its page on GitHub, or the path of a page on this host; empty if it has none")]
    staged_page: StagedPage


class Explanation(TypedDict):
    """One value and the facts that count in it (docs/metrics.md)."""

    service: ServiceName
    environment: str
    metric: str
    period: ExplainedPeriod
    collected: Annotated[CollectedDays | None, Field(description="the days that count; null: none was collected")]
    time_zone: str
    definition_version: str
    deployments_from: Annotated[str, Field(description="the source that counts")]
    value: Annotated[float | None, Field(description="null is unknown")]
    unit: str
    numbers: Annotated[dict[str, Any], Field(description="the other numbers of the report")]
    sums: Annotated[dict[str, float], Field(description="the totals of the members' counts")]
    arithmetic: Annotated[str, Field(description="how the value is computed, in one line")]
    quality_flags: list[str]
    flags: Annotated[dict[str, str], Field(description="what each flag means")]
    members: list[Member]
