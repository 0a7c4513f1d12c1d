"""The kinds of facts that sources deliver, each with its table, natural key and version.

A source delivers facts with the name of their kind, and loaders/facts.py loads them as KINDS says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from dora_metrics.models import Change, Commit, Deployment, GithubFact, Issue, Release, WorkflowRun

WORKFLOW_RUN_RETENTION = timedelta(days=400)  # how long GitHub keeps a run; if an older run is missing, GitHub itself has deleted it


@dataclass(frozen=True, slots=True)
class FactKind:
    """How facts of one kind are stored.

    `key`: the columns of the natural key, without the repository. `version`: the column whose value is higher in the newer of two answers;
    empty for facts that never change. `part_of`: if it names another kind, facts of this kind get no rows of their own: their items are
    added to the lists in that kind's rows. `sorted_by`: for each list column with an order, the key of the items by which they are
    sorted. `kept_for`: how long GitHub keeps such a record; None if it keeps the record for good.
    """

    model: type[GithubFact]
    key: tuple[str, ...]
    version: str = ""
    part_of: str = ""
    sorted_by: Mapping[str, str] = field(default_factory=dict)
    kept_for: timedelta | None = None


KINDS: Mapping[str, FactKind] = {
    "deployment": FactKind(Deployment, ("external_id",), "version_at"),
    "deployment_rest": FactKind(Deployment, ("external_id",), "version_at", part_of="deployment", sorted_by={"statuses": "created_at"}),
    "workflow_run": FactKind(WorkflowRun, ("external_id", "attempt"), "version_at", kept_for=WORKFLOW_RUN_RETENTION),
    "change": FactKind(Change, ("number",), "version_at"),
    "change_rest": FactKind(Change, ("number",), "version_at", part_of="change"),
    "issue": FactKind(Issue, ("number",), "version_at"),
    "issue_rest": FactKind(Issue, ("number",), "version_at", part_of="issue"),
    "release": FactKind(Release, ("external_id",), "version_at"),
    "commit": FactKind(Commit, ("sha",)),
    "commit_rest": FactKind(Commit, ("sha",), part_of="commit"),
}
