"""JSON lines."""

from typing import ClassVar

import msgspec

from etl_tasks.sources.logs.formats.lines import BadLine, GoesOn
from etl_tasks.sources.logs.formats.records import Records, Values

_decode = msgspec.json.Decoder().decode


class JsonLines(Records):
    goes_on: ClassVar[GoesOn] = GoesOn.NEVER
    backslash: ClassVar[str] = "\\\\"  # JSON reads two as one

    def parse(self, line: str) -> Values:
        try:
            record = _decode(line)
        except msgspec.DecodeError as exc:
            raise BadLine(f"The line is not JSON: {exc}.") from exc
        except RecursionError as exc:
            raise BadLine("The line is JSON nested too deeply.") from exc
        if type(record) is not dict:
            raise BadLine(f"The line is JSON, but a {type(record).__name__} and not an object.")
        return record
