"""A server is away for a while. What does not need it goes on, nothing is lost, and the rest ends by itself when the server is back.

How the times here relate to real ones: the environment of the tests (tests/environment.py) shortens a stage's retries from half an hour in all
to three seconds, the lease from five minutes to four seconds, the grace from a quarter of an hour to three seconds, and the sweep's interval
from a minute to one second. So an outage of OUTAGE_SECONDS is here what an outage of an hour is in production: it outlasts the retries.
QUARTER_OF_AN_HOUR_SECONDS has the proportion to the three seconds that 15 minutes have to the half hour: some retries fail, and one succeeds.
With LONG_OUTAGES=1, MySQL is away for OUTAGE_SECONDS, too.
"""

import os
import re
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils.timezone import now
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from callcentersite.local_processes import broker_command, processes
from etl_tasks import pipeline
from etl_tasks.models import DeadLetter, ETLRun, Fault, Source
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.end_to_end.conftest import Stack, database_url
from tests.end_to_end.test_night import a_day_passes, every_second, stored_lines, write_long_lines
from tests.etl_tasks.test_stages import lines
from tests.tables import assert_equal_to_truth
from tests.tcp_proxy import Proxy
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.django_db(transaction=True)]
OUTAGE_SECONDS = 5
QUARTER_OF_AN_HOUR_SECONDS = 1.5
MYSQL_AWAY_SECONDS = OUTAGE_SECONDS if os.environ.get("LONG_OUTAGES") else QUARTER_OF_AN_HOUR_SECONDS


def statuses() -> dict[str, str]:
    """Return the status of the latest run of each kind of source."""
    return dict(ETLRun.objects.order_by("pk").values_list("source__kind", "status"))


class Browser:
    """A person who is logged in, at the real web process."""

    def __init__(self, stack: Stack) -> None:
        client = Client()
        client.force_login(User.objects.create_superuser("ana"))
        self._url = stack.web_url
        self._session = requests.Session()
        self._session.cookies.set("sessionid", client.cookies["sessionid"].value)

    def get(self, path: str) -> str:
        answer = self._session.get(f"{self._url}{path}", timeout=20)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def press(self, path: str) -> str:
        self._session.get(f"{self._url}/operations/", timeout=20)
        token = self._session.cookies.get("csrftoken", "")
        answer = self._session.post(f"{self._url}{path}", data={"csrfmiddlewaretoken": token}, headers={"Referer": self._url}, timeout=20)
        return answer.text


# --- GitHub and Cassandra ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not settings.CASSANDRA_CONTACT_POINTS, reason="no Cassandra: see the line at the end")
def test_a_night_without_github_loads_the_logs_and_one_without_cassandra_loads_github(stack: Stack, world: World) -> None:
    github_port = int(stack.github.url.rpartition(":")[2])
    stack.github.clock = END - timedelta(days=1)
    stack.logs.write_text(lines(0, 200))
    every_second("etl nightly")
    with Proxy(github_port) as github, Proxy(settings.CASSANDRA_PORT) as cassandra:
        env = {"GITHUB_API_URL": f"http://127.0.0.1:{github.port}", "CASSANDRA_PORT": str(cassandra.port), "ETL_STAGE_RETRIES": "1"}
        with stack.running("web", "worker", "beat", **env):
            github.cut()
            stack.wait_for_end(2)
            assert statuses() == {"github": "failed", "logs": "success"}
            assert stored_lines() == sorted(f"line {number}" for number in range(200))
            assert "GitHub" in DeadLetter.objects.get(kind="stage").error

            github.open()
            cassandra.cut()
            stack.github.clock = END
            with stack.logs.open("a") as file:
                file.write(lines(200, 250))
            a_day_passes()
            stack.wait_for_end(4)
            assert statuses() == {"github": "success", "logs": "partial"}
            assert_equal_to_truth(world, END)
            assert not DeadLetter.objects.filter(state="open").exists()
            run = ETLRun.objects.get(status="partial")
            assert (run.extracted, run.loaded, run.waiting) == (50, 0, 50)
            browser = Browser(stack)
            assert "waiting for the log store" in browser.get(f"/operations/runs/{run.pk}/")
            assert "the log store" in browser.get("/operations/")
            assert (stack.folder / "worker.log").read_text().count("critical_alert") == 2

            stack.logs.unlink()  # nothing can be read again
            cassandra.open()
            stack.wait(
                lambda: not ETLRun.with_waiting_events().exists() and not Fault.objects.exists(), "the events are loaded and the alert is over"
            )
            stack.wait_for(run)
    assert (run.status, run.loaded, run.waiting) == ("success", 50, 0)
    assert stored_lines() == sorted(f"line {number}" for number in range(250))


