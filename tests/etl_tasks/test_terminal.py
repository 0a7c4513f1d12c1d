"""Text from other systems cannot control the terminal. This covers values and keys, in output and in errors."""

import csv
import io
import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.db import connections
from django.utils import timezone

from callcentersite.log_formatter import EventFormatter
from dora_metrics.models import ApiToken, Change, Deployment, Issue, LoginAttempts
from dora_metrics.terminal_escaping import CONTROLS, one_line, printable, printable_json
from etl_tasks import dead_letters, ledger
from etl_tasks.models import DeadLetter, ETLRun, Fault, Source
from etl_tasks.sources.adapter import Check
from etl_tasks.sources.github.adapter import GitHubRepository
from log_store.event import LogEvent, event_id, file_key
from log_store.opening import open_log_store
from tests.dora_metrics.example_service import a_service

EVIL = "a\x1b[2J\x07\x08\x9b1A\x7f\r\u202egnp\u2066\u2028\u2029\x85\u200b\x1b]0;title\x07z"
TIME = datetime(2026, 1, 10, 12, tzinfo=UTC)
OURS = sorted(name for name, app in get_commands().items() if app in ("etl_tasks", "dora_metrics"))


class EvilGitHub(GitHubRepository):
    def check(self, source: Source) -> Check:
        return Check(can_be_read=False, sentences=[EVIL])


