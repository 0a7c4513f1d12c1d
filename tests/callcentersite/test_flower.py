"""Flower listens on loopback, and on other addresses only with a login, because its users can stop workers."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from flower.options import options

from callcentersite import flower_login_check
from tests.waiting import wait_until

LISTENING = "0A"  # how /proc/net/tcp writes the state LISTEN; it writes addresses as hexadecimal numbers, too
LOOPBACK, ANY = "0100007F", "00000000"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def flower(folder: Path, port: int, *words: str, **env: str) -> Iterator["subprocess.Popen[bytes]"]:
    [documented] = re.findall(r"Flower:\s+`celery ([^`]+)`", (settings.BASE_DIR / "README.md").read_text())
    command = [sys.executable, "-m", "celery", *documented.split(), f"--port={port}", *words]
    # There is no broker at this address. Flower does not need one here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")}
    environment |= {"CALLCENTERSITE_VAR": str(folder), "CELERY_BROKER_URL": "redis://127.0.0.1:9/0", **env}
    with (
        open(folder / "flower.log", "wb") as log,
        subprocess.Popen(command, cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def listens_on(port: int) -> set[str]:
    rows = [line.split() for path in ("/proc/net/tcp", "/proc/net/tcp6") for line in Path(path).read_text().splitlines()[1:]]
    return {row[1].rpartition(":")[0] for row in rows if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port}


def addresses(process: "subprocess.Popen[bytes]", port: int) -> set[str]:
    """Wait until the process listens or has ended, and return the addresses that it listens on."""
    wait_until(lambda: listens_on(port) or process.poll() is not None, timeout_s=90)
    return listens_on(port)


@pytest.mark.slow
def test_as_the_readme_starts_it_it_listens_on_loopback_only(tmp_path: Path) -> None:
    port = free_port()
    with flower(tmp_path, port) as process:
        assert addresses(process, port) == {LOOPBACK}, (tmp_path / "flower.log").read_text()


@pytest.mark.slow
def test_with_a_login_it_may_listen_elsewhere(tmp_path: Path) -> None:
    port = free_port()
    with flower(tmp_path, port, "--address=0.0.0.0", FLOWER_BASIC_AUTH="operator:secret") as process:
        assert addresses(process, port) == {ANY}, (tmp_path / "flower.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "env"),
    [(["--address=0.0.0.0"], {}), (["--conf={folder}/mine.py"], {"FLOWER_BASIC_AUTH": ""})],
)
def test_without_a_login_it_refuses_another_address(tmp_path: Path, words: list[str], env: dict[str, str]) -> None:
    (tmp_path / "mine.py").write_text('address = "0.0.0.0"\n')
    port = free_port()
    with flower(tmp_path, port, *[word.format(folder=tmp_path) for word in words], **env) as process:
        assert (addresses(process, port), process.wait(30)) == (set(), 1)
    told = (tmp_path / "flower.log").read_text()
    assert "without a login" in told
    assert "Traceback" not in told


def set_options(values: dict[str, object]) -> None:
    for name, value in values.items():
        setattr(options, name, value)


@pytest.fixture
def no_options() -> Iterator[None]:
    """Reset Flower's options to those of a start without arguments, and restore them afterwards."""
    none: dict[str, object] = {"address": "", "basic_auth": [], "auth": "", "unix_socket": ""}
    former = {name: getattr(options, name) for name in none}
    set_options(none)
    yield
    set_options(former)


@pytest.mark.parametrize(
    ("values", "may"),
    [
        ({"address": "127.0.0.1"}, True),
        ({"address": "::1"}, True),
        ({"address": "localhost"}, True),
        ({"address": ""}, False),
        ({"address": "::"}, False),
        ({"address": "192.0.2.1"}, False),
        ({"address": "no.such.host.invalid"}, False),
        ({"address": "::", "basic_auth": ["operator:secret"]}, True),
        ({"address": "::", "basic_auth": ["operator:"]}, False),
        ({"address": "::", "basic_auth": ["operator:secret", ""]}, False),
        ({"address": "::", "auth": ".*@example.com"}, True),
        ({"address": "", "unix_socket": "/run/flower.sock"}, True),
    ],
)
def test_an_address_needs_a_login_unless_it_is_loopback(no_options: None, values: dict[str, object], may: bool) -> None:
    set_options(values)
    assert (flower_login_check.missing_login() == "") is may
