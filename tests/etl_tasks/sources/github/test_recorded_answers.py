"""Process recordings of real GitHub answers and logs, which are not part of this repository. Skipped where they are missing."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from pytest_django import Settings

from dora_metrics import selectors
from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Attempt, Change, Commit, Coverage, Deployment, WorkflowRun
from etl_tasks import inline, ledger
from etl_tasks.loaders import facts
from etl_tasks.models import Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.github import mapping
from log_store.opening import open_log_store

RECORDED = Path(settings.BASE_DIR).parent / "shared" / "data"
pytestmark = [pytest.mark.django_db, pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not here")]


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RECORDED / "github-ants" / name).read_text().splitlines()]


def load(kind: str, raw: list[Any], source: Source) -> None:
    found = list(mapping.to_facts(kind, raw))
    assert [one.error for one in found if isinstance(one, Bad)] == []
    good = [one.fact for one in found if isinstance(one, Good)]
    facts.upsert(kind, good, repository=source.ensure_facts_repository(), run_id=1, page_id=1)
    again = facts.upsert(kind, good, repository=source.ensure_facts_repository(), run_id=2, page_id=2)
    assert again.written == 0


def actor(user: dict[str, Any] | None) -> dict[str, Any] | None:
    return user and {"__typename": user["type"], "login": user["login"]}


def test_workflow_runs_with_every_conclusion_load(billing: Source) -> None:
    runs = recorded("runs.ndjson")
    load("workflow_run", runs, billing)
    assert WorkflowRun.objects.count() == len({(run["id"], run["run_attempt"]) for run in runs})
    assert set(WorkflowRun.objects.values_list("conclusion", flat=True)) == {run["conclusion"] or "" for run in runs}


def pull_nodes() -> list[dict[str, Any]]:
    return [
        {
            "databaseId": pull["id"],
            "number": pull["number"],
            "title": pull["title"],
            "url": pull["html_url"],
            "state": "MERGED" if pull["merged_at"] else pull["state"].upper(),
            "createdAt": pull["created_at"],
            "updatedAt": pull["updated_at"],
            "mergedAt": pull["merged_at"],
            "closedAt": pull["closed_at"],
            "baseRefName": pull["base"]["ref"],
            "headRefName": pull["head"]["ref"],
            "headRefOid": pull["head"]["sha"],
            "author": actor(pull["user"]),
            "mergeCommit": {"oid": pull["merge_commit_sha"]} if pull["merge_commit_sha"] else None,
            "labels": {"nodes": [{"name": label["name"]} for label in pull["labels"]]},
            "commits": {"totalCount": 0, "nodes": []},
            "reviews": {"totalCount": 0, "nodes": []},
        }
        for pull in recorded("pull_requests.ndjson")
    ]


def test_pull_requests_load_and_an_unmerged_one_has_no_merge_commit(billing: Source) -> None:
    pulls = recorded("pull_requests.ndjson")
    load("change", pull_nodes(), billing)
    assert Change.objects.count() == len({pull["number"] for pull in pulls})
    assert not Change.objects.filter(merged_at=None).exclude(merge_sha="").exists()
    assert not Change.objects.exclude(merged_at=None).filter(merge_sha="").exists()


def test_commits_without_an_author_load(billing: Source) -> None:
    commits = {commit["sha"]: commit for commit in recorded("pull_request_commits.ndjson")}
    nodes = [
        {
            "oid": sha,
            "authoredDate": commit["commit"]["author"]["date"],
            "committedDate": commit["commit"]["committer"]["date"],
            "author": {"user": {"login": commit["author"]["login"]} if commit.get("author") else None},
            "parents": {"nodes": [{"oid": parent["sha"]} for parent in commit["parents"]]},
        }
        for sha, commit in commits.items()
    ]
    load("commit", nodes, billing)
    assert Commit.objects.count() == len(commits)
    assert Commit.objects.filter(author="").exists()


def deployment_nodes() -> list[dict[str, Any]]:
    return [
        {
            "databaseId": one["DatabaseId"],
            "commitOid": one["CommitOid"],
            "environment": one["Environment"],
            "task": one["Task"],
            "state": one["State"],
            "createdAt": one["CreatedAt"],
            "updatedAt": one["UpdatedAt"],
            "ref": {"name": one["Ref"]["Name"]} if one["Ref"] else None,
            # Five of the seven deployments were recorded without statuses.
            "statuses": {
                "totalCount": len(statuses := one.get("Statuses", {}).get("nodes", [])),
                "nodes": [{"state": status["state"], "createdAt": status["updatedAt"]} for status in statuses],
            },
        }
        for one in recorded("graphql_deployment.ndjson")
    ]


def test_graphql_deployments_load_with_their_statuses_in_order(billing: Source) -> None:
    load("deployment", deployment_nodes(), billing)
    assert Deployment.objects.count() == 7
    for row in Deployment.objects.all():
        assert [status["created_at"] for status in row.statuses] == sorted(status["created_at"] for status in row.statuses)


# --- numbers calculated by hand from the recorded answers -------------------------------------------------------------


def month(source: Source, first: date, *, environment: str = "production", **settings: Any) -> dict[str, Any]:
    """Return the report of the month. All streams but issues count as collected from 2018 to March 2026."""
    service = source.service
    for name, value in settings.items():
        setattr(service, name, value)
    service.save()
    service.repositories.update(default_branch="master")
    span = {"since": datetime(2018, 1, 1, tzinfo=UTC), "until": datetime(2026, 3, 1, tzinfo=UTC)}
    for stream in ("deployments", "workflow_runs", "pull_requests", "commits"):
        Coverage.objects.get_or_create(service=service, repository=source.ensure_facts_repository(), stream=stream, defaults=span)
    recompute(service, moment=span["until"])
    asked = {"start": first, "end": first + timedelta(days=1), "by": "month", "environment": environment, "time_zone": "UTC"}
    [found] = selectors.report(service, **asked, now=span["until"])["periods"]
    return found


def test_merged_pull_requests_as_deployments_have_the_lead_times_of_their_pages(billing: Source) -> None:
    """In September 2021, the times from opening to merge were 36:51:00 (#184), 9:50:37 (#185) and 10:45:16 (#186)."""
    load("change", pull_nodes(), billing)
    found = month(billing, date(2021, 9, 1), deployments_from="pulls")
    assert (found["deployment_frequency"]["deployments"], found["deployment_frequency"]["value"]) == (3, 3 / 30)
    lead_time = found["change_lead_time"]
    assert (lead_time["n"], lead_time["p50"], lead_time["p90"]) == (3, 38_716.0, 38_716 + 0.8 * (132_660 - 38_716))
    assert lead_time["stages"]["deploy"] == {"p50": 0.0, "n": 3}
    assert found["change_fail_rate"]["value"] is None  # issues were not collected
    assert found["quality_flags"] == ["low_n", "not_collected", "proxy_pr_merge"]


def test_a_month_without_a_merge_has_a_frequency_of_0_and_no_lead_time(billing: Source) -> None:
    load("change", pull_nodes(), billing)
    found = month(billing, date(2021, 12, 1), deployments_from="pulls")
    assert (found["deployment_frequency"]["value"], found["change_lead_time"]["p50"], found["change_lead_time"]["n"]) == (0.0, None, 0)


def test_runs_on_the_default_branch_that_ended_are_deployments_and_no_others(billing: Source) -> None:
    """One of the 35 runs is a Lint run of a push to master, and it failed. Runs of pull requests and other workflows do not count."""
    runs = recorded("runs.ndjson")
    load("workflow_run", runs, billing)
    [lint] = [run for run in runs if run["name"] == "Lint" and run["event"] == "push"]
    ended = date.fromisoformat(lint["updated_at"][:10])
    found = month(billing, ended.replace(day=1), deployments_from="workflows", workflow="^Lint$")
    assert found["deployment_frequency"]["deployments"] == 0
    [attempt] = Attempt.objects.filter(service=billing.service)
    assert (attempt.key, attempt.is_success, attempt.is_failed) == (f"{lint['id']}.{lint['run_attempt']}", False, True)


def test_a_deployment_that_was_superseded_succeeded_all_the_same(billing: Source) -> None:
    """github-pages was deployed on 14 February (inactive since the 20th) and on the 20th. Five more deployments have no recorded statuses."""
    load("deployment", deployment_nodes(), billing)
    found = month(billing, date(2026, 2, 1), environment="github-pages", deployments_from="github")["deployment_frequency"]
    assert (found["deployments"], found["value"], found["deploy_days"]) == (2, 2 / 28, 2)


def test_ten_thousand_lines_of_an_access_log_are_in_the_log_store(billing: Source, settings: Settings) -> None:
    settings.LOG_ROOTS = [str(RECORDED.resolve())]
    store = open_log_store()
    store.ensure_schema()
    path = RECORDED / "logs" / "apache_access_combined.log"
    source = Source.objects.create(name="recorded-access", service=billing.service, kind="logs", path=str(path), log_format="combined")
    run = ledger.open_run(source, trigger="shell")
    assert run
    inline.run_remaining_stages(run.pk)
    run.refresh_from_db()
    assert (run.status, run.extracted, run.loaded) == ("success", 10_000, 10_000)
    assert store.count("recorded-access", datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)) == 10_000
