"""The kinds of facts that sources deliver: their table, natural key and version. Sources name them; loaders/facts.py loads by them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from dora_metrics.models import Change, Commit, Deployment, GithubFact, Issue, Release, WorkflowRun

WORKFLOW_RUN_RETENTION = timedelta(days=400)  # GitHub's; a run that is missing after that was not deleted


@dataclass(frozen=True, slots=True)
class FactKind:
    """How facts of one kind are stored.

    `key`: the columns of the natural key, beside the repository. `version`: the column that tells which of two answers is newer; empty
    for facts that never change. `part_of`: the kind whose rows this one extends: its lists are appended, and it creates no rows.
    `sorted_by`: for each list that has an order, the key of its items to sort by. `kept_for`: how long GitHub keeps such a record.
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
