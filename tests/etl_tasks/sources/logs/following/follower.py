"""Read new lines of log files as the pipeline does."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from etl_tasks.sources.logs.following.follow import Chunk, Unreadable, chunks
from log_store.event import KEY_LENGTH, event_id, segment_of


class Follower:
    """Reads the files that match a pattern again and again.

    Between two reads, the positions are converted to JSON and back, as in the database. `ids` has an (identity, offset) for each line read:
    the identity of its file and the line's first byte there.
    """

    def __init__(self, pattern: Path, begins: Callable[[bytes], bool] | None = None) -> None:
        self.pattern = str(pattern)
        self.begins = begins
        self.positions: dict[str, dict] = {}
        self.ids: list[tuple[str, int]] = []
        self.unreadable: list[Unreadable] = []

    def new_lines(self, meanwhile: Callable[[], object] | None = None) -> list[str]:
        """Return the lines that were not returned before. `meanwhile` is called once, after the first chunk."""
        found: list[str] = []
        for item in chunks(self.pattern, json.loads(json.dumps(self.positions)), begins=self.begins):
            if isinstance(item, Unreadable):
                self.unreadable.append(item)
                continue
            found += self._lines_of(item)
            self.positions[item.stream] = item.position
            if meanwhile:
                meanwhile()
                meanwhile = None
        return found

    def _lines_of(self, chunk: Chunk) -> list[str]:
        assert len(chunk.stream) <= 200
        lines, offset = [], chunk.start
        segments = set()
        for line in chunk.body.split(b"\n"):
            if line:
                self.ids.append((chunk.identity, offset))
                lines.append(line.decode(errors="backslashreplace"))
                if len(lines) == 1 or self.begins is None or self.begins(line):
                    segments.add(segment_of(event_id("0" * KEY_LENGTH, offset)))
            offset += len(line) + 1
        assert len(segments) <= 1
        return lines


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def settle(*paths: Path, seconds: float = 60) -> None:
    """Set the files' modification times to `seconds` ago. After 60 seconds, the last event of a file counts as complete."""
    for path in paths:
        os.utime(path, (time.time() - seconds,) * 2)
