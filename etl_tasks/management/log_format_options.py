"""How log lines are to be read, as the commands are told: options, or a guess from the files themselves."""

import glob
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.core.management.base import CommandParser

from dora_metrics.management.base_command import UsageError
from etl_tasks.models import Source
from etl_tasks.sources.logs.allowed_folders import log_roots
from etl_tasks.sources.logs.following import follow
from etl_tasks.sources.logs.formats import Guess, detect

AUTO = "auto"
FILES_LOOKED_AT = 5
LINES_LOOKED_AT = 200


def add_format_options(parser: CommandParser, *, is_required: bool) -> None:
    parser.add_argument("--format", required=is_required, choices=[*Source.LogFormat.values, AUTO], help="auto decides from the first lines")
    parser.add_argument("--pattern", help="a regex with named groups, a format string of Python's logging, or a log4j layout")
    parser.add_argument("--time-zone", metavar="ZONE", help='of times without one: an IANA name, or "local"; default UTC')
    parser.add_argument("--field", action="append", metavar="NAME=KEY", help="the key that JSON or logfmt has for a field; may be repeated")


def fields_of(given: Iterable[str]) -> dict[str, str]:
    """Raises UsageError."""
    fields = {}
    for one in given:
        name, _, key = one.partition("=")
        if not name or not key:
            raise UsageError(f"--field {one!r} maps nothing: write it as message=text")
        fields[name] = key
    return fields


def apply(options: dict[str, Any], source: Source) -> None:
    """Sets what was given; what was not stays, but a pattern and fields belong to the format they were set with. Raises UsageError."""
    if options["format"] != source.log_format:
        source.log_format, source.log_pattern, source.log_fields = options["format"], "", {}
    if options["pattern"] is not None:
        source.log_pattern = options["pattern"]
    if options["time_zone"] is not None:
        source.log_time_zone = options["time_zone"]
    if options["field"] is not None:
        source.log_fields = fields_of(options["field"])


def refuse_outside(pattern: str) -> None:
    """Raises UsageError if log sources may not read there."""
    if refusal := log_roots().refusal(pattern):
        raise UsageError(refusal)


def guess_format(options: dict[str, Any], pattern: str) -> Guess:
    """The format, and layout, of the files that a pattern names. Raises UsageError, FileNotFoundError."""
    refuse_outside(pattern)
    if options["pattern"] is not None:
        raise UsageError("--pattern says how lines of one format are read: name it with --format")
    unreadable: list[follow.Unreadable] = []
    paths = follow.paths_of(pattern, log_roots())[:FILES_LOOKED_AT]
    guess = detect([line for path in paths for line in islice(_lines(path, unreadable), LINES_LOOKED_AT)])
    if not guess.total and unreadable:
        raise UsageError(f"{unreadable[0].path} cannot be looked at: {unreadable[0].reason}")
    options["format"], options["pattern"] = guess.log_format, guess.pattern
    return guess


def _lines(path: str, unreadable: list[follow.Unreadable]) -> Iterator[bytes]:
    """What cannot be read is added to `unreadable`."""
    for chunk in follow.chunks(glob.escape(path), {}, roots=log_roots()):
        if isinstance(chunk, follow.Unreadable):
            unreadable.append(chunk)
        else:
            yield from chunk.body.splitlines()


def how_sure(guess: Guess) -> str:
    if not guess.total:
        return "the files have no whole line yet"
    if not guess.read:
        return f"none of {guess.total} lines is of a known format"
    if guess.is_tie:
        return f"{guess.log_format} and {guess.runner_up} read {guess.read} of {guess.total} lines each, and differently"
    layout = f", in the layout {guess.pattern}" if guess.pattern else ""
    return f"{'' if guess.is_sure else 'only '}{guess.read} of {guess.total} lines read as {guess.log_format}{layout}"
