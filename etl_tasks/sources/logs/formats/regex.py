"""The format regex: a regular expression of the user, with named groups."""

import re
from typing import ClassVar

from dora_metrics.calculators.sentences import Sentence, gettext_noop
from etl_tasks.sources.logs.formats.event_fields import KEYS, RecordFormat, Values
from etl_tasks.sources.logs.formats.interface import FormatOptions
from etl_tasks.sources.logs.formats.multiline import BadLine, Continuation
from etl_tasks.sources.logs.formats.user_patterns import compiled, line_matcher

# The group of the time may match any word, for example if it is \S+, and so also the "ValueError:" of a traceback. A time has at least four digits.
_may_be_a_time = re.compile(r"\D*+\d\D*+\d\D*+\d\D*+\d", re.ASCII).match


class RegexFormat(RecordFormat):
    """Matches the user's regex with the whole first line of an event, in linear time."""

    continuation: ClassVar[Continuation] = Continuation.NOT_AN_EVENT

    def __init__(self, options: FormatOptions) -> None:
        super().__init__(options)
        if not options.pattern:
            raise ValueError(
                Sentence(
                    gettext_noop(
                        "the format regex needs a pattern: a regular expression with named groups, as (?P<time>…) (?P<level>…) (?P<message>…)"
                    )
                )
            )
        names = compiled(options.pattern).groupindex
        if not any(name in names for name in self._keys["time"]):
            raise ValueError(Sentence(gettext_noop("the pattern {!r} has no group named time: write (?P<time>…) around the time"), options.pattern))
        self._names = tuple(names)
        self._match = line_matcher(options.pattern, tuple(names.values()))
        self._has_message = any(name in names for name in KEYS["message"])
        time_names = [name for name in names if name in self._keys["time"]]
        self._only_time = time_names[0] if len(time_names) == 1 else ""

    def parse(self, line: str) -> Values:
        values = self._match(line)
        if values is None and line[0] not in " \t":
            # The pattern may require a blank before its last group, even if this group is empty. Lines are read without trailing blanks, so try the
            # line again with a blank.
            values = self._match(f"{line} ") or self._match(f"{line}\t")
        if values is None:
            raise BadLine("The line does not match the pattern.")
        record = {name: value for name, value in zip(self._names, values, strict=True) if value}
        time = record.get(self._only_time)
        if time is not None and not _may_be_a_time(time):
            raise BadLine("The line has no time where the pattern has one.")
        if not self._has_message:
            record["message"] = line
        return record
