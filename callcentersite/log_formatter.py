"""The format of log lines: time, level, logger, event name, and the event's values as key=value.

The values are those that the code passes as `extra`, such as the id of the run.
"""

import logging
from datetime import UTC, datetime

from dora_metrics.terminal_escaping import one_line, printable

# The attributes of every record. A record's other attributes were passed as `extra`.
STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class EventFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        values = " ".join(f"{key}={value!r}" for key, value in vars(record).items() if key not in STANDARD_ATTRIBUTES)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = one_line(f"{time} {record.levelname} {record.name}: {record.getMessage()} {values}".rstrip())
        if record.exc_info:
            line += "\n" + printable(self.formatException(record.exc_info))
        return line
