"""The format logfmt: key=value pairs. Values with spaces are in quotes."""

import re
from typing import ClassVar

import msgspec

from etl_tasks.sources.logs.formats.event_fields import RecordFormat, Values
from etl_tasks.sources.logs.formats.multiline import BadLine, Continuation

_pair = re.compile(r'([^\s="]+)=(?:"((?:[^"\\]|\\.)*+)"|([^\s"]*+))(?:\s+|$)').match
_decode = msgspec.json.Decoder(str).decode


class Logfmt(RecordFormat):
    continuation: ClassVar[Continuation] = Continuation.INDENTED

    def parse(self, line: str) -> Values:
        values: Values = {}
        end = 0
        # Match one pair after the other. In a line that is not logfmt, a search would try again at every byte.
        while pair := _pair(line, end):
            key, quoted, bare = pair.groups()
            values[key] = bare if quoted is None else _unquoted(quoted) if "\\" in quoted else quoted
            end = pair.end()
        if end != len(line) or not values:
            raise BadLine("The line is not logfmt: key=value pairs, values with spaces in double quotes.")
        return values


def _unquoted(text: str) -> str:
    try:
        return _decode(f'"{text}"')
    except msgspec.DecodeError:  # escapes such as \xff, which JSON does not have, stay unchanged
        return text.replace('\\"', '"')
