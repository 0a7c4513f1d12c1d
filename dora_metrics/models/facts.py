"""The collected facts. Each has a natural key, the id of the run that loaded it, and the id of the staged page that it was read from."""

from typing import TypeVar

from django.db import models

from dora_metrics.json_column import JSONField
from dora_metrics.models.repository import Repository
from dora_metrics.models.service import Service


class Fact(models.Model):
    """The columns of every fact. `run_id` and `page_id` are not foreign keys, because runs and staged pages are deleted before facts are."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE)
    url = models.TextField(blank=True, help_text="its page on GitHub")
    run_id = models.BigIntegerField()
    page_id = models.BigIntegerField()

    class Meta:
        abstract = True


F = TypeVar("F", bound="GithubFact")


class Present(models.Manager[F]):
    """Selects the facts that count: all except those that were found deleted or transferred on GitHub."""

    def get_queryset(self) -> models.QuerySet[F]:
        return super().get_queryset().filter(gone_at=None)


class GithubFact(Fact):
    """A fact that belongs to one repository. Its natural key is unique only within the repository."""

    # The column needs no index of its own, because the unique constraint of each model begins with it.
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, db_index=False)
    gone_at = models.DateTimeField(
        null=True, blank=True, help_text="when it was found deleted or transferred on GitHub; since then it does not count in any metric"
    )

    objects = models.Manager()
    present = Present()

    class Meta:
        abstract = True


class Deployment(GithubFact):
    """A GitHub deployment with its status history. calculators/deployment_sources.py defines which deployments count as attempts."""

    external_id = models.BigIntegerField(help_text="GitHub's database id")
    node_id = models.CharField(max_length=100, blank=True, help_text="GitHub's global id, for reading it again")
    environment = models.CharField(max_length=255)
    sha = models.CharField(max_length=64)
    ref = models.CharField(max_length=255, blank=True)
    task = models.CharField(max_length=255, blank=True)
    state = models.CharField(max_length=30, blank=True, help_text="state of the latest status")
    creator = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()
    version_at = models.DateTimeField(help_text="when GitHub last changed it; an older version never overwrites a newer one")
    statuses = JSONField(default=list, help_text='[{"state", "created_at", "log_url"}, …], oldest first')
    status_count = models.PositiveIntegerField(
        default=0, help_text="GitHub's count; if it is greater than the number of statuses, the history is incomplete"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repository", "external_id"], name="deployment_once")]
        indexes = [
            models.Index(fields=["repository", "created_at"], name="deployment_by_time"),
            models.Index(fields=["created_at"], name="deployment_of_all"),
        ]

    def __str__(self) -> str:
        return f"{self.environment} {self.sha[:10]}"


class LogDeployment(Fact):
    """A log line that reports a deployment. calculators/deployment_sources.py defines which lines count as attempts."""

    url = models.TextField(blank=True, help_text="the path of the page that shows the line")
    source = models.CharField(max_length=100, help_text="the log's name")
    event_id = models.CharField(max_length=60, help_text="the id by which incidents and changes refer to it")
    time = models.DateTimeField()
    sha = models.CharField(max_length=64, blank=True, help_text="may be shortened; empty if the line names none")
    environment = models.CharField(max_length=255, blank=True, help_text="empty if the line names none; then it is production")
    state = models.CharField(max_length=30, blank=True, help_text="as the line spells it")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["service", "event_id"], name="log_deployment_once")]
        indexes = [
            models.Index(fields=["service", "time"], name="log_deployment_by_time"),
            models.Index(fields=["time"], name="log_deployment_of_all"),
        ]

    def __str__(self) -> str:
        return f"{self.environment} {self.sha[:10]}".strip() or self.event_id


class LogTraffic(models.Model):
    """The numbers of events and errors in the minutes of one hour, counted over the lines that begin in one segment of a log file."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE)
    source = models.CharField(max_length=100, help_text="the log's name")
    segment = models.CharField(max_length=64)
    hour = models.DateTimeField()
    minutes = JSONField(help_text='{"59": [events, errors]}')
    events = models.PositiveIntegerField()
    errors = models.PositiveIntegerField()
    # A minute's share of errors over all segments cannot exceed its greatest share in one segment. So if all rows of an hour have a
    # `worst_share` below the service's setting, no minute of the hour is bad, and the hour is not read.
    worst_share = models.FloatField(help_text="percent; the greatest share of errors in one of its minutes")
    run_id = models.BigIntegerField()
    page_id = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["service", "source", "segment", "hour"], name="log_traffic_once")]
        indexes = [
            models.Index(fields=["service", "hour"], name="log_traffic_by_hour"),
            models.Index(fields=["service", "worst_share", "hour"], name="log_traffic_by_errors"),
        ]
        verbose_name, verbose_name_plural = "log traffic count", "log traffic counts"

    def __str__(self) -> str:
        return f"{self.source} {self.hour:%F %H}h"


