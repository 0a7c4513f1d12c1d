"""The Cassandra store against a server with TLS and passwords, which is killed while a process loads."""

import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings as project
from pytest_django import Settings

from log_store.opening import open_log_store
from log_store.store import LogStore, LogStoreUnavailable
from tests.log_store.conftest import CONTACT_POINTS
from tests.log_store.log_events import counted, events, everything, in_order, read_all
from tests.log_store.secured_cassandra import Server
from tests.tcp_proxy import Proxy
from tests.waiting import wait_until

if not CONTACT_POINTS:
    pytest.skip("CASSANDRA_CONTACT_POINTS is unset: the Cassandra store is NOT TESTED here", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from log_store.cassandra.connection import connection

# All tests of this module run in one process, so that the server is started once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("secured")]
PAGES, LINES = 200, 200
# A program that writes events in pages, as the load stage does: a page that failed is written again, an acknowledged one is not.
# It prints the number of each written page.
LOADING = f"""
import sys, time, django
django.setup()
from log_store.opening import open_log_store
from log_store.store import LogStoreUnavailable
from tests.log_store.log_events import events
written = events(sys.argv[1], {PAGES * LINES})
store = open_log_store()
for page in range({PAGES}):
    while True:
        try:
            store.write(written[page * {LINES} : (page + 1) * {LINES}])
            break
        except LogStoreUnavailable:
            time.sleep(0.2)
    print(page, flush=True)
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("secured"))
    running.tell("start")
    yield running
    connection.drop()
    running.tell("kill")


@pytest.fixture
def secured(server: Server, settings: Settings) -> Iterator[LogStore]:
    """Return a store that uses this server, with Django's settings changed accordingly. Sessions to other servers are closed before."""
    connection.drop()
    told = dict(server.settings())
    settings.CASSANDRA_CONTACT_POINTS = [told.pop("CASSANDRA_CONTACT_POINTS")]
    settings.CASSANDRA_PORT = int(told.pop("CASSANDRA_PORT"))
    for name, value in told.items():
        setattr(settings, name, value)
    settings.CASSANDRA_KEYSPACE = "secured"
    yield open_log_store()
    connection.drop()


def ensured(store: LogStore) -> None:
    """Create the schema when the server has created its first account, which is soon after its port answers."""

    def is_made() -> bool:
        try:
            store.ensure_schema()
        except LogStoreUnavailable:
            return False
        return True

    wait_until(is_made)


@pytest.mark.chaos
@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore")
def test_nothing_is_lost_or_kept_twice_when_the_server_is_killed_while_a_process_loads(
    server: Server, secured: LogStore, source: str, tmp_path: Path
) -> None:
    ensured(secured)
    written = events(source, PAGES * LINES)
    environment = {
        "PATH": "",
        "PYTHONPATH": str(project.BASE_DIR),
        "DJANGO_SETTINGS_MODULE": "callcentersite.settings",
        "CALLCENTERSITE_VAR": str(tmp_path),
        "ETL_LOG_LEVEL": "CRITICAL",
        **server.settings(),
        "CASSANDRA_KEYSPACE": "secured",
    }
    with subprocess.Popen([sys.executable, "-c", LOADING, source], env=environment, stdout=subprocess.PIPE, text=True) as loader, killed(loader):
        assert loader.stdout
        loaded = [int(next(loader.stdout)) for _ in range(40)]
        for _ in range(2):
            server.tell("kill")
            server.tell("start")
            loaded += [int(next(loader.stdout)) for _ in range(40)]
        loaded += [int(line) for line in loader.stdout]

    assert loaded == list(range(PAGES))
    connection.drop()  # the session was opened before the server was killed
    assert read_all(secured, everything(source), limit=10_000) == in_order(written)
    assert secured.counts(source, written[0].time, written[-1].time) == counted(written)
    # Cassandra would warn of a batch that is too large or over several partitions.
    assert not re.search("exceeding specified threshold|Unlogged batch covering", server.log())


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[None]:
    """End the loading process, so that a failing test does not wait for it."""
    try:
        yield
    finally:
        process.kill()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"CASSANDRA_PASSWORD": "wrong"}, id="the password is wrong"),
        pytest.param({"CASSANDRA_USERNAME": ""}, id="no password"),
        pytest.param({"CASSANDRA_TLS_CA": ""}, id="no TLS"),
        pytest.param({"CASSANDRA_TLS_CA": "other-ca.pem"}, id="a server of another CA"),
        pytest.param({"CASSANDRA_TLS_CERT": ""}, id="no certificate of ours"),
    ],
)
def test_without_what_the_server_wants_or_with_a_server_that_is_not_ours_nothing_is_sent(
    server: Server, secured: LogStore, settings: Settings, wrong: dict[str, str]
) -> None:
    ensured(secured)
    connection.drop()
    for name, value in wrong.items():
        setattr(settings, name, str(server.folder / value) if str(value).endswith(".pem") else value)

    with pytest.raises(LogStoreUnavailable, match="cannot be reached"):
        secured.ping()


@pytest.mark.filterwarnings("ignore")
def test_a_server_under_another_name_than_its_certificate_has_is_refused_unless_names_are_not_checked(
    server: Server, secured: LogStore, settings: Settings
) -> None:
    ensured(secured)
    connection.drop()
    with Proxy(settings.CASSANDRA_PORT, host="127.0.0.2") as proxy:
        settings.CASSANDRA_CONTACT_POINTS, settings.CASSANDRA_PORT = ["127.0.0.2"], proxy.port

        with pytest.raises(LogStoreUnavailable, match="cannot be reached"):
            secured.ping()

        settings.CASSANDRA_TLS_CHECK_HOSTNAME = False
        secured.ping()
        connection.drop()
