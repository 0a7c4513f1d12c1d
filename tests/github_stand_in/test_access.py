"""Access: which repositories and fields a token may read."""

import importlib.util
import time
from datetime import datetime
from typing import Any

import pytest
import requests

from github_stand_in.server import StandIn
from github_stand_in.worlds.ordinary import ordinary_world
from github_stand_in.worlds.world import World
from tests.github_stand_in.conftest import END
from tests.github_stand_in.requests_to_stand_in import LISTS, ask, get, post, runs, survey_text
from tests.waiting import wait_until

needs_jwt = pytest.mark.skipif(
    not (importlib.util.find_spec("jwt") and importlib.util.find_spec("cryptography")), reason="no App can sign without PyJWT[crypto]"
)


@pytest.fixture(scope="module")
def other() -> World:
    return ordinary_world("acme/web", end=END, days=20)


@pytest.mark.parametrize("token", ["", "wrong", "ghs_unknown"])
def test_a_token_that_nobody_has_is_refused(stand_in: StandIn, token: str) -> None:
    found = [ask(stand_in, "deployments", token=token), runs(stand_in, Authorization=f"bearer {token}")]

    assert [one.status_code for one in found] == [401, 401]
    assert found[0].json()["message"] == "Bad credentials"
    assert (stand_in.counts["refused"], stand_in.counts["points"], stand_in.counts["rest"]) == (2, 0, 0)


def test_a_token_reads_its_own_repositories_and_finds_no_others(service: World, other: World) -> None:
    with StandIn({"acme/billing": service, "acme/web": other}, tokens={"narrow": {"acme/billing"}}) as stand_in:
        found = {
            (token, name): ask(stand_in, "deployments", token=token, name=name).json() for token in ("narrow", "wide") for name in ("billing", "web")
        }
        rest = [get(stand_in, f"/repos/acme/{name}/actions/runs", Authorization="bearer narrow").status_code for name in ("billing", "web")]
        ids = [service.node_id, other.node_id]
        nodes = post(stand_in, survey_text(1), {"o0": "acme", "n0": "billing", "i0": ids}, Authorization="bearer narrow").json()

    assert {place for place, one in found.items() if one["data"]["repository"] is None} == {("narrow", "web")}
    assert found["narrow", "web"]["errors"][0]["type"] == "NOT_FOUND"
    assert rest == [200, 404]
    assert [node and node["id"] for node in nodes["data"]["n0"]] == [service.node_id, None]


@pytest.mark.parametrize("query", LISTS)
def test_a_field_without_permission_takes_its_repository_with_it(service: World, query: str) -> None:
    """Where a list may not be read, the whole repository is null, because no list may be null in the schema. Only `object` (for commits) may."""
    with StandIn({"acme/billing": service}, forbidden={"t": {LISTS[query]}}) as stand_in:
        found = ask(stand_in, query, withFiles=False, revision="HEAD").json()
        allowed = ask(stand_in, query, withFiles=False, revision="HEAD", token="other").json()

    [error] = found["errors"]
    assert (error["type"], error["path"]) == ("FORBIDDEN", ["repository", LISTS[query]])
    assert error["message"] == "Resource not accessible by personal access token"
    if query == "commits":
        assert found["data"]["repository"]["object"] is None
    else:
        assert found["data"]["repository"] is None
    assert "errors" not in allowed


def test_records_without_permission_are_null_by_id_too(service: World) -> None:
    with StandIn({"acme/billing": service}, forbidden={"t": {"deployments"}}) as stand_in:
        found = ask(stand_in, "deployments_by_id", ids=[service.deployments(END)[0]["id"]]).json()

    assert (found["data"]["nodes"], found["errors"][0]["type"]) == ([None], "FORBIDDEN")


def test_rest_without_permission_is_403(service: World) -> None:
    with StandIn({"acme/billing": service}, forbidden={"t": {"actions"}}) as stand_in:
        found = runs(stand_in)

        assert (found.status_code, found.json()["message"]) == (403, "Resource not accessible by personal access token")
        assert get(stand_in, "/repos/acme/billing").json()["full_name"] == "acme/billing"


# --- GitHub Apps --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys() -> tuple[str, str]:
    """Return a private key and its public key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def signed(private: str, **claims: Any) -> str:
    import jwt

    now = int(time.time())
    return jwt.encode({"iat": now - 60, "exp": now + 500, "iss": "12345", **claims}, private, algorithm="RS256")


def app_token(stand_in: StandIn, jwt: str, installation: int = 42) -> requests.Response:
    return requests.post(f"{stand_in.url}/app/installations/{installation}/access_tokens", headers={"Authorization": f"Bearer {jwt}"}, timeout=10)


@needs_jwt
def test_an_app_gets_a_token_that_reads_until_its_end(service: World, keys: tuple[str, str]) -> None:
    with StandIn({"acme/billing": service}, app_public_key=keys[1], app_token_seconds=0.7) as stand_in:
        given = app_token(stand_in, signed(keys[0]))
        token = given.json()["token"]
        answers = [ask(stand_in, "deployments", token=token).status_code, runs(stand_in, Authorization=f"token {token}").status_code]
        answers.append(wait_until(lambda: (status := ask(stand_in, "deployments", token=token).status_code) != 200 and status))

    assert given.status_code == 201
    assert token.startswith("ghs_")
    assert datetime.fromisoformat(given.json()["expires_at"]).tzinfo
    assert answers == [200, 200, 401]


@needs_jwt
def test_an_installation_reads_what_it_is_installed_for(service: World, other: World, keys: tuple[str, str]) -> None:
    worlds = {"acme/billing": service, "acme/web": other}
    forbidden = {"installation 42": {"issues"}}
    with StandIn(worlds, app_public_key=keys[1], installations={"42": {"acme/billing"}}, forbidden=forbidden) as stand_in:
        token = app_token(stand_in, signed(keys[0])).json()["token"]
        found = [ask(stand_in, "deployments", token=token, name=name).json()["data"]["repository"] for name in ("billing", "web")]
        refused = ask(stand_in, "issues", token=token).json()["errors"][0]["message"]
        unknown = app_token(stand_in, signed(keys[0]), installation=43)

    assert [one is None for one in found] == [False, True]
    assert refused == "Resource not accessible by integration"
    assert unknown.status_code == 404


@needs_jwt
def test_an_app_that_signs_wrongly_gets_nothing(service: World, keys: tuple[str, str]) -> None:
    now = int(time.time())
    with StandIn({"acme/billing": service}, app_public_key=keys[1]) as stand_in:
        bad = [signed(keys[0], exp=now - 300), signed(keys[0], exp=now + 3600), signed(keys[0])[:-8] + "AAAAAAAA", "nonsense"]
        answers = [app_token(stand_in, one) for one in bad]

    assert [one.status_code for one in answers] == [401] * 4
    assert "too far in the future" in answers[1].json()["message"]


def test_without_an_apps_key_nobody_gets_a_token(stand_in: StandIn) -> None:
    found = app_token(stand_in, "anything")

    assert found.status_code == 401
    assert found.json()["message"] == "A JSON web token could not be decoded"
