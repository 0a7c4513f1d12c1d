"""Set up log sources by command: detect the format, keep settings that are not given again, and preview what would be read."""

import gzip
import os
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from etl_tasks.models import DeadLetter, ETLRun, Source

pytestmark = pytest.mark.django_db
SYSLOG = "Mar  1 12:00:00 web-1 sshd[24200]: Invalid user {number}\n"
LAYOUT = "2026-03-01 12:00:00,123 [main] ERROR a.Cart - failed\n\tat a.Cart.add(Cart.java:42)\n"


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out, stderr=out)
    return out.getvalue()


def add(path: Path | str, *words: str) -> str:
    return run("add_log_source", "shop-logs", "--service", "billing", "--path", str(path), *words)


@pytest.fixture
def syslog(tmp_path: Path, billing: Source) -> Path:
    path = tmp_path / "messages"
    path.write_text("".join(SYSLOG.format(number=number) for number in range(300)))
    os.utime(path, (1772366400, 1772366400))
    return path


def test_auto_stores_the_format_it_decided_and_says_how_sure_it_is(syslog: Path) -> None:
    said = add(syslog, "--format", "auto", "--time-zone", "Europe/Madrid")

    assert "200 of 200 lines read as syslog\n" in said
    source = Source.objects.get(name="shop-logs")
    assert (source.log_format, source.log_pattern, source.log_time_zone) == ("syslog", "", "Europe/Madrid")


def test_auto_looks_into_several_files_and_stores_the_layout(tmp_path: Path, billing: Source) -> None:
    for number in range(3):
        with gzip.open(tmp_path / f"shop.log.{number}.gz", "wt") as file:
            file.write(LAYOUT * 10)

    assert "60 of 60 lines read as log4j, in the layout %d [%t] %-5p %c - %m%n" in add(tmp_path / "shop.log*", "--format", "auto")
    assert Source.objects.get(name="shop-logs").log_pattern == "%d [%t] %-5p %c - %m%n"


def test_auto_refuses_a_mixture(syslog: Path) -> None:
    syslog.write_text(syslog.read_text()[: len(SYSLOG.format(number=0)) * 7] + "just words\n" * 3)

    with pytest.raises(CommandError, match="only 7 of 10 lines read as syslog: name the format"):
        add(syslog, "--format", "auto")
    assert not Source.objects.filter(name="shop-logs").exists()


def test_auto_says_why_a_file_cannot_be_looked_at(tmp_path: Path, billing: Source) -> None:
    path = tmp_path / "shop.log"
    path.write_text(LAYOUT, encoding="utf-16")

    with pytest.raises(CommandError, match=r"shop\.log cannot be looked at: It is UTF-16 or UTF-32"):
        add(path, "--format", "auto")


def test_what_is_not_given_stays_but_a_pattern_belongs_to_its_format(billing: Source) -> None:
    add("/var/log/*.log", "--format", "json", "--field", "message=text", "--field", "time=when", "--deploy-pattern", "deployed", "--strict")
    add("/var/log/*.log", "--format", "json", "--time-zone", "local")
    source = Source.objects.get(name="shop-logs")
    assert (source.log_fields, source.deploy_pattern, source.is_strict, source.log_time_zone) == (
        {"message": "text", "time": "when"},
        "deployed",
        True,
        "local",
    )

    add("/var/log/*.log", "--format", "log4j", "--pattern", "%d %m", "--no-strict")
    source = Source.objects.get(name="shop-logs")
    assert (source.log_fields, source.log_pattern, source.deploy_pattern, source.is_strict) == ({}, "%d %m", "deployed", False)
    add("/var/log/*.log", "--format", "syslog")
    assert Source.objects.get(name="shop-logs").log_pattern == ""


def test_the_admin_refuses_what_cannot_work(admin_client: Client, billing: Source) -> None:
    add("/var/log/*.log", "--format", "json")
    source = Source.objects.get(name="shop-logs")
    form = {
        "name": source.name,
        "service": source.service_id,
        "kind": "logs",
        "path": source.path,
        "log_format": "regex",
        "log_pattern": "(?P<time>.*",
        "log_time_zone": "UTC",
        "log_fields": "{}",
    }
    address = reverse("admin:etl_tasks_source_change", args=[source.pk])

    assert "is not a regular expression that RE2 reads" in admin_client.post(address, form).content.decode()
    assert (
        "must map names to keys"
        in admin_client.post(address, {**form, "log_format": "json", "log_pattern": "", "log_fields": "[1]"}).content.decode()
    )
    mended = {**form, "log_pattern": "(?P<time>.*)"}
    assert "cannot be a name" in admin_client.post(address, {**mended, "name": "shop/logs"}).content.decode()
    assert admin_client.post(address, mended).status_code == 302
    assert Source.objects.get(name="shop-logs").log_pattern == "(?P<time>.*)"


