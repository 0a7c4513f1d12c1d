"""Run a management command so that whatever goes wrong ends in one line and the documented exit status (docs/commands.md)."""

import logging
import os
import sys
from difflib import get_close_matches

from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility, get_commands
from django.core.management.base import BaseCommand

from dora_metrics.terminal_escaping import one_line

# What a command exits with when settings, database or disk keep it from its work: the stage's own number for a stage, else 1.
STATUS_OF_STAGE = {"etl_extract": 1, "etl_transform": 2, "etl_load": 3}
INTERRUPTED = 130


class UnknownCommand(Exception):
    """The message says what may have been meant."""


class _CommandLine(ManagementUtility):
    def fetch_command(self, subcommand: str) -> BaseCommand:
        # Django's own lookup raises the reason if bad settings are why the command is missing.
        if subcommand not in (known := get_commands()) and known.keys() & STATUS_OF_STAGE.keys():
            meant = get_close_matches(subcommand, known, n=1)
            raise UnknownCommand(f"there is no command {subcommand!r}: " + (f"do you mean {meant[0]}?" if meant else "`manage.py help` lists them"))
        return super().fetch_command(subcommand)


def execute(argv: list[str]) -> int:
    failed = STATUS_OF_STAGE.get(argv[1] if len(argv) > 1 else "", 1)
    # They are None where the shell has closed them.
    sys.stdout, sys.stderr = sys.stdout or open(os.devnull, "w"), sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    try:
        try:
            _CommandLine(argv).execute()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has what it wanted
        _discard_output()
        return 0
    except KeyboardInterrupt:
        return _ended("interrupted", INTERRUPTED)
    except UnknownCommand as exc:
        return _ended(str(exc), 2)
    except ImproperlyConfigured as exc:
        return _ended(str(exc), failed)
    except Exception as exc:
        from django.db.utils import InterfaceError, OperationalError, ProgrammingError

        if "--traceback" in argv:
            raise
        if isinstance(exc, OperationalError | InterfaceError | ProgrammingError):
            logging.getLogger(__name__).debug("database_away", exc_info=exc)
            return _ended(database_sentence(exc), failed)
        if isinstance(exc, OSError):  # a full disk, a folder that may not be read
            return _ended(f"{exc.filename or 'the output'}: {exc.strerror or exc}", failed)
        raise
    return 0


def _ended(sentence: str, status: int) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
    print(one_line(f"error: {sentence}"), file=sys.stderr)
    return status


def _discard_output() -> None:
    """Python would complain once more when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def database_sentence(exc: Exception) -> str:
    reason = str(exc.args[-1] if exc.args else exc)
    if "no such table" in reason or "doesn't exist" in reason or "no such column" in reason:
        return f"the database has no tables of this version ({reason}): run `python manage.py migrate`"
    return f"the database cannot be reached ({reason}): check DATABASE_URL and that the server runs"
