"""One line an event: the static name, then its values as key=value, with run and task ids where they are bound."""

import logging
from datetime import UTC, datetime

from dora_metrics.terminal_escaping import one_line, printable

# Every attribute of a plain record; what a record has beyond them came in by `extra`.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class EventFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        values = " ".join(f"{key}={value!r}" for key, value in vars(record).items() if key not in STANDARD)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = one_line(f"{time} {record.levelname} {record.name}: {record.getMessage()} {values}".rstrip())
        if record.exc_info:
            line += "\n" + printable(self.formatException(record.exc_info))
        return line