def test_a_preview_shows_events_and_what_was_not_read_and_why(syslog: Path) -> None:
    token = "Bearer " + "abcdefghijkl" + "mnopqrstuvwxyz0123456789"
    syslog.write_text(f"Mar  1 12:00:00 web-1 app[1]: Authorization: {token} \x1b[2J\n\tat x\nwords\n" + syslog.read_text())
    os.utime(syslog, (1772452800, 1772452800))  # the last write is long ago, so the last event is complete
    said = run("etl_preview_log", str(syslog)).splitlines()

    assert said[0] == "199 of 200 lines read as syslog"
    assert said[2].startswith(f"{said[2][:4]}-03-01 12:00:00.000 UTC unknown  Authorization: ")
    assert token not in said[2]
    assert "\\x1b[2J (+1 line)" in said[2]
    assert said[3][5:] == "03-01 12:00:00.000 UTC unknown  Invalid user 0  [host=web-1 logger=sshd pid=24200]"
    assert len(said) == 22 + 3
    assert said[23:] == [
        "302 of 303 lines read as syslog: 301 events",
        f"not read: {syslog}, byte {syslog.read_bytes().index(b'words')}: The line is not syslog: "
        "<priority>1 time host app pid id data message, or time host tag: message. words",
    ]


def test_a_preview_reads_compressed_files_as_a_source_does(tmp_path: Path, billing: Source) -> None:
    add("/var/log/*.log", "--format", "python", "--pattern", "{asctime} {message}", "--time-zone", "Europe/Madrid")
    with gzip.open(tmp_path / "old.gz", "wt") as file:
        file.write("2026-03-29 02:30:00 hello\n2026-03-29 03:30:00 there\n")
    said = run("etl_preview_log", str(tmp_path / "*.gz"), "--source", "shop-logs")

    assert "2026-03-29 01:30:00.000 UTC unknown  there" in said
    assert "2 of 2 lines read as python: 2 events\n1 of them with a time that is impossible" in said


def test_a_strict_source_s_dead_letter_cannot_move_a_terminal_s_cursor(tmp_path: Path, billing: Source) -> None:
    (tmp_path / "app.json").write_text('{"time": "2026-03-01T12:00:00Z", "msg": "sent"}\n\x1b[2Jgone\n')
    add(tmp_path / "app.json", "--format", "json", "--strict")
    Source.objects.exclude(name="shop-logs").update(is_enabled=False)
    run("etl_extract")
    run("etl_transform")
    shown = run("dead_letters", "show", "--all", "--source", "shop-logs")
    assert r"data: \x1b[2Jgone" in shown
    assert "\x1b" not in shown


def test_a_log_source_that_was_collected_keeps_its_name_for_its_events_have_it(tmp_path: Path, billing: Source) -> None:
    add("/var/log/*.log", "--format", "json")
    source = Source.objects.get(name="shop-logs")
    source.name = "shop"
    source.full_clean()
    source.cursors.create(stream="read", position={})
    with pytest.raises(ValidationError, match="shop-logs has been collected: its events are stored under this name"):
        source.full_clean()


def test_the_status_of_a_run_says_how_far_each_file_was_read(syslog: Path, billing: Source) -> None:
    add(syslog, "--format", "syslog")
    Source.objects.exclude(name="shop-logs").update(is_enabled=False)
    run("etl_extract")
    said = run("etl_status", "--run", str(ETLRun.objects.get().pk))
    assert f"  {syslog}: read up to byte {syslog.stat().st_size}\n" in said
    assert "  all files: read\n" in said
    assert "being read" not in said


def test_the_letter_of_a_file_that_could_not_be_opened_is_closed_by_the_run_that_reads_it(tmp_path: Path, billing: Source) -> None:
    (tmp_path / "app.log").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "other.log").write_text("2026-03-01T12:00:00Z hello\n")
    add(tmp_path / "*.log", "--format", "regex", "--pattern", r"(?P<time>\S+) (?P<message>.*)")
    Source.objects.exclude(name="shop-logs").update(is_enabled=False)
    for stage in ("etl_extract", "etl_transform", "etl_load"):
        run(stage)
    letter = DeadLetter.objects.get()
    assert (letter.stage, letter.state) == ("extract", "open")

    (tmp_path / "elsewhere").write_text("2026-03-01T12:00:00Z there\n")
    os.utime(tmp_path / "elsewhere", (1772366400, 1772366400))  # the last write is long ago, so the last event is complete
    for stage in ("etl_extract", "etl_transform", "etl_load"):
        run(stage)
    letter.refresh_from_db()
    assert (letter.state, letter.resolved_by) == ("replayed", f"run {ETLRun.objects.latest('pk').pk}")
