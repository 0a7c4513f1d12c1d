"""Inputs that were read wrongly in the past, from a folder beside the repository. Without that folder the tests are skipped."""

from pathlib import Path

import pytest
from django.conf import settings

from log_store.event import LogEvent
from tests.etl_tasks.sources.logs.formats.parsed import events

CASES = Path(settings.BASE_DIR).parent / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
CRI = r"^(?P<time>\S+) (?P<stream>stdout|stderr) (?P<tag>[FP]) (?P<message>.*)$"
PYTHON = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


def read(name: str, log_format: str, pattern: str = "") -> list[LogEvent]:
    found = events(log_format, (CASES / name).read_bytes(), pattern=pattern)
    assert [one for one in found if "unparsed" in one.extra] == []
    return found


@pytest.mark.parametrize(("name", "log_format"), [("bom.json", "json"), ("bom.access", "combined"), ("bom.py.log", "python")])
def test_a_byte_order_mark_hides_no_line(name: str, log_format: str) -> None:
    first, second = read(name, log_format)

    assert (first.level, f"{first.time:%H:%M:%S}", f"{second.time:%H:%M:%S}") == ("error", "10:00:00", "10:00:01")
    assert first.host == ("10.0.0.1" if log_format == "combined" else "")


@pytest.mark.parametrize(
    ("name", "log_format", "pattern", "trace"),
    [
        ("empty_message.py.log", "python", PYTHON, "Traceback (most recent call last):"),
        ("empty_message.py.log", "python", "", "Traceback (most recent call last):"),
        ("empty_message.log4j", "log4j", "", "java.lang.IllegalStateException: x"),
    ],
)
def test_an_error_without_a_message_keeps_its_trace(name: str, log_format: str, pattern: str, trace: str) -> None:
    before, error, after = read(name, log_format, pattern)

    assert [(one.level, one.message) for one in (before, after)] == [("info", "ok"), ("info", "ok2")]
    assert error.level == "error"
    assert error.message.startswith(trace)


def test_a_container_s_line_without_a_message_is_an_event() -> None:
    found = read("empty_message.cri", "regex", CRI)

    assert [one.message for one in found] == ["Before", "", "trailing"]
    assert found[1].time.isoformat() == "2026-11-26T10:00:00.400000+00:00"


def test_a_virtual_host_and_a_proxy_stand_beside_the_client() -> None:
    found = read("vhost_combined.access", "combined")

    assert [one.host for one in found] == ["10.0.0.1", "10.0.0.1"]
    assert [one.extra.get("vhost") for one in found] == ["shop.example:443", None]
    assert found[1].extra["forwarded_for"] == "10.0.0.1, 10.0.0.2"
    assert all("user" not in one.extra for one in found)
