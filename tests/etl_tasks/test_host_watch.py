"""A log source belongs to the host that has its files: how this host is set, and what commands on another host do."""

import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import translation
from django.utils.timezone import now
from pytest_django import Settings

from etl_tasks import dead_letters, host_watch, ledger, pipeline
from etl_tasks.management.commands.etl_status import Command as Status
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.sweeper import resend_lost

pytestmark = pytest.mark.django_db
LINE = '{"time": "2026-11-26T01:00:00Z", "message": "paid"}\n'


@pytest.fixture
def calls(billing: Source, tmp_path: Path, settings: Settings) -> Source:
    settings.ETL_HOST = "web1"
    (tmp_path / "calls.log").write_text(LINE)
    Source.objects.filter(pk=billing.pk).update(is_enabled=False)
    return Source.objects.create(name="calls", service=billing.service, kind="logs", path=str(tmp_path / "calls.log"), log_format="json", host="web2")


def run(*words: str, **options: Any) -> str:
    shown = io.StringIO()
    call_command(*words, stdout=shown, **options)
    return shown.getvalue()


def test_its_first_stage_waits_in_the_queue_of_its_host(calls: Source) -> None:
    assert (calls.extract_queue, Source().extract_queue) == ("extract@web2", "extract")


def test_the_command_sets_the_host_and_takes_it_away(calls: Source) -> None:
    words = ("add_log_source", "calls", "--service", "billing", "--path", calls.path, "--format", "json")
    assert "on web2" in run(*words)
    run(*words, "--host", "web-3.example")
    assert Source.objects.get(name="calls").host == "web-3.example"
    run(*words, "--host=")
    assert Source.objects.get(name="calls").host == ""
    with pytest.raises(CommandError, match="as in the name of a host"):
        run(*words, "--host", "web 2,extract")


def test_only_log_files_lie_on_a_host(billing: Source) -> None:
    billing.host = "web2"
    with pytest.raises(ValidationError, match="only files lie on a host"):
        billing.full_clean()


def test_cron_elsewhere_leaves_it_alone_and_says_so(calls: Source) -> None:
    shown = run("etl_extract")
    assert "calls: its files lie on web2, and this host is web1 (ETL_HOST)" in shown
    assert not ETLRun.objects.exists()


def test_cron_on_its_host_reads_it_and_every_source_without_one(calls: Source, settings: Settings) -> None:
    settings.ETL_HOST = "web2"
    Source.objects.create(name="app", service=calls.service, kind="logs", path=calls.path, log_format="json")
    run("etl_extract")
    assert dict(ETLRun.objects.values_list("pipeline", "stage")) == {"app": "transform", "calls": "transform"}


def test_a_source_or_run_of_another_host_that_is_named_is_refused(calls: Source) -> None:
    with pytest.raises(CommandError, match="its files lie on web2"):
        run("etl_extract", "--source", "calls")
    opened = ledger.open_run(calls, trigger="shell")
    assert opened
    with pytest.raises(CommandError, match="its files lie on web2"):
        run("etl_extract", "--run", str(opened.pk))
    assert ETLRun.objects.get().attempt == 0


def test_a_failed_extraction_is_not_replayed_on_another_host(calls: Source) -> None:
    opened = ledger.open_run(calls, trigger="shell")
    assert opened
    dead_letters.bury_stage(opened.pk, "extract", "the disk is full")
    with pytest.raises(CommandError, match="its files lie on web2"):
        run("dead_letters", "replay", "--all")
    assert ETLRun.objects.get().status == ETLRun.Status.FAILED
    assert DeadLetter.objects.get().state == DeadLetter.State.OPEN


def test_status_says_that_no_worker_takes_the_queue(calls: Source) -> None:
    assert "no worker" not in status()
    Source.objects.filter(pk=calls.pk).update(host_silent_since=now() - timedelta(hours=1))
    shown = status()
    assert "calls (logs, on web2)" in shown
    assert "needs a person: calls: no worker reads the files of web2: start one there, with -Q extract@web2" in shown


def status() -> str:
    shown = io.StringIO()
    try:
        call_command(Status(), stdout=shown)
    except CommandError:
        return shown.getvalue()
    return shown.getvalue()


def test_a_run_that_no_worker_of_its_host_took_is_buried_with_that_reason(calls: Source, settings: Settings) -> None:
    settings.ETL_MAX_RESENDS = 0
    opened = ledger.open_run(calls, trigger="shell")
    Source.objects.filter(pk=calls.pk).update(host_silent_since=now())
    assert opened
    ETLRun.objects.filter(pk=opened.pk).update(lease_until=now() - timedelta(seconds=1))
    resend_lost()
    assert ETLRun.objects.get().error == "no worker reads the files of web2: start one there, with -Q extract@web2"


def test_without_a_broker_the_files_are_looked_for_here_which_is_said(calls: Source, broker_away: None) -> None:
    [found] = pipeline.check_sources([calls])
    assert (found.can_be_read, "and the files lie on web2" in found.sentences[0]) == (False, True)
    calls.host = "web1"
    [found] = pipeline.check_sources([calls])
    assert (found.can_be_read, "as this process sees the files" in found.sentences[0]) == (True, True)


def test_the_sentence_that_is_stored_about_a_host_is_english() -> None:
    with translation.override("es"):
        assert host_watch.no_worker_message("logs-1").startswith("no worker reads the files of logs-1: start one there")
