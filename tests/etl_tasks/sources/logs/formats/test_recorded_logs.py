"""Compare each line of real logs with the fields that their publishers list. Skipped where the logs are missing."""

import csv
import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings

from log_store.event import LogEvent
from tests.etl_tasks.sources.logs.formats.parsed import events

RECORDED = Path(settings.BASE_DIR).parent / "shared" / "data" / "logs"
pytestmark = pytest.mark.skipif(not RECORDED.exists(), reason="the recorded logs are not here")

# Neither log has years. Linux_2k covers 14 June to 27 July; its kernel lines name 2005. OpenSSH_2k covers one day in December.
LINUX_WRITTEN_AT = datetime(2005, 7, 27, 15, tzinfo=UTC)
SSH_WRITTEN_AT = datetime(2017, 12, 11, tzinfo=UTC)


def truth(name: str) -> list[dict[str, str]]:
    with gzip.open(RECORDED / f"{name}_structured.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def body(name: str) -> bytes:
    return (RECORDED / name).read_bytes()


def differing(read: list[LogEvent], said: list[dict[str, str]], fields: dict[str, tuple[str, str]]) -> dict[int, dict[str, tuple[str, str]]]:
    """Return the differing fields by line number, each as (value read, expected value)."""
    assert len(read) == len(said)
    return {
        number: wrong
        for number, (event, row) in enumerate(zip(read, said, strict=True), start=1)
        if (wrong := {name: (ours, row[column]) for name, (column, ours) in of_event(event, fields).items() if ours != row[column]})
    }


def of_event(event: LogEvent, fields: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    read = {name: event.extra.get("pid", "") if name == "pid" else written.format(event=event) for name, (_, written) in fields.items()}
    return {name: (column, read[name]) for name, (column, _) in fields.items()}


def test_apaches_error_log() -> None:
    fields = {
        "time": ("Time", "{event.time:%a %b %d %H:%M:%S %Y}"),
        "message": ("Content", "{event.message}"),
    }
    read, said = events("apache_error", body("Apache_2k.log")), truth("Apache_2k.log")

    assert differing(read, said, fields) == {}
    assert [event.level for event in read] == [{"notice": "info"}.get(row["Level"], row["Level"]) for row in said]


def test_a_server_s_syslog() -> None:
    fields = {
        "time": ("Time", "{event.time:%H:%M:%S}"),
        "month": ("Month", "{event.time:%b}"),
        "day": ("Date", "{event.time.day}"),
        # The published file has the host in its column "Level".
        "host": ("Level", "{event.host}"),
        "logger": ("Component", "{event.logger}"),
        "pid": ("PID", ""),
        "message": ("Content", "{event.message}"),
    }
    read = events("syslog", body("Linux_2k.log"), where={"written_at": LINUX_WRITTEN_AT})

    assert differing(read, truth("Linux_2k.log"), fields) == {}
    assert {event.time.year for event in read} == {2005}


def test_an_ssh_server_s_syslog() -> None:
    fields = {
        "time": ("Time", "{event.time:%H:%M:%S}"),
        "month": ("Date", "{event.time:%b}"),
        "day": ("Day", "{event.time.day}"),
        # The published file has the host in its column "Component", and no column for the component (sshd).
        "host": ("Component", "{event.host}"),
        "pid": ("Pid", ""),
        "message": ("Content", "{event.message}"),
    }
    read = events("syslog", body("OpenSSH_2k.log"), where={"written_at": SSH_WRITTEN_AT})

    assert differing(read, truth("OpenSSH_2k.log"), fields) == {}
    assert {event.logger for event in read} == {"sshd"}


@pytest.mark.parametrize(
    ("log_format", "pattern"),
    [
        ("log4j", ""),
        ("log4j", "%d{yyMMdd HHmmss} %pid %p %c: %m%n"),
        ("regex", r"(?P<time>\d{6} \d{6}) (?P<pid>\d+) (?P<level>[A-Z]+) (?P<logger>[^:]+): (?P<message>.*)"),
    ],
)
def test_hdfs(log_format: str, pattern: str) -> None:
    read = events(log_format, body("HDFS_2k.log"), pattern=pattern)

    ours = [f"{event.time:%y%m%d %H%M%S} {event.extra['pid']} {event.level.upper()} {event.logger}: {event.message}" for event in read]
    assert ours == [line.rstrip().replace(" WARN ", " WARNING ", 1) for line in body("HDFS_2k.log").decode().splitlines()]


def test_an_access_log_by_status_and_hour() -> None:
    lines = body("apache_access_combined.log").decode().splitlines()
    read = events("combined", "\n".join(lines))

    assert len(read) == 10_000
    counted = Counter((f"{event.time:%d/%b/%Y:%H}", str(event.status)) for event in read)
    assert counted == Counter((line.split("[")[1][:14], line.split('" ')[1][:3]) for line in lines)
