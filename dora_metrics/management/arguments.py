"""What every command shares: one form of an error, one meaning of each exit status, output that cannot control a terminal."""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, NoReturn

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper, handle_default_options
from django.db import connections

from dora_metrics import selectors, user_input
from dora_metrics.models import Service
from dora_metrics.terminal import one_line, printable, printable_json

LARGEST_ID = 2**63 - 1


class Refusal(CommandError):
    """Arguments that cannot be used; the command exits with its `refusal_status`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


def not_valid(exc: ValidationError) -> Refusal:
    """A model's or a field's own refusal, as a form shows it."""
    found = exc.message_dict if hasattr(exc, "error_dict") else {NON_FIELD_ERRORS: exc.messages}
    return Refusal("; ".join(message if name == NON_FIELD_ERRORS else f"{name}: {message}" for name, of in found.items() for message in of))


class Terminal(OutputWrapper):
    """What others have written reaches a terminal as text: it cannot move the cursor, colour it, or begin a line of its own."""

    def write(self, msg: str = "", style_func: Any = None, ending: str | None = None) -> None:  # type: ignore[override]  # as Django's
        ending = self.ending if ending is None else ending
        super().write(one_line(msg.removesuffix(ending)) + ending, style_func, ending)

    def write_text(self, text: str, *, ending: str = "\n") -> None:
        """Lines stay lines."""
        super().write(printable(text) + ending, ending=ending)


class _Parser(CommandParser):
    def error(self, message: str) -> NoReturn:
        raise Refusal(f"{message}; see `manage.py {self.prog.rpartition(' ')[2]} --help`")


class Command(BaseCommand):
    """A command whose error is one line on standard error. `refusal_status`: what it exits with for arguments that cannot be used."""

    refusal_status = 2
    requires_system_checks: list[str] = []
    stdout: Terminal
    stderr: Terminal

    def __init__(self, stdout: Any = None, stderr: Any = None, no_color: bool = False, force_color: bool = False) -> None:
        super().__init__(stdout, stderr, no_color, force_color)
        style = self.stderr.style_func
        self.stdout, self.stderr = Terminal(stdout or sys.stdout), Terminal(stderr or sys.stderr)
        self.stderr.style_func = style

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.__class__ = _Parser
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        """As Django's, but for the form of an error."""
        self._called_from_command_line = True
        try:
            options = vars(self.parsed(argv))
            handle_default_options(argparse.Namespace(**options))
            self.execute(*options.pop("args", ()), **options)
        except CommandError as exc:
            if "--traceback" in argv:
                raise
            self.stderr.write(f"error: {exc}")
            sys.exit(self.refusal_status if isinstance(exc, Refusal) else exc.returncode)
        finally:
            connections.close_all()

    def parsed(self, argv: list[str]) -> argparse.Namespace:
        for word in argv[2:]:
            if any("\ud800" <= letter <= "\udfff" for letter in word):  # how Python keeps bytes that it cannot decode
                raise Refusal(f"{word!r} is not UTF-8: write it in UTF-8")
        return self.create_parser(argv[0], argv[1]).parse_args(argv[2:])

    def execute(self, *args: Any, **options: Any) -> str | None:
        for name in ("stdout", "stderr"):  # of call_command; Django would wrap them in its own class
            if stream := options.pop(name, None):
                setattr(self, name, Terminal(stream))
        try:
            return super().execute(*args, **options)
        except Refusal as exc:
            exc.returncode = self.refusal_status
            raise

    def write_json(self, value: object, *, indent: int | None = 1) -> None:
        self.stdout.write_text(printable_json(json.dumps(value, indent=indent)))

    def write_csv(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write_text(line.removesuffix("\r\n"), ending="\r\n")

    def services(self, name: str | None) -> Sequence[Service]:
        """The named one, or all."""
        try:
            return selectors.services(name)
        except selectors.UnknownService as exc:
            raise Refusal(str(exc)) from exc

    def services_deployed_to(self, environment: str, name: str | None) -> Sequence[Service]:
        """The named one, or all that have this environment; refused where none has."""
        services = self.services(name)
        found, refusals = [], []
        for service in services:
            try:
                selectors.check_environment(service, environment)
                found.append(service)
            except selectors.UnknownEnvironment as exc:
                refusals.append(str(exc))
        if refusals and not found:
            raise Refusal(refusals[0] if len(refusals) == 1 else f"no service was ever deployed to {environment!r}")
        return found


def local_date(text: str) -> date:
    try:
        return user_input.date_of(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def row_id(text: str) -> int:
    """The number of a run or a letter."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID)) and 1 <= int(text) <= LARGEST_ID):
        raise argparse.ArgumentTypeError(f"{text[:30]!r} is no id: ids are whole numbers from 1 to {LARGEST_ID}")
    return int(text)


def check_order(start: date | None, end: date | None, *, names: tuple[str, str] = ("--from", "--to")) -> None:
    try:
        user_input.check_order(start, end, names=names)
    except ValueError as exc:
        raise Refusal(str(exc)) from exc