class WorkflowRun(GithubFact):
    """One attempt of a GitHub Actions run."""

    external_id = models.BigIntegerField()
    node_id = models.CharField(max_length=100, blank=True)
    attempt = models.PositiveIntegerField()
    name = models.CharField(max_length=255, blank=True)
    path = models.CharField(max_length=500, blank=True)
    branch = models.CharField(max_length=255, blank=True)
    sha = models.CharField(max_length=64)
    event = models.CharField(max_length=60, blank=True)
    status = models.CharField(max_length=30, blank=True)
    conclusion = models.CharField(max_length=30, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField()
    version_at = models.DateTimeField(help_text="updated_at, which is the end of a concluded run")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repository", "external_id", "attempt"], name="workflow_run_once")]
        indexes = [
            models.Index(fields=["repository", "created_at"], name="workflow_run_by_time"),
            models.Index(fields=["created_at"], name="workflow_run_of_all"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.external_id}.{self.attempt}"


class Change(GithubFact):
    """A pull request. Once it is merged it counts as a change."""

    number = models.PositiveIntegerField()
    external_id = models.BigIntegerField(null=True)
    title = models.TextField(blank=True)
    state = models.CharField(max_length=30)
    author = models.CharField(max_length=100, blank=True, help_text="empty for a deleted user")
    author_is_bot = models.BooleanField(default=False)
    base_branch = models.CharField(max_length=255)
    head_branch = models.CharField(max_length=255)
    head_sha = models.CharField(max_length=64)
    merge_sha = models.CharField(max_length=64, blank=True)
    is_draft = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    merged_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    version_at = models.DateTimeField(help_text="updatedAt")
    additions = models.PositiveIntegerField(default=0)
    deletions = models.PositiveIntegerField(default=0)
    changed_files = models.PositiveIntegerField(default=0)
    labels = JSONField(default=list)
    # The lists below are complete for a merged pull request. For any other pull request at most a hundred entries are read, so a list may
    # be shorter than its count.
    commits = JSONField(default=list, help_text='[{"sha", "authored_at"}, …]')
    commit_count = models.PositiveIntegerField(default=0)
    reviews = JSONField(default=list, help_text='[{"login", "is_bot", "submitted_at"}, …]')
    review_count = models.PositiveIntegerField(default=0)
    paths = JSONField(default=list, help_text="changed files, if the service has a path filter")
    draft_events = JSONField(default=list, help_text='[{"kind", "at"}, …]')
    closes = JSONField(default=list, help_text='[{"repository", "number"}, …]: issues that its merge closes')
    revert_signs = JSONField(default=dict, help_text='{"pull", "branch", "sha", "title"}: signs that it reverts something')
    links = JSONField(default=dict, help_text='{"deployments", "root_causes", "caused_by"}: the causes that its body names, if it is a hotfix')

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repository", "number"], name="change_once")]
        indexes = [models.Index(fields=["service", "merged_at"], name="change_by_merge"), models.Index(fields=["merged_at"], name="change_of_all")]

    def __str__(self) -> str:
        return f"#{self.number} {self.title}"[:100]


class Commit(GithubFact):
    """A commit in the history of the default branch or in the history of a deployed commit."""

    sha = models.CharField(max_length=64)
    parents = JSONField(default=list)
    authored_at = models.DateTimeField()
    committed_at = models.DateTimeField()
    author = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repository", "sha"], name="commit_once")]

    def __str__(self) -> str:
        return self.sha[:10]


class Issue(GithubFact):
    """An issue that is not a pull request. calculators/incidents.py defines which issues are incidents."""

    number = models.PositiveIntegerField()
    external_id = models.BigIntegerField(null=True)
    title = models.TextField(blank=True)
    state = models.CharField(max_length=30)
    state_reason = models.CharField(max_length=30, blank=True, help_text="completed, not_planned, duplicate, reopened")
    author = models.CharField(max_length=100, blank=True)
    labels = JSONField(default=list, help_text="its current labels")
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, help_text="when it was last closed; empty while it is open")
    version_at = models.DateTimeField(help_text="updatedAt")
    events = JSONField(default=list, help_text='[{"kind": "closed" or "reopened", "at"}, …]')
    links = JSONField(default=dict, help_text='{"deployments", "root_causes", "caused_by"}: the causes that its body names')

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repository", "number"], name="issue_once")]
        indexes = [
            models.Index(fields=["service", "created_at"], name="issue_by_time"),
            models.Index(fields=["created_at"], name="issue_of_all"),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.title}"[:100]


class Release(GithubFact):
    """A release or a draft of one."""

    external_id = models.BigIntegerField()
    node_id = models.CharField(max_length=100, blank=True)
    tag = models.CharField(max_length=255)
    name = models.TextField(blank=True)
    sha = models.CharField(max_length=64, blank=True, help_text="the tag's commit; empty while there is no tag")
    is_draft = models.BooleanField(default=False)
    is_prerelease = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True)
    version_at = models.DateTimeField(help_text="updatedAt")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repository", "external_id"], name="release_once")]
        indexes = [
            models.Index(fields=["repository", "created_at"], name="release_by_time"),
            models.Index(fields=["created_at"], name="release_of_all"),
        ]

    def __str__(self) -> str:
        return self.tag


class Coverage(models.Model):
    """The span in which the facts of one stream are complete. What happened outside of it is unknown, not zero."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="coverage")
    repository = models.ForeignKey(
        Repository, null=True, on_delete=models.CASCADE, related_name="coverage", db_index=False, help_text="empty for the streams of logs"
    )
    # True in a row without a repository, otherwise NULL. So the constraint allows one row without a repository for each service and stream.
    # A partial index would do the same, but MySQL has none.
    is_of_logs = models.BooleanField(null=True)
    stream = models.CharField(max_length=30)
    since = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["repository", "stream"], name="coverage_once"),
            models.UniqueConstraint(fields=["service", "stream", "is_of_logs"], name="log_coverage_once"),
        ]
        verbose_name, verbose_name_plural = "coverage record", "coverage records"

    def __str__(self) -> str:
        return f"{self.stream}: {self.since:%F} to {self.until:%F}"
