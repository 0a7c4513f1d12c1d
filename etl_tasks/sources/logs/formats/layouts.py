"""The formats python and log4j, whose lines are written by a layout."""

from typing import ClassVar

from etl_tasks.sources.logs.formats.event_fields import RecordFormat, Values
from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.levels import level_of
from etl_tasks.sources.logs.formats.log4j import LOG4J_LAYOUTS, log4j_layout
from etl_tasks.sources.logs.formats.multiline import BadLine, Continuation
from etl_tasks.sources.logs.formats.python_logging import PYTHON_LAYOUTS, python_layout
from etl_tasks.sources.logs.formats.time_notations import is_dated


class Layouts(RecordFormat):
    """Reads lines by the layout that is the source's pattern. Without a pattern, it reads them by the usual layouts of programs (DECLARED)."""

    continuation: ClassVar[Continuation] = Continuation.NOT_AN_EVENT

    def __init__(self, options: FormatOptions) -> None:
        super().__init__(options)
        read = python_layout if options.log_format == "python" else log4j_layout
        declared = DECLARED[options.log_format]
        layouts = [read(options.pattern)] if options.pattern else [read(pattern, is_declared=True) for pattern in declared]
        self._layouts = [(layout.names, layout.match) for layout in layouts]
        self._mismatch = f"The line does not begin as {'the layout does' if options.pattern else 'one of the usual layouts'}."
        self.notations = tuple(dict.fromkeys(notation for layout in layouts for notation in layout.notations))
        if beginnings := [layout.beginning.match for layout in layouts if layout.beginning]:
            self.is_dated = lambda line: is_dated(line) or any(begins(line) for begins in beginnings)
        self.detail = min(len(layout.names) for layout in layouts)
        self.has_times = all(layout.has_time for layout in layouts)

    def parse(self, line: str) -> Values:
        for names, match in self._layouts:
            values = match(line)
            if values is not None:
                record = {name: value for name, value in zip(names, values, strict=True) if value}
                # Without a message, any two words could be a time and a level. So the level must be a known one.
                if "message" in record or "level" not in record or level_of(record["level"]) is not None:
                    return record
        raise BadLine(self._mismatch)


DECLARED = {"python": PYTHON_LAYOUTS, "log4j": LOG4J_LAYOUTS}
