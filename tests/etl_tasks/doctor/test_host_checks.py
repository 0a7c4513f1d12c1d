import os
import shutil
from pathlib import Path

import pytest
from django.core import mail

from etl_tasks.doctor import Finding, Level
from etl_tasks.doctor.host_checks import check_alerts, check_disk, check_log_roots, disk_finding
from etl_tasks.models import Source

SECRET = "hunter2-in-the-webhook"


@pytest.mark.parametrize(("free", "level"), [(50 << 20, Level.PROBLEM), (1 << 30, Level.WARNING), (100 << 30, Level.OK)])
def test_a_disk_that_is_nearly_full_needs_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: Level) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    assert disk_finding(tmp_path).level is level


def test_a_folder_that_is_gone_is_a_problem(tmp_path: Path) -> None:
    assert disk_finding(tmp_path / "gone").level is Level.PROBLEM


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert disk_finding(tmp_path).level is Level.PROBLEM


def test_the_folder_of_local_files_is_checked(settings) -> None:
    assert str(settings.VAR) in [finding.name for finding in check_disk()]


def test_a_folder_of_logs_that_is_not_here_is_explained(billing: Source, tmp_path: Path, settings) -> None:
    settings.LOG_ROOTS = [str(tmp_path), "/no/such/folder"]
    source = Source.objects.create(name="logs", service=billing.service, kind="logs", path="/no/such/folder/*.log", log_format="json")
    here, missing = check_log_roots()
    assert here.sentence == "this host can read it"
    assert "the workers, which read its files, were asked" in missing.sentence
    Source.objects.filter(pk=source.pk).update(host="elsewhere")
    assert list(check_log_roots())[1].sentence == "this host does not have it, and no source needs it here"


def alerts() -> dict[str, Finding]:
    return {finding.name: finding for finding in check_alerts()}


def test_alerts_that_nobody_gets_are_a_warning(settings) -> None:
    settings.ALERT_EMAILS, settings.ALERT_WEBHOOK_URL = [], ""
    assert alerts()["alerts"].level is Level.WARNING


def test_a_webhook_and_a_heartbeat_are_not_tried_and_not_shown(settings) -> None:
    settings.ALERT_WEBHOOK_URL = settings.HEARTBEAT_URL = f"https://hooks.example.com/{SECRET}"
    found = alerts()
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert SECRET not in str(found)


def test_a_mail_server_that_does_not_answer_is_a_problem_and_no_message_is_sent(settings) -> None:
    settings.ALERT_EMAILS = ["team@example.com"]
    assert alerts()["EMAIL_URL"].level is Level.OK
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_HOST_PASSWORD = "127.0.0.1", 9, SECRET
    found = alerts()["EMAIL_URL"]
    assert (found.level, SECRET in str(found)) == (Level.PROBLEM, False)
    assert mail.outbox == []
