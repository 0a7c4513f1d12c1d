"""The formats of log lines: docs/formats.md says what each of them reads."""

from etl_tasks.sources.logs.formats.declared import FORMATS, format_of
from etl_tasks.sources.logs.formats.detect import Guess, detect

__all__ = ["FORMATS", "Guess", "detect", "format_of"]
