"""All formats by name, and the format for the options of a source."""

from functools import lru_cache

from dora_metrics.calculators.sentences import Sentence, gettext_noop
from etl_tasks.sources.logs.formats.apache_error import ApacheError
from etl_tasks.sources.logs.formats.combined import Combined
from etl_tasks.sources.logs.formats.interface import Format, FormatOptions
from etl_tasks.sources.logs.formats.json_lines import JsonLines
from etl_tasks.sources.logs.formats.layouts import DECLARED, Layouts
from etl_tasks.sources.logs.formats.line_format import LineFormat
from etl_tasks.sources.logs.formats.logfmt import Logfmt
from etl_tasks.sources.logs.formats.regex import RegexFormat
from etl_tasks.sources.logs.formats.syslog import Syslog

__all__ = ["DECLARED", "FORMATS", "format_of"]

FORMATS: dict[str, type[LineFormat]] = {
    "json": JsonLines,
    "combined": Combined,
    "apache_error": ApacheError,
    "syslog": Syslog,
    "python": Layouts,
    "logfmt": Logfmt,
    "log4j": Layouts,
    "regex": RegexFormat,
}
WITH_A_PATTERN = ("python", "log4j", "regex")
WITH_FIELDS = ("json", "logfmt")


@lru_cache(maxsize=256)
def format_of(options: FormatOptions) -> Format:
    """Return the format for these options. Raises ValueError, with a hint, if they do not fit together."""
    name = options.log_format
    if name not in FORMATS:
        raise ValueError(Sentence(gettext_noop("{!r} is not a format of log lines: name one of {}"), name, ", ".join(FORMATS)))
    if options.pattern and name not in WITH_A_PATTERN:
        raise ValueError(Sentence(gettext_noop("the format {} has no pattern: leave it empty, or choose one of {}"), name, ", ".join(WITH_A_PATTERN)))
    if options.fields and name not in WITH_FIELDS:
        raise ValueError(
            Sentence(gettext_noop("the format {} has no named fields: leave the fields empty, or choose one of {}"), name, ", ".join(WITH_FIELDS))
        )
    return FORMATS[name](options)
