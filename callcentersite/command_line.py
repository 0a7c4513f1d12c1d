"""Run a management command so that whatever is missing ends in one sentence and the documented exit status."""

import logging
import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

# What a command exits with when the database is away: the stage's own number for a stage, else 1.
EXIT_STATUS_WITHOUT_DATABASE = {"etl_extract": 1, "etl_transform": 2, "etl_load": 3, "etl_run": 1}

# To those who ask for numbers, a setting that cannot be, such as a time zone, is bad input like any other.
REFUSE_BAD_SETTINGS = {"dora_report", "dora_export", "dora_explain", "recompute_metrics"}


def execute(argv: list[str]) -> int:
    try:
        execute_from_command_line(argv)
    except BrokenPipeError:
        # The reader, `head` say, has what it wanted. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ImproperlyConfigured as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2 if argv[1:2] and argv[1] in REFUSE_BAD_SETTINGS else 1
    except Exception as exc:
        from django.db.utils import InterfaceError, OperationalError, ProgrammingError

        if "--traceback" in argv or not isinstance(exc, OperationalError | InterfaceError | ProgrammingError):
            raise
        logging.getLogger(__name__).debug("database_away", exc_info=exc)
        print(f"error: {database_sentence(exc)}", file=sys.stderr)
        return EXIT_STATUS_WITHOUT_DATABASE.get(argv[1] if len(argv) > 1 else "", 1)
    return 0


def database_sentence(exc: Exception) -> str:
    reason = str(exc.args[-1] if exc.args else exc)
    if "no such table" in reason or "doesn't exist" in reason or "no such column" in reason:
        return f"the database has no tables of this version ({reason}): run `python manage.py migrate`"
    return f"the database cannot be reached ({reason}): check DATABASE_URL and that the server runs"
