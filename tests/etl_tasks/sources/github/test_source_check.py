"""Check what the credentials can read before the first run, with the command and the admin's button."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from dora_metrics.models import Change
from etl_tasks.models import Cursor, ETLRun, Source, StagedPage
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import show, source_of

pytestmark = pytest.mark.django_db


def checked(name: str = "billing") -> str:
    out = StringIO()
    call_command("check_source", name, stdout=out)
    return out.getvalue()


def refused(name: str = "billing") -> str:
    out = StringIO()
    with pytest.raises(CommandError, match=rf"{name} cannot be read as it is set") as told:
        call_command("check_source", name, stdout=out)
    assert told.value.returncode == 1
    return out.getvalue()


def test_it_counts_what_there_is_and_stores_nothing(billing: Source, github: StandIn, world: World) -> None:
    said = checked()

    assert "acme/billing can be read (public, default branch main)." in said
    head = world.head(END)
    assert head
    for name, there in {
        "commits": world.history(head),
        "pull_requests": world.pull_requests(END),
        "issues": world.issues(END),
        "deployments": world.deployments(END),
        "releases": world.releases(END),
        "workflow_runs": world.workflow_runs(END),
    }.items():
        assert f"{name}: {len(there)}." in said.splitlines()
    assert github.counts["requests"] <= 3
    assert not any(model.objects.exists() for model in (ETLRun, StagedPage, Cursor, Change))


def test_it_names_what_stays_empty_and_what_is_not_asked_for(github: StandIn) -> None:
    show(github, World("acme/new", end=END))
    source_of("acme/new", deployments_from="github", incident_label="")
    said = checked("new")

    assert "empty: it has no commit yet" in said
    assert "deployments: 0, the stream stays empty." in said
    assert "issues: not asked for by the service's settings." in said


@pytest.mark.parametrize(
    ("forbidden", "stream", "permission"),
    [("issues", "issues", "Issues"), ("deployments", "deployments", "Deployments"), ("actions", "workflow_runs", "Actions")],
)
def test_it_names_the_permission_that_is_missing(billing: Source, github: StandIn, settings, forbidden: str, stream: str, permission: str) -> None:
    github.access.forbidden = {settings.GITHUB_CREDENTIALS[""]["token"]: {forbidden}}
    said = refused()

    [line] = [line for line in said.splitlines() if line.startswith(f"{stream}: ")]
    assert f"“{permission}: read”" in line
    assert "pull_requests: " in said, "its neighbours are told"


def test_a_repository_that_is_not_there_and_a_wrong_token_are_one_sentence_each(billing: Source, github: StandIn, settings) -> None:
    source_of("acme/nowhere")
    assert "does not exist, or the token may not read it (permission “Metadata: read”)" in refused("nowhere")

    settings.GITHUB_CREDENTIALS = {"": {**settings.GITHUB_CREDENTIALS[""], "token": "wrong"}}
    assert refused().splitlines() == ["GitHub does not accept the token (HTTP 401): GITHUB_TOKEN is wrong, expired or revoked"]


def test_an_unknown_source_is_one_sentence(db: None) -> None:
    with pytest.raises(CommandError, match="there is no source 'nobody'"):
        call_command("check_source", "nobody")


def test_the_cost_that_it_foretells_is_about_the_one_that_is_paid(billing: Source, github: StandIn) -> None:
    from tests.etl_tasks.sources.github.nights import night, spent

    [line] = [line for line in checked().splitlines() if line.startswith("A first collection")]
    foretold = int(line.split(" points and requests")[0].split()[-1])
    spent(github)
    night(billing)
    counts = spent(github)

    assert abs(foretold - counts["points"] - counts["rest"]) <= 5, (foretold, counts)


def test_the_admins_button_says_the_same(admin_client: Client, billing: Source, github: StandIn) -> None:
    form = {"action": "test_connection", "_selected_action": [billing.pk]}
    page = admin_client.post(reverse("admin:etl_tasks_source_changelist"), form, follow=True).content.decode()
    assert "acme/billing can be read" in page
    github.faults = {"outage": True}
    page = admin_client.post(reverse("admin:etl_tasks_source_changelist"), form, follow=True).content.decode()

    assert "GitHub answered HTTP 502" in page
