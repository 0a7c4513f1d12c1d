"""The options that say how log lines are read, and the guess of a format from the first lines of the files."""

from collections.abc import Iterable
from typing import Any
from zoneinfo import available_timezones

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from dora_metrics.management.base_command import UsageError
from dora_metrics.name_suggestions import closest
from etl_tasks.errors import reason_text
from etl_tasks.models import Source
from etl_tasks.sources.logs.allowed_folders import log_roots
from etl_tasks.sources.logs.formats.detection import Guess
from etl_tasks.sources.logs.preview import guess_of_files

AUTO = "auto"
LOCAL = "local"


def add_format_options(parser: CommandParser, *, is_required: bool) -> None:
    parser.add_argument(
        "--format",
        required=is_required,
        choices=[*Source.LogFormat.values, AUTO],
        help="format of the lines; auto guesses it from the first lines" + ("" if is_required else "; default: the source's, or auto"),
    )
    parser.add_argument("--pattern", help="a regex with named groups, a format string of Python's logging, or a log4j layout")
    parser.add_argument(
        "--time-zone", metavar="ZONE", help='zone of times that name none: an IANA name, or "local" for the host\'s zone; default: UTC'
    )
    parser.add_argument(
        "--field", action="append", metavar="NAME=KEY", help="JSON or logfmt key that holds a field, for example message=text; may be repeated"
    )


def apply_format_options(options: dict[str, Any], source: Source) -> None:
    """Set the given options on the source; its other settings stay the same. A new format clears the pattern and the fields of the old one.

    Raises UsageError.
    """
    if options["format"] != source.log_format:
        source.log_format, source.log_pattern, source.log_fields = options["format"], "", {}
    if options["pattern"] is not None:
        source.log_pattern = options["pattern"]
    if options["time_zone"] is not None:
        _check_time_zone(options["time_zone"])
        source.log_time_zone = options["time_zone"]
    if options["field"] is not None:
        source.log_fields = _parse_fields(options["field"])


def _check_time_zone(name: str) -> None:
    """Raise UsageError if a similar name is a time zone and this one is not. Any other mistake is found with the source's other settings."""
    known = available_timezones() | {LOCAL}
    if name not in known and (meant := closest(name, known)):
        values = {"name": name, "meant": meant}
        raise UsageError(_("--time-zone %(name)r is not an IANA time zone; did you mean %(meant)r?") % values)


def _parse_fields(values: Iterable[str]) -> dict[str, str]:
    fields = {}
    for value in values:
        name, _sign, key = value.partition("=")
        if not name or not key:
            raise UsageError(_("--field %(value)r maps nothing: write it as message=text") % {"value": value})
        fields[name] = key
    return fields


def check_is_allowed(pattern: str) -> None:
    """Raise UsageError if the files are outside the folders of LOG_ROOTS."""
    if refusal := log_roots().refusal(pattern):
        raise UsageError(refusal)


def guess_format(options: dict[str, Any], pattern: str) -> Guess:
    """Guess the format of the files that `pattern` matches, and set it in `options`. Raises UsageError, FileNotFoundError."""
    check_is_allowed(pattern)
    if options["pattern"] is not None:
        raise UsageError(_("--pattern says how lines of one format are read: name it with --format"))
    try:
        guess = guess_of_files(pattern)
    except ValueError as exc:
        raise UsageError(reason_text(exc)) from exc
    options["format"], options["pattern"] = guess.log_format, guess.pattern
    return guess


def describe_guess(guess: Guess) -> str:
    """Return a sentence that says how many lines the guessed format reads."""
    if not guess.total:
        return _("the files have no whole line yet")
    if not guess.read:
        return _("none of %(total)s lines is of a known format") % {"total": guess.total}
    values = {"read": guess.read, "total": guess.total, "format": guess.log_format}
    if guess.is_tie:
        return _("%(format)s and %(other)s read %(read)s of %(total)s lines each, and differently") % {**values, "other": guess.runner_up}
    layout = ", " + _("in the layout %(layout)s") % {"layout": guess.pattern} if guess.pattern else ""
    sentence = _("%(read)s of %(total)s lines read as %(format)s") if guess.is_sure else _("only %(read)s of %(total)s lines read as %(format)s")
    return sentence % values + layout
