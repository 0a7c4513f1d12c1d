"""Docker Compose passes every setting to the containers. A setting that it drops would have no effect, without any warning."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from callcentersite.local_processes import broker_command
from tests.callcentersite.read_settings import variables

OURS = ("migrate", "web", "worker-extract", "worker", "beat", "flower")
# These need not be passed: the image sets CALLCENTERSITE_VAR, and Compose passes the values of the other three, not files that contain them.
FIXED = {"CALLCENTERSITE_VAR", "DJANGO_SECRET_KEY_FILE", "DATABASE_URL_FILE", "CELERY_BROKER_URL_FILE"}
# Only the containers that query GitHub get these.
CREDENTIALS = {"GITHUB_TOKEN", "GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_APP_INSTALLATION_ID"}
CREDENTIALS |= {"GITHUB_TOKEN_FILE", "GITHUB_APP_PRIVATE_KEY_FILE"}
# Addresses of Compose's own servers and of its gateway, which are not set in .env.
OF_COMPOSE = {"DATABASE_URL", "CELERY_BROKER_URL", "FORWARDED_ALLOW_IPS"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((settings.BASE_DIR / "docker-compose.yml").read_text())
    return found


FILES = ("docker-compose.yml", "docker-compose.flower.yml")
OF_COMPOSE_ITSELF = {"COMPOSE_FILE"}


def in_example() -> set[str]:
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (settings.BASE_DIR / ".env.example").read_text(), re.M))


def test_settings_are_found_where_they_are_read() -> None:
    assert {"LOG_MASK_PATTERNS", "ETL_OVERDUE_HOURS", "GITHUB_TOKEN", "GITHUB_TOKEN_FILE", "DATABASE_URL"} <= variables()


@pytest.mark.parametrize("name", OURS)
def test_every_setting_reaches_every_container_that_reads_it(compose: dict[str, Any], name: str) -> None:
    needed = variables() - FIXED - (set() if name.startswith(("web", "worker")) else CREDENTIALS)
    assert needed - set(compose["services"][name]["environment"]) == set()


@pytest.mark.parametrize("name", ["migrate", "beat", "flower"])
def test_who_does_not_ask_github_has_no_credentials(compose: dict[str, Any], name: str) -> None:
    assert not CREDENTIALS & set(compose["services"][name]["environment"])


def test_every_container_of_ours_is_looked_at(compose: dict[str, Any]) -> None:
    assert {name for name, one in compose["services"].items() if str(one["image"]).startswith("callcentersite:")} == set(OURS)


def test_compose_passes_nothing_that_nobody_reads(compose: dict[str, Any]) -> None:
    passed = {variable for name in OURS for variable in compose["services"][name]["environment"]}
    assert passed - variables() == {"REMAP_SIGTERM", "FLOWER_BASIC_AUTH"}


def test_the_pages_believe_the_address_from_which_the_published_port_is_reached(compose: dict[str, Any]) -> None:
    [port] = compose["services"]["web"]["ports"]
    [network] = compose["networks"]["outside"]["ipam"]["config"]
    assert port.startswith("127.0.0.1:")
    assert compose["services"]["web"]["environment"]["FORWARDED_ALLOW_IPS"] == network["gateway"]


def test_only_the_pages_are_published_and_only_on_loopback(compose: dict[str, Any]) -> None:
    assert {name for name, one in compose["services"].items() if "ports" in one} == {"web"}


def test_redis_evicts_no_message_and_keeps_the_queue_when_it_is_killed(compose: dict[str, Any], tmp_path: Path) -> None:
    of_services = yaml.safe_load((settings.BASE_DIR / "docker-compose.services.yml").read_text())
    commands = [one["services"]["redis"]["command"] for one in (compose, of_services)]
    for command in (*commands, broker_command(tmp_path, tmp_path / "broker.sock")):
        options = dict(pairwise(command))
        assert (options["--maxmemory-policy"], options["--appendonly"]) == ("noeviction", "yes")


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_privileges_and_a_file_system_that_nobody_can_write_to(compose: dict[str, Any], name: str) -> None:
    one = compose["services"][name]
    assert (one["read_only"], one["cap_drop"], one["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    assert "user" not in one
    assert re.findall(r"^USER (.+)$", (settings.BASE_DIR / "Dockerfile").read_text(), re.M)[-1] == "callcentersite"


def test_the_example_shows_every_setting() -> None:
    assert variables() - FIXED - OF_COMPOSE - in_example() == set()


def test_the_example_shows_what_compose_itself_asks_for_and_nothing_else() -> None:
    asked = {name for file in FILES for name in re.findall(r"\$\{([A-Z_]+)[:}]", (settings.BASE_DIR / file).read_text())}
    assert asked - in_example() == {"CALLCENTERSITE_VERSION"}
    assert in_example() - asked - variables() == OF_COMPOSE_ITSELF


def test_flower_has_a_password_and_a_port_only_on_loopback_and_only_on_request(compose: dict[str, Any]) -> None:
    assert "ports" not in compose["services"]["flower"]
    assert compose["services"]["flower"]["environment"]["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")
    added = yaml.safe_load((settings.BASE_DIR / "docker-compose.flower.yml").read_text())["services"]
    assert list(added) == ["flower"]
    assert added["flower"] == {"networks": ["outside"], "ports": ["127.0.0.1:${FLOWER_PORT:-5555}:5555"]}
