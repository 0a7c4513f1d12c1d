"""The demo starts from an empty folder, refuses to start while another demo uses the folder, and reports what keeps it from starting."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from callcentersite.local_processes import PORTS_TRIED, CannotStart, keep_running, left_behind, listener, processes, sole_owner
from demo.__main__ import clear
from demo.environment import Demo
from tests.waiting import wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# A program that occupies a folder as a running demo does. It prints a line when it has started, and sleeps until it is stopped.
OTHER = """
import sys, time
from pathlib import Path
from callcentersite.local_processes import processes, sole_owner
folder = Path(sys.argv[1])
sleeper = {"worker": [sys.executable, "-c", "import time; time.sleep(60)"]}
with sole_owner(folder, what="a demo"), processes(sleeper, folder=folder, env={}, cwd=folder):
    print("up", flush=True)
    time.sleep(60)
"""


def another(folder: Path) -> "subprocess.Popen[bytes]":
    # The tests may run as a background job of a shell. Such a job ignores SIGINT, and its child processes inherit that.
    heed_ctrl_c = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([sys.executable, "-c", OTHER, str(folder)], stdout=subprocess.PIPE, preexec_fn=heed_ctrl_c)
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    return process


def end(process: "subprocess.Popen[bytes]", number: int) -> None:
    with process:
        process.send_signal(number)
        process.wait(10)


def test_it_clears_what_the_last_demo_left_in_folders_of_folders(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "worker.running").write_text("1")
    (tmp_path / "billing.log").write_text("{}\n")

    with sole_owner(tmp_path, what="a demo"):
        clear(tmp_path)
        assert [path.name for path in tmp_path.rglob("*")] == ["owner.lock"]


def test_a_second_demo_is_refused_without_advice_to_kill_the_first_one_s_processes(tmp_path):
    first = another(tmp_path)
    try:
        with pytest.raises(CannotStart) as refused, sole_owner(tmp_path, what="a demo"):
            pass
    finally:
        end(first, signal.SIGINT)
    said = str(refused.value)
    assert said.startswith(f"a demo runs already in {tmp_path} (process {first.pid}): stop that one first, or use another folder")
    assert "kill" not in said
    with sole_owner(tmp_path, what="a demo"):
        pass


def test_what_a_killed_demo_has_left_is_named_and_stopped_by_the_command_that_it_prints(tmp_path):
    end(another(tmp_path), signal.SIGKILL)
    with pytest.raises(CannotStart, match="that was killed has left worker running") as refused, sole_owner(tmp_path, what="a demo"):
        pass
    [number] = left_behind(tmp_path)
    assert str(refused.value).endswith(f"to stop them: kill {number}")
    os.kill(number, signal.SIGTERM)
    wait_until(lambda: not left_behind(tmp_path), timeout_s=10)
    with sole_owner(tmp_path, what="a demo"):
        pass


def test_two_demos_in_two_folders_do_not_meet(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with sole_owner(tmp_path / "one", what="a demo"), sole_owner(tmp_path / "two", what="a demo"):
        assert sorted(lock.parent.name for lock in tmp_path.rglob("owner.lock")) == ["one", "two"]


def test_a_process_that_was_started_again_is_known_by_its_new_number(tmp_path):
    def stop_once_it_is_started_again() -> None:
        wait_until(lambda: running["worker"] is not first)
        os.kill(os.getpid(), signal.SIGTERM)

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with processes({"worker": SLEEP}, folder=tmp_path, env={}, cwd=tmp_path) as running:
            first = running["worker"]
            first.kill()
            first.wait()
            stopper = threading.Thread(target=stop_once_it_is_started_again)
            stopper.start()
            keep_running(running, {"worker": SLEEP}, folder=tmp_path, env={}, cwd=tmp_path)
            stopper.join()
            assert left_behind(tmp_path) == {running["worker"].pid: "worker"}
            assert running["worker"].pid != first.pid
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    assert left_behind(tmp_path) == {}


def test_if_a_port_is_taken_the_next_free_one_is_used(tmp_path):
    with closing(listener("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with closing(listener("127.0.0.1", port)) as second:
            assert port < second.getsockname()[1] <= port + PORTS_TRIED
    with closing(listener("127.0.0.1", port)) as again:
        assert again.getsockname()[1] == port


def test_a_child_answers_on_the_socket_that_it_inherits(tmp_path):
    with closing(listener("127.0.0.1", 0)) as held:
        answering = f"import socket; s = socket.socket(fileno={held.fileno()}); c, _ = s.accept(); c.sendall(b'here')"
        with (
            processes({"web": [sys.executable, "-c", answering]}, folder=tmp_path, env={}, cwd=tmp_path, sockets={"web": held}),
            socket.create_connection(held.getsockname(), timeout=10) as client,
        ):
            assert client.recv(10) == b"here"


def test_it_uses_its_own_database_whatever_the_environment_names(tmp_path):
    """DATABASE_URL may be exported for production in the shell in which somebody tries the demo."""
    exported = {"DATABASE_URL": "mysql://etl:etl@production/etl", "DATABASE_URL_FILE": "/run/secrets/url", "CASSANDRA_CONTACT_POINTS": "10.0.0.1"}
    ask = "from django.conf import settings as s; print(s.DATABASES['default']['ENGINE'], s.CASSANDRA_CONTACT_POINTS)"
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "callcentersite.settings", **exported, **Demo(tmp_path, None).env}
    answer = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=False)
    assert (answer.stdout.strip(), answer.stderr) == ("django.db.backends.sqlite3 []", "")


def test_the_shell_s_webhook_and_https_settings_are_not_those_of_the_demo(tmp_path, monkeypatch):
    exported = {"ALERT_WEBHOOK_URL": "https://hooks.example.com/x", "DJANGO_HTTPS": "1", "GITHUB_TOKEN_ACME": "secret", "ETL_TIME_ZONE": "Asia/Tokyo"}
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    env = Demo(tmp_path, None).env
    assert [env[name] for name in exported] == ["", "", "", "Asia/Tokyo"]
    assert "GITHUB_TOKEN_ACME" not in Demo(tmp_path, "owner/name").env


def test_the_script_that_it_writes_has_its_settings_in_every_shell(tmp_path):
    demo = Demo(tmp_path, None)
    demo.write_manage()
    exported = {**os.environ, "DATABASE_URL": "mysql://etl:etl@production/etl", "ALERT_WEBHOOK_URL": "https://hooks.example.com/x"}
    ask = "from django.conf import settings as s; print(s.DATABASES['default']['NAME'], repr(s.ALERT_WEBHOOK_URL), s.ROOT_URLCONF)"
    answer = subprocess.run([tmp_path / "manage", "shell", "--no-imports", "-c", ask], env=exported, capture_output=True, text=True, check=False)
    assert (answer.stdout.strip(), answer.stderr) == (f"{tmp_path}/callcentersite.sqlite3 '' demo.urls", "")
