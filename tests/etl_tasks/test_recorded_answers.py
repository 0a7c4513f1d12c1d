"""Real answers and logs, recorded elsewhere, through the same code; where they are at hand."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from dora_metrics.models import Change, Commit, Deployment, WorkflowRun
from etl_tasks import here, ledger, transform
from etl_tasks.loaders import facts
from etl_tasks.loaders.log_store import open_log_store
from etl_tasks.models import Source
from etl_tasks.transform import Bad, Good

RECORDED = Path(settings.BASE_DIR).parent / "shared" / "data"
pytestmark = [pytest.mark.django_db, pytest.mark.skipif(not RECORDED.exists(), reason="the recorded answers are not here")]


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RECORDED / "github-ants" / name).read_text().splitlines()]


def load(kind: str, raw: list[Any], source: Source) -> None:
    found = list(transform.facts(kind, raw))
    assert [one.error for one in found if isinstance(one, Bad)] == []
    good = [one.fact for one in found if isinstance(one, Good)]
    facts.upsert(kind, good, service=source.service, run_id=1, page_id=1)
    again = facts.upsert(kind, good, service=source.service, run_id=2, page_id=2)
    assert again.written == 0


def actor(user: dict[str, Any] | None) -> dict[str, Any] | None:
    return user and {"__typename": user["type"], "login": user["login"]}


def test_workflow_runs_with_every_conclusion_load(billing: Source) -> None:
    runs = recorded("runs.ndjson")
    load("workflow_run", runs, billing)
    assert WorkflowRun.objects.count() == len({(run["id"], run["run_attempt"]) for run in runs})
    assert set(WorkflowRun.objects.values_list("conclusion", flat=True)) == {run["conclusion"] or "" for run in runs}


def test_pull_requests_load_and_an_unmerged_one_has_no_merge_commit(billing: Source) -> None:
    pulls = recorded("pull_requests.ndjson")
    nodes = [
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
        for pull in pulls
    ]
    load("change", nodes, billing)
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


def test_graphql_deployments_load_with_their_statuses_in_order(billing: Source) -> None:
    nodes = [
        {
            "databaseId": one["DatabaseId"],
            "commitOid": one["CommitOid"],
            "environment": one["Environment"],
            "task": one["Task"],
            "state": one["State"],
            "payload": one["Payload"],
            "createdAt": one["CreatedAt"],
            "updatedAt": one["UpdatedAt"],
            "ref": {"name": one["Ref"]["Name"]} if one["Ref"] else None,
            # Five of the seven were recorded without their statuses.
            "statuses": {
                "totalCount": len(statuses := one.get("Statuses", {}).get("nodes", [])),
                "nodes": [{"state": status["state"], "createdAt": status["updatedAt"]} for status in statuses],
            },
        }
        for one in recorded("graphql_deployment.ndjson")
    ]
    load("deployment", nodes, billing)
    assert Deployment.objects.count() == 7
    for row in Deployment.objects.all():
        assert [status["created_at"] for status in row.statuses] == sorted(status["created_at"] for status in row.statuses)


def test_ten_thousand_lines_of_an_access_log_are_in_the_log_store(billing: Source) -> None:
    store = open_log_store()
    store.ensure_schema()
    path = RECORDED / "logs" / "apache_access_combined.log"
    source = Source.objects.create(name="recorded-access", service=billing.service, kind="logs", path=str(path), log_format="combined")
    run = ledger.open_run(source, trigger="shell")
    assert run
    here.run_rest_here(run.pk)
    run.refresh_from_db()
    assert (run.status, run.extracted, run.loaded) == ("success", 10_000, 10_000)
    assert store.count("recorded-access", datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)) == 10_000
