"""The live display, on a real terminal: a pseudo-terminal whose other end the test reads."""

import io
import logging
import os
import pty
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError

from dora_metrics.management.base_command import BaseCommand
from dora_metrics.management.live_display import Display, is_terminal, live_display, time_left

EVIL = "a\x1b[2Jb [bold red]c[/] :smile:"


class Terminal:
    """A pseudo-terminal. `text`: what was written to it, once it is closed."""

    def __init__(self, path: Path) -> None:
        self._master, slave = pty.openpty()
        self.stream = os.fdopen(slave, "w", buffering=1)
        self.text = ""

    def close(self) -> None:
        self.stream.flush()
        os.set_blocking(self._master, False)
        parts = []
        while True:
            try:
                parts.append(os.read(self._master, 65536))
            except OSError:  # nothing is left
                break
        self.text = b"".join(parts).decode()
        self.stream.close()
        os.close(self._master)


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal(tmp_path)


class Work(BaseCommand):
    def handle(self, *args: Any, **options: Any) -> None:
        with self.live_display() as display:
            item = display.add(EVIL, total=4)
            item.update(done=2, note="two of four")
            self.stdout.write(f"a line of {EVIL}")
            logging.getLogger("etl_tasks").warning("a log line")
        raise CommandError("it failed")


@contextmanager
def called_from_a_shell(terminal: Terminal, *, stdout: Any) -> Iterator[BaseCommand]:
    command = Work(stdout=stdout, stderr=terminal.stream)
    handler = logging.StreamHandler(terminal.stream)
    logging.getLogger().addHandler(handler)
    try:
        yield command
    finally:
        logging.getLogger().removeHandler(handler)
        assert handler.stream is terminal.stream
        terminal.close()


def test_on_a_terminal_lines_appear_above_the_bar_and_data_stays_data(terminal: Terminal) -> None:
    with called_from_a_shell(terminal, stdout=terminal.stream) as command, pytest.raises(SystemExit) as ended:
        command.run_from_argv(["manage.py", "work"])
    assert ended.value.code == 1
    assert r"a line of a\x1b[2Jb [bold red]c[/] :smile:" in terminal.text
    assert r"a\x1b[2Jb [bold red]c[/] :smile:" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.text)
    assert "two of four" in terminal.text
    assert " 50%" in terminal.text
    assert "a log line" in terminal.text
    assert "error: it failed" in terminal.text
    assert "\x1b[2J" not in terminal.text


def test_output_that_goes_to_a_file_has_only_the_lines(terminal: Terminal) -> None:
    out = io.StringIO()
    with called_from_a_shell(terminal, stdout=out) as command, pytest.raises(SystemExit):
        command.run_from_argv(["manage.py", "work"])
    assert out.getvalue() == "a line of a\\x1b[2Jb [bold red]c[/] :smile:\n"
    assert "a line of" not in terminal.text
    assert " 50%" in terminal.text


@pytest.mark.parametrize("words", [["--no-color"], []])
def test_without_colours_nothing_is_coloured(terminal: Terminal, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if not words:
        monkeypatch.setenv("NO_COLOR", "1")
    with called_from_a_shell(terminal, stdout=terminal.stream) as command, pytest.raises(SystemExit):
        command.run_from_argv(["manage.py", "work", *words])
    assert "error: it failed" in terminal.text
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", terminal.text)


def test_where_there_is_no_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Work(stdout=sys.stdout, stderr=sys.stderr).run_from_argv(["manage.py", "work"])
    out, err = capsys.readouterr()
    assert out == "a line of a\\x1b[2Jb [bold red]c[/] :smile:\n"
    assert err.endswith("error: it failed\n")
    assert not Display().is_live
    assert not is_terminal(io.StringIO())


def test_a_dumb_terminal_shows_no_display(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with called_from_a_shell(terminal, stdout=terminal.stream) as command, pytest.raises(SystemExit):
        command.run_from_argv(["manage.py", "work"])
    assert "50%" not in terminal.text


def test_the_time_that_is_left_follows_from_what_was_done() -> None:
    assert time_left(elapsed=100, done=100, remaining=400) == "about 6.7 min left"
    assert time_left(elapsed=1, done=1, remaining=400) == ""
    assert time_left(elapsed=100, done=0, remaining=400) == ""
    assert time_left(elapsed=100, done=100, remaining=0) == ""


def test_a_line_that_is_removed_is_gone_and_one_without_a_total_has_no_share(terminal: Terminal) -> None:
    with live_display(terminal.stream, has_colour=False) as (display, _):
        assert display.is_live
        assert display.room >= 1
        first = display.add("first", total=2)
        first.advance()
        first.remove()
        display.add("second").update(note="no total")
    terminal.close()
    assert "no total" in terminal.text
    assert "%" not in terminal.text.rpartition("second")[2]
