"""Credentials: an App's token is renewed before it expires, and conditional requests work with several credentials."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pytest_django import Settings

from dora_metrics.models import WorkflowRun
from etl_tasks import inline
from etl_tasks.errors import FatalError
from etl_tasks.models import Source
from etl_tasks.sources.github.client import GitHub
from etl_tasks.sources.github.credentials import RENEW_BEFORE_END_SECONDS
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.nights import night, source_of, spent
from tests.tables import assert_equal_to_truth

pytestmark = pytest.mark.django_db
QUERY = "query Ping { rateLimit { cost limit remaining resetAt } }"
TOKENS = "/app/installations/42/access_tokens"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()).decode()


def public(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def app_credential(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    return {"": {"token": "", "app_id": "1", "private_key": pem(key), "installation_id": "42"}}


@pytest.fixture
def app(world: World, key: rsa.RSAPrivateKey, settings: Settings) -> Iterator[StandIn]:
    """The stand-in with a GitHub App. Its tokens are valid for an hour, like GitHub's."""
    with StandIn({"acme/billing": world}, clock=END, app_public_key=public(key), installations={"42": None}) as stand_in:
        settings.GITHUB_API_URL = stand_in.url
        settings.GITHUB_GRAPHQL_URL = f"{stand_in.url}/graphql"
        settings.GITHUB_CREDENTIALS = app_credential(key)
        yield stand_in


def test_an_app_collects_a_night_with_one_token(billing: Source, app: StandIn, world: World) -> None:
    assert night(billing).status == "success"

    assert_equal_to_truth(world, END)
    assert app.counts[TOKENS] == 1


def test_its_token_is_renewed_before_the_end_and_not_sooner(app: StandIn) -> None:
    began = time.time()
    for seconds, tokens in ((0, 1), (3600 - RENEW_BEFORE_END_SECONDS - 5, 1), (3600 - RENEW_BEFORE_END_SECONDS + 5, 2), (3590, 2)):
        with time_machine.travel(began + seconds, tick=True):
            GitHub().query(QUERY, {})
        assert app.counts[TOKENS] == tokens, f"after {seconds} s"
    assert app.counts["refused"] == 0, "the old one was never used beyond its end"


def test_a_night_that_is_longer_than_its_token_goes_on(billing: Source, app: StandIn, world: World) -> None:
    app.access.app_token_seconds = RENEW_BEFORE_END_SECONDS - 1  # each token needs renewal as soon as it is issued
    assert night(billing).status == "success"

    assert_equal_to_truth(world, END)
    assert app.counts[TOKENS] > 5
    assert app.counts["refused"] == 0


def test_a_token_that_was_revoked_before_its_end_is_replaced_once(app: StandIn) -> None:
    GitHub().query(QUERY, {})
    app.access._given.clear()
    GitHub().query(QUERY, {})

    assert (app.counts["refused"], app.counts[TOKENS]) == (1, 2)


@pytest.mark.parametrize("wrong", [{"installation_id": "43"}, {"private_key": "other"}])
def test_an_app_that_github_does_not_know_is_told_once(
    billing: Source, app: StandIn, key: rsa.RSAPrivateKey, wrong: dict[str, str], settings
) -> None:
    given = app_credential(key)[""]
    if "private_key" in wrong:
        wrong = {"private_key": pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))}
    settings.GITHUB_CREDENTIALS = {"": {**given, **wrong}}
    with pytest.raises(inline.StageFailed, match="GitHub does not accept the App"):
        night(billing)

    assert app.counts["requests"] == 1


def test_a_key_that_is_none_is_told_without_a_request(app: StandIn, key: rsa.RSAPrivateKey, settings) -> None:
    settings.GITHUB_CREDENTIALS = {"": {**app_credential(key)[""], "private_key": "no key"}}
    with pytest.raises(FatalError, match="not a private key in PEM form"):
        GitHub().query(QUERY, {})

    assert app.counts["requests"] == 0


def test_unchanged_runs_are_free_for_each_credential_after_its_own_first_time(github: StandIn, world: World, settings) -> None:
    ours = settings.GITHUB_CREDENTIALS[""]
    settings.GITHUB_CREDENTIALS = {"": ours, "ACME": {**ours, "token": "acme's own"}}
    source = source_of("acme/billing", deployments_from="workflows")
    night(source)
    counted = []
    for credential in ("", "ACME", "ACME", ""):
        Source.objects.filter(pk=source.pk).update(credential=credential)
        source.refresh_from_db()
        spent(github)
        assert night(source).status == "success"
        counts = spent(github)
        counted.append((counts.get("not_modified", 0), counts.get("rest", 0) > 0))

    assert counted == [(1, False), (0, True), (1, False), (0, True)]
    assert WorkflowRun.objects.values("external_id").distinct().count() == len(world.workflow_runs(END))


def test_an_enterprise_server_is_read_below_its_own_addresses(billing: Source, github: StandIn, world: World, settings) -> None:
    settings.GITHUB_API_URL, settings.GITHUB_GRAPHQL_URL = f"{github.url}/api/v3", f"{github.url}/api/graphql"
    assert night(billing).status == "success"

    assert_equal_to_truth(world, END)
