"""Run a management command. After a failure, print one line and return the exit status that docs/commands.md lists."""

import logging
import os
import sys

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility, get_commands
from django.core.management.base import BaseCommand
from django.db.utils import InterfaceError, OperationalError, ProgrammingError
from django.utils.translation import gettext as _

from dora_metrics.name_suggestions import suggestion
from dora_metrics.terminal_escaping import one_line
from etl_tasks.management.stage_exit_status import EXIT_STATUS_OF_STAGE

# The exit statuses of the stage commands after a failure of settings, database or disk. Other commands then exit with 1.
FAILURE_STATUS = {f"etl_{stage}": status for stage, status in EXIT_STATUS_OF_STAGE.items()}
INTERRUPTED = 130


class UnknownCommand(Exception):
    """There is no such command. The message suggests one."""


class _CommandLine(ManagementUtility):
    def fetch_command(self, subcommand: str) -> BaseCommand:
        # If the settings cannot be used, `get_commands` lacks our commands. Django's own lookup then raises an error with the reason.
        if subcommand not in (known := get_commands()) and known.keys() & FAILURE_STATUS.keys():
            values = {"name": subcommand, "meant": suggestion(subcommand, known, otherwise=_("`manage.py help` lists them"))}
            raise UnknownCommand(_("there is no command %(name)r; %(meant)s") % values)
        return super().fetch_command(subcommand)


def execute(argv: list[str]) -> int:
    """Run the command and return its exit status. A command that ends with an error of its own raises SystemExit instead."""
    failure = FAILURE_STATUS.get(argv[1] if len(argv) > 1 else "", 1)
    # Each stream is None if the shell has closed it.
    sys.stdout, sys.stderr = sys.stdout or open(os.devnull, "w"), sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    try:
        try:
            _CommandLine(argv).execute()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, for example `head`, has closed the pipe
        _discard_output()
        return 0
    except KeyboardInterrupt:
        return _print_error(_("interrupted") if apps.ready else "interrupted", INTERRUPTED)
    except UnknownCommand as exc:
        return _print_error(str(exc), 2)
    except ImproperlyConfigured as exc:
        return _print_error(str(exc), failure)
    except Exception as exc:
        if "--traceback" in argv:
            raise
        if isinstance(exc, OperationalError | InterfaceError | ProgrammingError):
            logging.getLogger(__name__).debug("database_away", exc_info=exc)
            return _print_error(_database_message(exc), failure)
        if isinstance(exc, OSError):  # for example a full disk, or a folder without permission
            where = exc.filename or _("the output")
            return _print_error(f"{where}: {exc.strerror or exc}", failure)
        raise
    return 0


def _print_error(message: str, status: int) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
    text = _("error: %(message)s") if apps.ready else "error: %(message)s"  # before that, nothing can be translated
    print(one_line(text % {"message": message}), file=sys.stderr)
    return status


def _discard_output() -> None:
    """Redirect standard output to /dev/null: otherwise Python prints another error when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _database_message(exc: Exception) -> str:
    reason = str(exc.args[-1] if exc.args else exc)
    if "no such table" in reason or "doesn't exist" in reason or "no such column" in reason:
        return _("the database has no tables of this version (%(error)s): run `python manage.py migrate`") % {"error": reason}
    return _("the database cannot be reached (%(error)s): check DATABASE_URL and that the server runs") % {"error": reason}