@pytest.fixture
def world(db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store the `EVIL` text in every field that another system or person can set."""
    settings.CASSANDRA_CONTACT_POINTS = []
    # A command closes the connection when it ends. This would roll back the rows of the test's transaction.
    monkeypatch.setattr(connections, "close_all", lambda: None)
    service = a_service("billing")
    Change.objects.update(title=EVIL, author=EVIL, url=EVIL)
    Issue.objects.update(title=EVIL)
    other = Deployment.objects.create(
        service=service,
        repository=service.repositories.get(),
        external_id=900009,
        environment=EVIL,
        created_at=TIME,
        version_at=TIME,
        run_id=1,
        page_id=1,
    )
    Deployment.objects.filter(pk=other.pk).update(statuses=[{"state": "success", "created_at": TIME.isoformat(), "log_url": EVIL}])
    source = Source.objects.create(
        name="github", service=service, kind="github", repository="acme/billing", facts_repository=service.repositories.get()
    )
    Source.objects.create(name="logs", service=service, kind="logs", path=f"/var/log/{EVIL}", log_format="json")
    settings.ETL_ADAPTERS = {"github": f"{__name__}.{EvilGitHub.__name__}"}
    run = ledger.open_run(source, trigger="shell")
    assert run
    dead_letters.bury_stage(run.pk, "extract", EVIL)
    Fault.objects.create(name=EVIL[:50], error=EVIL)
    ApiToken.objects.create(name=EVIL, digest="of one that an older version made")
    LoginAttempts.objects.create(kind="password", name=EVIL, address=EVIL[:50], failures=5, failed_at=timezone.now())
    store = open_log_store()
    store.ensure_schema()
    extra = {EVIL: EVIL}
    store.write([LogEvent(event_id(file_key(2, "1:2:0"), 0), "logs", TIME, "error", host=EVIL, logger=EVIL, message=EVIL, path=EVIL, extra=extra)])
    line = {"time": TIME.isoformat(), "level": "info", "message": EVIL, EVIL: EVIL, "other": {EVIL: 1}}
    (tmp_path / "app.log").write_text(json.dumps(line, ensure_ascii=False) + "\n" + EVIL.replace("\u2028", "") + "\n")
    return tmp_path / "app.log"


def commands_of(path: Path) -> dict[str, list[tuple[str, ...]]]:
    run, letter = str(ETLRun.objects.get().pk), str(DeadLetter.objects.get().pk)
    day = ("--source", "logs", "--from", "2026-01-10", "--to", "2026-01-11")
    return {
        "add_log_source": [
            ("x", "--service", EVIL, "--path", "y", "--format", "json"),
            ("x", "--service", "billing", "--path", "y", "--format", EVIL),
        ],
        "add_service": [(EVIL, "--repository", "a/b"), ("x", "--repository", EVIL), ("x", "--repository", "a/b", "--production", f"({EVIL}")],
        "add_source": [
            (EVIL, "--service", "billing", "--kind", "logs"),
            ("x", "--service", EVIL, "--kind", EVIL),
            ("x", "--service", "billing", "--kind", "logs", "--path", EVIL, "--option", EVIL),
        ],
        "api_token": [("list",), ("create", EVIL * 20), ("disable", EVIL), ("create", f"good {EVIL}"[:6])],
        "check_source": [("github",), (EVIL,)],
        "dead_letters": [("list",), ("show", letter), ("show", letter, "--json"), ("replay", letter), ("list", "--source", EVIL)],
        "delete_service": [("billing",), (EVIL,)],
        "delete_source": [("logs",), (EVIL,), ("github", "--yes")],
        "doctor": [(), ("--json",)],
        "dora_explain": [
            *(("billing", metric, "2026-01", *json_) for metric in ("change_lead_time", "change_fail_rate") for json_ in ((), ("--json",))),
            ("billing", "deployment_frequency", "2026-01", "--environment", EVIL),
            (EVIL, "change_lead_time", "2026-01"),
        ],
        "dora_export": [(what, "--format", form) for what in ("deployments", "changes", "incidents", "metrics") for form in ("jsonl", "csv")],
        "dora_report": [
            ("--environment", EVIL),
            ("--service", EVIL),
            ("--environment", EVIL, "--format", "json"),
            ("--environment", EVIL, "--format", "csv"),
        ],
        "etl_extract": [("--source", EVIL), ("--source", "github")],
        "etl_load": [(EVIL,)],
        "etl_preview_log": [(str(path),), (str(path), "--format", "json"), (EVIL,)],
        "etl_run": [("--source", EVIL), ("--since", EVIL)],
        "etl_status": [(), ("--json",), ("--run", run), ("--run", run, "--json"), ("--run", EVIL)],
        "etl_transform": [("--run", EVIL)],
        "init_log_store": [(EVIL,)],
        "log_events": [day, (*day, "--format", "jsonl"), ("--source", EVIL), (*day, "--level", EVIL)],
        "login_locks": [("list",), ("list", "--json"), ("unlock", EVIL), ("unlock", "--address", EVIL), (EVIL,)],
        "prune": [(), ("--dry-run",), ("--json",), (EVIL,)],
        "recompute_metrics": [("--service", EVIL)],
    }


def printed(name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    with suppress(SystemExit):
        load_command_class(get_commands()[name], name).run_from_argv(["manage.py", name, *words])
    return tuple(capsys.readouterr())


@pytest.mark.parametrize("name", OURS)
def test_no_command_prints_what_a_terminal_would_obey(world: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands_of(world)[name]:
        for text in printed(name, words, capsys):
            rest = text.replace("\r\n", "\n") if "csv" in words else text
            assert not CONTROLS.search(rest), (words, rest)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("etl_status", ("--json",)),
        ("dead_letters", ("list", "--json")),
        ("dora_explain", ("billing", "change_lead_time", "2026-01", "--json")),
        ("log_events", ("--source", "logs", "--from", "2026-01-10", "--to", "2026-01-11", "--format", "jsonl")),
    ],
)
def test_json_keeps_the_value(world: Path, name: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = printed(name, words, capsys)
    assert EVIL in strings_of(json.loads(out))


def strings_of(value: Any) -> list[str]:
    match value:
        case dict():
            return [*value, *(text for one in value.values() for text in strings_of(one))]
        case list():
            return [text for one in value for text in strings_of(one)]
    return [value] if isinstance(value, str) else []


def test_csv_stays_csv(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Change.objects.update(title="two\nlines, and \x1b[2J")
    out, _ = printed("dora_export", ("changes", "--format", "csv"), capsys)
    heads, *rows = csv.reader(io.StringIO(out, newline=""))
    assert {row[heads.index("title")] for row in rows} == {"two\nlines, and \\x1b[2J"}


def test_a_line_of_another_s_cannot_pass_for_a_line_of_the_command_s(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ETLRun.objects.update(error="no\nlast night: all is well")
    DeadLetter.objects.update(error="no\n7  replayed", data="one\nstate: replayed")
    out, _ = printed("etl_status", (), capsys)
    assert "no\\nlast night: all is well" in out
    out, _ = printed("dead_letters", ("show", str(DeadLetter.objects.get().pk)), capsys)
    assert [line for line in out.splitlines() if line.startswith("state: ")] == ["state: open"]


def test_a_log_line_is_one_line_and_its_traceback_is_safe() -> None:
    try:
        raise ValueError(EVIL)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "said %s\nERROR all is well", (EVIL,), sys.exc_info())
    record.title = EVIL
    first, *rest = EventFormatter().format(record).split("\n")
    assert not CONTROLS.search(first + "".join(rest))
    assert "\\nERROR all is well" in first
    assert rest[0] == "Traceback (most recent call last):"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("héllo 日本 👩\u200d💻 a\tb\xa0c", "héllo 日本 👩\u200d💻 a\tb\xa0c"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b\x85\u2028\u202e\udcff", r"\x9b\x85\u2028\u202e\udcff"),
    ],
)
def test_letters_stay_and_controls_become_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert one_line(f"{text}\n") == shown + r"\n"
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text
