"""The formats of log lines: docs/formats.md says what each of them reads."""

from etl_tasks.sources.logs.formats.detect import Guess, detect
from etl_tasks.sources.logs.formats.known_formats import FORMATS, format_of

__all__ = ["FORMATS", "Guess", "detect", "format_of"]