# --- Redis ------------------------------------------------------------------------------------------------------------


def every_sweep_has_ended(stack: Stack) -> bool:
    log = (stack.folder / "worker.log").read_text()
    return len(re.findall(r"Task etl\.sweep\S* received", log)) == len(re.findall(r"Task etl\.sweep\S* succeeded", log)) > 0


def test_a_night_whose_hour_passes_without_redis_runs_when_it_is_back(stack: Stack, world: World, elsewhere: Path) -> None:
    """Beat has sent nothing at the hour, and never sends it later. So the crontab entry is one whose hour has just passed."""
    stack.logs.write_text(lines(0, 100))
    socket = elsewhere / "broker.sock"
    hour = now() - timedelta(minutes=3)
    entry = PeriodicTask.objects.get(name="etl nightly")
    entry.crontab, _ = CrontabSchedule.objects.get_or_create(minute=str(hour.minute), hour=str(hour.hour), timezone="UTC")
    entry.last_run_at = hour
    entry.save()
    Source.objects.update(is_enabled=False)  # until Redis is away: the sweep would start the night at once
    redis = {"redis": broker_command(elsewhere, socket)}
    with processes(redis, folder=elsewhere, env={}, cwd=elsewhere) as servers:
        wait_until(socket.exists)
        with stack.running("web", "worker", "beat", CELERY_BROKER_URL=f"redis+socket://{socket}"):
            browser = Browser(stack)
            sent = PeriodicTask.objects.filter(name="etl sweep", last_run_at__gt=now())
            stack.wait(sent.exists, "beat and the worker use Redis")
            os.kill(servers["redis"].pid, signal.SIGKILL)
            servers["redis"].wait()
            Source.objects.update(is_enabled=True)
            time.sleep(OUTAGE_SECONDS)
            assert not ETLRun.objects.exists()
            for path in ("/", "/services/billing/", "/operations/", "/operations/runs/", "/logs/"):
                browser.get(path)
            assert "check that Redis runs" in browser.get("/operations/components/")
            assert "Nothing was started: the broker cannot be reached." in browser.press("/operations/run-all/")
            with processes(redis, folder=elsewhere, env={}, cwd=elsewhere):
                stack.wait_for_end(2)
    assert statuses() == {"github": "success", "logs": "success"}
    assert set(ETLRun.objects.values_list("logical_date", flat=True)) == {hour.date()}
    assert_equal_to_truth(world, END)
    assert stored_lines() == sorted(f"line {number}" for number in range(100))


# --- MySQL ------------------------------------------------------------------------------------------------------------


def proxied(port: int) -> str:
    return database_url().replace(f":{connection.settings_dict['PORT']}/", f":{port}/")


@pytest.mark.skipif(connection.vendor != "mysql", reason="SQLite has no server")
def test_mysql_away_in_each_stage_loses_and_doubles_nothing(stack: Stack) -> None:
    """Each outage begins when the stage has committed something. It is as long as a quarter of an hour; see the top of this module."""
    write_long_lines(stack, 12_000)
    run = pipeline.run_source(Source.objects.get(kind="logs").name)
    at_work = ETLRun.objects.filter(pk=run.pk, status="running", steps__gt=0)
    with Proxy(int(connection.settings_dict["PORT"])) as mysql, stack.running("worker", "beat", DATABASE_URL=proxied(mysql.port)):
        for stage in ("extract", "transform", "load"):
            stack.wait(at_work.filter(stage=stage).exists, f"{stage} has committed something")
            mysql.cut()
            time.sleep(MYSQL_AWAY_SECONDS)
            mysql.open()
        stack.wait_for(run)
    assert (run.status, run.error, run.extracted, run.loaded) == ("success", "", 12_000, 12_000)
    messages = stored_lines(limit=20_000)
    assert len(messages) == len(set(messages)) == 12_000
    assert not DeadLetter.objects.filter(state="open").exists()
