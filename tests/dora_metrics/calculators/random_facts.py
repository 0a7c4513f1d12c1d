"""Hypothesis strategies for the facts of small services, in any combination."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import settings as configured
from hypothesis import strategies as st

from dora_metrics.calculators.inputs import (
    DraftEvent,
    Facts,
    GithubDeployment,
    Issue,
    Links,
    LogDeployment,
    LogHour,
    PullRequest,
    Release,
    RevertSigns,
    Review,
    Status,
)
from dora_metrics.calculators.inputs import WorkflowRun as Run
from dora_metrics.calculators.service_settings import Settings
from tests.dora_metrics.calculators.examples import at, covering

patient = configured(deadline=None, max_examples=60)
SHAS = [f"abcdef{number}" for number in range(8)]
HERE = "acme/billing"
FIRST_DAY, LAST_DAY = -8, 9
NUMBERS, ISSUES = range(1, 7), range(100, 104)

moments = st.integers(FIRST_DAY * 24 * 4, LAST_DAY * 24 * 4).map(lambda quarters: at(0, minutes=15 * quarters))
shas = st.sampled_from([*SHAS, "gone1234", ""])
environments = st.sampled_from(["production", "production", "prod-eu", "staging"])


def several(one, most=3):
    return st.lists(one, max_size=most).map(tuple)


links = st.builds(
    Links,
    deployments=several(st.sampled_from(["1", "2", "3", SHAS[1], "abcdef"]), 1),
    root_causes=several(st.sampled_from([SHAS[2], "abcdef3", "inner12"]), 1),
    caused_by=several(st.sampled_from(NUMBERS), 1),
)
signs = st.one_of(
    st.just(RevertSigns()),
    st.just(RevertSigns()),
    st.builds(RevertSigns, pull=st.sampled_from(NUMBERS), pull_repository=st.sampled_from(["", HERE, "acme/other"])),
    st.builds(RevertSigns, branch=st.sampled_from(NUMBERS)),
    st.builds(RevertSigns, sha=st.sampled_from([*SHAS, "inner12"])),
    st.just(RevertSigns(has_title=True)),
)
pull_requests = st.builds(
    PullRequest,
    number=st.sampled_from(NUMBERS),
    author=st.sampled_from(["ada", "grace", "renovate[bot]"]),
    author_is_bot=st.just(False),
    base_branch=st.sampled_from(["main", "main", "topic"]),
    head_sha=shas,
    merge_sha=shas,
    created_at=moments,
    merged_at=moments,
    authored_at=several(moments),
    reviews=several(st.builds(Review, st.sampled_from(["ada", "grace"]), st.booleans(), moments)),
    draft_events=several(st.builds(DraftEvent, st.sampled_from(["ready_for_review", "convert_to_draft"]), moments)),
    closed_at=st.none() | moments,
    head_branch=st.sampled_from(["topic", "hotfix/1"]),
    labels=several(st.sampled_from(["bug", "hotfix"]), 2),
    commit_shas=several(st.sampled_from(["inner12", "inner34", SHAS[3]]), 2),
    closes=several(st.tuples(st.sampled_from([HERE, HERE.upper(), "acme/other"]), st.sampled_from(ISSUES)), 2),
    revert_signs=signs,
    links=links,
)
issues = st.builds(
    Issue,
    number=st.sampled_from(ISSUES),
    created_at=moments,
    closed_at=st.none() | moments,
    state_reason=st.sampled_from(["", "completed", "not_planned"]),
    labels=several(st.sampled_from(["incident", "incident", "bug"]), 2),
    links=links,
)
deployments = st.builds(
    GithubDeployment,
    id=st.integers(1, 12).map(str),
    environment=environments,
    sha=shas,
    created_at=moments,
    statuses=several(st.builds(Status, st.sampled_from(["success", "success", "failure", "in_progress", "inactive"]), moments)),
)
workflow_runs = st.builds(
    Run,
    id=st.integers(1, 4).map(str),
    attempt=st.integers(1, 3),
    name=st.sampled_from(["Deploy", "Tests"]),
    path=st.just("ci.yml"),
    branch=st.just("main"),
    event=st.just("push"),
    sha=shas,
    conclusion=st.sampled_from(["success", "failure", "cancelled"]),
    started_at=moments,
    updated_at=moments,
)
log_deployments = st.builds(
    LogDeployment,
    id=st.integers(1, 12).map(str),
    time=moments,
    sha=shas,
    environment=st.sampled_from(["", "production", "staging"]),
    state=st.sampled_from(["", "success", "failed", "started"]),
)
log_hours = st.builds(
    LogHour,
    source=st.sampled_from(["web", "worker"]),
    hour=st.integers(FIRST_DAY * 24, LAST_DAY * 24).map(lambda hours: at(0, hours=hours)),
    minutes=st.tuples(st.integers(0, 50), st.integers(1, 70)).map(lambda span: dict.fromkeys(range(span[0], min(60, sum(span))), (40, 9))),
)
releases = st.builds(
    Release, id=st.integers(1, 4).map(str), sha=shas, is_draft=st.booleans(), is_prerelease=st.booleans(), published_at=st.none() | moments
)


@st.composite
def histories(draw):
    """Draw a history in which a commit has up to two earlier commits as parents. Some parents were not collected."""
    return {
        sha: tuple(sorted(draw(st.sets(st.sampled_from([*SHAS[:number], "gone1234"]), max_size=2))) if number else ())
        for number, sha in enumerate(SHAS)
    }


def of_a_repository(name, *, first_id=1):
    """Return strategies for one repository. GitHub's ids are unique; numbers and commits may also occur in the other repository."""
    ids = st.integers(first_id, first_id + 11).map(str)
    return {
        "deployments": st.lists(with_ids(deployments, ids), max_size=8, unique_by=lambda one: one.id).map(tuple),
        "workflow_runs": st.lists(with_ids(workflow_runs, ids), max_size=4, unique_by=lambda one: (one.id, one.attempt)).map(tuple),
        "releases": st.lists(with_ids(releases, ids), max_size=3, unique_by=lambda one: one.id).map(tuple),
        "pull_requests": st.lists(pull_requests, max_size=6, unique_by=lambda one: one.number).map(tuple),
        "issues": st.lists(issues, max_size=4, unique_by=lambda one: one.number).map(tuple),
        "repository": st.just(name),
        "repositories": st.just(frozenset({name})),
        "parents": histories(),
        "default_branch": st.sampled_from(["main", ""]),
    }


def with_ids(facts, ids):
    return st.builds(lambda fact, number: replace(fact, id=number), facts, ids)


services = st.builds(
    Facts,
    **of_a_repository(HERE),
    log_deployments=st.lists(log_deployments, max_size=6, unique_by=lambda one: one.id).map(tuple),
    log_hours=st.lists(log_hours, max_size=4).map(tuple),
    coverage=st.sampled_from([covering(at(FIRST_DAY), at(LAST_DAY)), covering(at(-3, hours=5), at(2, hours=7))]),
    others=st.just(()) | st.tuples(st.builds(Facts, **of_a_repository("acme/other", first_id=13))),
)
settings = st.builds(
    Settings,
    time_zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/Los_Angeles"]),
    deployments_from=st.sampled_from(["auto", "github", "github", "github", "logs", "releases", "workflows", "pulls"]),
    look_back_hours=st.sampled_from([168, 24]),
)
now = at(LAST_DAY) + timedelta(days=100)
