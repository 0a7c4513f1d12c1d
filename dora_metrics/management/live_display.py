"""What commands show on a terminal only: the live progress of a long command, and colours.

In a pipe, a file or a log nothing of the progress is printed: the command's own lines remain.

Labels are data of other systems: they are escaped, and rich never reads markup in them.
"""

import io
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from django.conf import settings
from django.utils.translation import gettext as _

from dora_metrics.display import duration_text
from dora_metrics.terminal_escaping import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

ROWS_LEFT_FREE = 4  # of the terminal: the lines above the display must stay visible
BAR_WIDTH = 24
FIRST_ESTIMATE_S = 3.0  # an estimate from a shorter time would jump about


class Item:
    """One line of a display. The methods of this class do nothing: it is the line of a display that nobody sees."""

    def update(self, *, done: float | None = None, total: float | None = None, note: str | None = None) -> None:
        """Change the given values. `done`, `total`: in any unit; a total of 0 is unknown. `note`: a short text behind the bar."""

    def advance(self, by: float = 1) -> None:
        """Add to what is done."""

    def remove(self) -> None:
        """Take the line away."""


class Display:
    """A display that nobody sees, because there is no terminal."""

    is_live = False
    room = 0  # how many lines the terminal has room for

    def add(self, label: str, *, total: float | None = None, note: str = "") -> Item:
        """Add a line. Without `total`, it only shows that work goes on."""
        return Item()


def is_terminal(stream: object) -> bool:
    """Return whether a person sees the stream on a terminal that can move its cursor."""
    try:
        return bool(stream.isatty()) and os.environ.get("TERM", "") not in ("dumb", "unknown")  # type: ignore[attr-defined]
    except (AttributeError, ValueError):  # ValueError: the stream is closed
        return False


def is_colourless() -> bool:
    """Return whether the environment asks for output without colours: https://no-color.org."""
    return bool(os.environ.get("NO_COLOR"))


def print_coloured(stream: IO[str], line: str, colours: Mapping[str, str], *, first: tuple[int, str] = (0, "")) -> None:
    """Print a line on a terminal, with the words of `colours` in their colours. Nothing else in the line is interpreted.

    `first`: how many characters at the beginning have which colour.
    """
    from rich.console import Console
    from rich.text import Text

    text = Text(line)
    text.stylize(first[1], 0, first[0])
    for word, colour in colours.items():
        text.highlight_regex(rf"\b{word}\b", colour)
    Console(file=stream, force_terminal=True, markup=False, emoji=False, highlight=False).print(text, soft_wrap=True)


@contextmanager
def live_display(stream: IO[str], *, has_colour: bool) -> Iterator[tuple[Display, IO[str]]]:
    """Show a live display on the terminal `stream`. Yield it and a stream whose lines appear above it.

    Log lines that go to the terminal appear above it, too.
    """
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
    from rich.progress_bar import ProgressBar

    class Bar(ProgressColumn):
        def render(self, task: Task) -> ProgressBar:
            is_known = bool(task.fields["is_known"])
            total = task.total if is_known else None
            return ProgressBar(total=total, completed=task.completed, width=BAR_WIDTH, pulse=not is_known, animation_time=task.get_time())

    console = Console(
        file=stream, force_terminal=True, no_color=not has_colour or is_colourless(), markup=False, emoji=False, highlight=False, soft_wrap=False
    )
    columns = (
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        Bar(),
        TextColumn("{task.fields[share]}", markup=False),
        TextColumn("{task.fields[note]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
    )
    progress = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False, refresh_per_second=4)
    above = _LinesAbove(console)
    with _log_lines_to(above, instead_of=stream), progress:
        yield _LiveDisplay(progress, console), above
        above.flush()


class _LiveDisplay(Display):
    is_live = True

    def __init__(self, progress: "Progress", console: "Console") -> None:
        self._progress = progress
        self.room = max(1, console.height - ROWS_LEFT_FREE)

    def add(self, label: str, *, total: float | None = None, note: str = "") -> Item:
        return _LiveItem(self._progress, label, total=total, note=note)


class _LiveItem(Item):
    def __init__(self, progress: "Progress", label: str, *, total: float | None, note: str) -> None:
        self._progress = progress
        self._done, self._total = 0.0, total
        self._began_at, self._began_with = time.monotonic(), 0.0
        self._id = progress.add_task(one_line(label), total=total, share="", note=one_line(note), left="", is_known=bool(total))

    def update(self, *, done: float | None = None, total: float | None = None, note: str | None = None) -> None:
        if not self._done and done:  # what was done before this command does not say how fast it is
            self._began_at, self._began_with = time.monotonic(), done
        self._done = self._done if done is None else done
        self._total = self._total if total is None else total
        total = self._total or 0.0
        # rich cannot make a known total unknown again, so the bar reads `is_known`.
        self._progress.update(self._id, completed=self._done, total=self._total, is_known=total > 0)
        if note is not None:
            self._progress.update(self._id, note=one_line(note))
        share = f"{int(min(self._done / total, 1.0) * 100):3}%" if total else ""
        self._progress.update(self._id, share=share, left=self._left(total) if total else "")

    def advance(self, by: float = 1) -> None:
        self.update(done=self._done + by)

    def remove(self) -> None:
        self._progress.remove_task(self._id)

    def _left(self, total: float) -> str:
        return time_left(elapsed=time.monotonic() - self._began_at, done=self._done - self._began_with, remaining=total - self._done)


def time_left(*, elapsed: float, done: float, remaining: float) -> str:
    """Return how long the rest will take if it goes on as before, as in "about 12 min left"; empty while nobody can know.

    `elapsed`: seconds, in which `done` was done.
    """
    if elapsed < FIRST_ESTIMATE_S or done <= 0 or remaining <= 0:
        return ""
    return _("about %(duration)s left") % {"duration": duration_text(elapsed / done * remaining)}


class _LinesAbove(io.StringIO):
    """A stream that prints whole lines above the display."""

    def __init__(self, console: "Console") -> None:
        super().__init__()
        self._console, self._rest = console, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._print(line)
        return len(text)

    def flush(self) -> None:
        if self._rest:
            self._print(self._rest)
            self._rest = ""

    def isatty(self) -> bool:
        return True

    def _print(self, line: str) -> None:
        from rich.text import Text

        # from_ansi keeps the colours of our own errors; text from outside comes escaped and has none.
        self._console.print(Text.from_ansi(line), soft_wrap=True)


@contextmanager
def _log_lines_to(above: IO[str], *, instead_of: IO[str]) -> Iterator[None]:
    """Print the log lines that go to the terminal `instead_of` above the display; with ETL_LOG_LEVEL=INFO only from WARNING on.

    The display shows what the lines of this level say.
    """
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler) and is_terminal(handler.stream)]
    former = [(handler.setStream(above), handler.level) for handler in handlers]
    if settings.ETL_LOG_LEVEL == "INFO":
        for handler in handlers:
            handler.setLevel(max(handler.level, logging.WARNING))
    try:
        yield
    finally:
        for handler, (stream, level) in zip(handlers, former, strict=True):
            handler.setStream(stream or instead_of)
            handler.setLevel(level)
