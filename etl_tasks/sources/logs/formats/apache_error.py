"""Apache's error log."""

import re
from typing import ClassVar

from etl_tasks.sources.logs.formats.event_fields import RecordFormat, Values
from etl_tasks.sources.logs.formats.multiline import BadLine, Continuation
from etl_tasks.sources.logs.formats.time_notations import SYSLOG_TIME

_APACHE = re.compile(
    rf"\[([A-Za-z]{{3}} {SYSLOG_TIME} \d{{4}})\] \[(?:([\w-]*):)?([A-Za-z]+\d?)\]"
    r"(?: \[pid (\d+)(?::tid (\d+))?\])?(?: ((?:\[client ([^\]]*)\](?: |$))?.*))?",
    re.ASCII,
)
_APACHE_NAMES = ("time", "logger", "level", "pid", "tid", "message", "client")


class ApacheError(RecordFormat):
    """Reads the lines of Apache 2.2, `[time] [level] [client …] message`, and 2.4, `[time] [module:level] [pid …:tid …] [client …] message`.

    The client is put into `extra`, and it also stays in the message.
    """

    continuation: ClassVar[Continuation] = Continuation.INDENTED

    def parse(self, line: str) -> Values:
        found = _APACHE.fullmatch(line)
        if found is None:
            raise BadLine("The line is not of Apache's error log: [time] [level] message.")
        return {name: value for name, value in zip(_APACHE_NAMES, found.groups(), strict=True) if value}
