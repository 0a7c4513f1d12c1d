import socket
from datetime import UTC, datetime, timedelta

import pytest

from etl_tasks.doctor import Finding, Level
from etl_tasks.doctor.github_checks import check_credential, check_needed_credentials, credentials_needed, credentials_set, facts_findings
from etl_tasks.models import Source
from etl_tasks.sources.github.token_facts import TokenFacts, facts_of, token_facts
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.conftest import END

TOKEN = "ghp_not-a-real-one"
NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)


def given(token: str = "") -> dict[str, str]:
    return {"token": token, "app_id": "", "private_key": "", "installation_id": ""}


@pytest.fixture
def stand_in(world: World, settings):
    headers = {"X-OAuth-Scopes": "repo, read:org", "GitHub-Authentication-Token-Expiration": "2126-12-31 22:59:59 UTC"}
    with StandIn({"acme/billing": world}, clock=END, token_headers={TOKEN: headers}) as server:
        settings.GITHUB_API_URL = server.url
        settings.GITHUB_CREDENTIALS = {"": given(TOKEN)}
        yield server


def texts(findings: object) -> list[str]:
    return [f"{finding.level} {finding.name}: {finding.sentence}" for finding in findings]  # type: ignore[attr-defined]


def test_github_tells_until_when_a_token_is_valid_what_it_may_do_and_what_is_left(stand_in: StandIn) -> None:
    assert texts(check_credential("")) == [
        "ok GITHUB_TOKEN: GitHub accepts it until 2126-12-31 22:59 UTC",
        "ok GITHUB_TOKEN: its scopes: repo, read:org",
        "ok GITHUB_TOKEN: 5000 of this hour's 5000 points are left",
        "ok GitHub's clock: it agrees with this machine's",
    ]
    assert stand_in.counts["requests"] == 1
    assert token_facts("").expires_at == datetime(2126, 12, 31, 22, 59, 59, tzinfo=UTC)


def test_a_token_that_github_refuses_is_a_problem_and_is_not_shown(stand_in: StandIn, settings) -> None:
    settings.GITHUB_CREDENTIALS = {"": given("wrong")}
    [found] = check_credential("")
    assert found.level is Level.PROBLEM
    assert found.sentence == "GitHub does not accept the token (HTTP 401)"
    assert found.action == "GITHUB_TOKEN is wrong, expired or revoked"


def test_a_credential_that_a_source_needs_and_that_is_not_set_is_a_problem(stand_in: StandIn, billing: Source) -> None:
    Source.objects.create(name="web", service=billing.service, kind="github", repository="acme/web", credential="ACME")
    assert credentials_needed() == {"", "ACME"}
    [found] = check_needed_credentials()
    assert (found.name, found.level) == ("GITHUB_TOKEN_ACME", Level.PROBLEM)
    assert found.action.startswith("Set GITHUB_TOKEN_ACME")


def test_what_is_neither_set_nor_needed_is_not_checked(db: None, settings) -> None:
    settings.GITHUB_CREDENTIALS = {"": given(), "OTHER": given("x")}
    assert (credentials_set(), credentials_needed()) == ({"OTHER"}, set())


def test_github_that_is_down_is_a_problem(settings) -> None:
    settings.GITHUB_CREDENTIALS = {"": given(TOKEN)}
    with socket.socket() as reserved:  # bound, but it does not listen
        reserved.bind(("127.0.0.1", 0))
        settings.GITHUB_API_URL = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        [found] = check_credential("")
    assert (found.level, "cannot be reached" in found.sentence) == (Level.PROBLEM, True), found


def only(**changed: object) -> list[Finding]:
    facts = {"scopes": (), "expires_at": None, "server_time": None, "points_left": None, "points": None, "resets_at": None, **changed}
    return list(facts_findings("GITHUB_TOKEN", TokenFacts(**facts), moment=NOW))  # type: ignore[arg-type]


def test_a_token_that_expires_soon_is_a_warning() -> None:
    [found] = only(expires_at=NOW + timedelta(days=3))
    assert found.level is Level.WARNING
    assert found.sentence == "it expires in 3.0 d, at 2026-11-29 08:00 UTC"
    assert only(expires_at=NOW + timedelta(days=30))[0].level is Level.OK


def test_a_token_that_may_write_more_than_needed_is_a_warning() -> None:
    assert [finding.level for finding in only(scopes=("repo", "delete_repo", "admin:org"))] == [Level.OK, Level.WARNING]
    assert [finding.level for finding in only(scopes=("repo",))] == [Level.OK, Level.OK]


def test_a_limit_that_is_used_up_is_a_warning() -> None:
    used = only(points_left=100, points=5000, resets_at=NOW + timedelta(minutes=20))[-1]
    assert (used.level, "runs wait until 2026-11-26 08:20 UTC" in used.sentence) == (Level.WARNING, True)
    assert only(points_left=4000, points=5000, resets_at=NOW)[-1].level is Level.OK


def test_what_github_does_not_say_is_left_out() -> None:
    facts = facts_of(None, {"Date": "never", "GitHub-Authentication-Token-Expiration": "soon"})
    assert facts == TokenFacts((), None, None, None, None, None)
    expiry = facts_of({}, {"GitHub-Authentication-Token-Expiration": "2026-12-31 18:00:00 -0500"}).expires_at
    assert expiry == datetime(2026, 12, 31, 23, tzinfo=UTC)
