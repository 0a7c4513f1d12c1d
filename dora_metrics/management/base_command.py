"""The base class of every management command: how errors are printed, what the exit status is, and safe output to a terminal."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, NoReturn

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.management.base import BaseCommand as DjangoCommand
from django.core.management.base import CommandError, CommandParser, OutputWrapper, handle_default_options
from django.db import connections
from django.utils.translation import gettext

from dora_metrics.management.live_display import Display, is_colourless, is_terminal, live_display, print_coloured
from dora_metrics.management.parser_texts import translated_argparse
from dora_metrics.models import Service
from dora_metrics.name_suggestions import closest, suggestion
from dora_metrics.terminal_escaping import one_line, printable, printable_json


class UsageError(CommandError):
    """Arguments that cannot be used. The command exits with its `usage_error_status`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)

    @classmethod
    def from_validation(cls, exc: ValidationError) -> "UsageError":
        """Return the error with the messages of a model's or a field's validation, as a form shows them."""
        by_field = exc.message_dict if hasattr(exc, "error_dict") else {NON_FIELD_ERRORS: exc.messages}
        labels = {field: "" if field == NON_FIELD_ERRORS else gettext(field.replace("_", " ")) + ": " for field in by_field}  # as the models' labels
        return cls("; ".join(labels[field] + message for field, messages in by_field.items() for message in messages))


class TerminalOutput(OutputWrapper):
    """Output that escapes control characters.

    So text from GitHub, log files and users cannot move the cursor, change colours or start a new line.
    """

    _out: IO[str]

    def write(self, msg: str = "", style_func: Any = None, ending: str | None = None) -> None:  # type: ignore[override]  # Django's signature
        """Write one line; a line feed in `msg` is escaped, too."""
        ending = self.ending if ending is None else ending
        super().write(one_line(msg.removesuffix(ending)) + ending, style_func, ending)

    def write_text(self, text: str, *, ending: str = "\n") -> None:
        """Write text that may have several lines."""
        super().write(printable(text) + ending, ending=ending)


class _Parser(CommandParser):
    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is none of the choices, and suggest the most similar one."""
        if action.choices is not None and value not in action.choices and (meant := closest(str(value), map(str, action.choices))):
            raise argparse.ArgumentError(action, gettext("invalid choice: %(value)r; did you mean %(meant)r?") % {"value": value, "meant": meant})
        super()._check_value(action, value)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        with translated_argparse():
            return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            meant = closest(unknown[0].partition("=")[0], [option for option in self._option_string_actions if option.startswith("--")])
            sentence = gettext("unrecognized arguments: %(arguments)s") % {"arguments": " ".join(unknown)}
            self.error(sentence + ("; " + gettext("did you mean %(meant)s?") % {"meant": meant} if meant else ""))
        return found

    def error(self, message: str) -> NoReturn:
        see = gettext("see `manage.py %(command)s --help`") % {"command": self.prog.rpartition(" ")[2]}
        raise UsageError(f"{message}; {see}")


def _translate_help(parser: CommandParser) -> None:
    """Translate the description and the help texts, which the commands have in English. `help_texts` yields them for the catalogs."""
    parser.description = gettext(parser.description) if parser.description else parser.description
    for action in parser._actions:
        if action.help and action.help != argparse.SUPPRESS:
            action.help = gettext(action.help)
    for group in parser._action_groups:
        group.title = gettext(group.title) if group.title else group.title


def help_texts(command: DjangoCommand) -> Iterator[str]:
    """Yield the description and the help texts of the command that are not Django's own."""
    parser, plain = (each.create_parser("manage.py", "command") for each in (command, DjangoCommand()))
    known = {action.help for action in plain._actions} | {group.title for group in plain._action_groups}
    texts = [parser.description, *(action.help for action in parser._actions), *(group.title for group in parser._action_groups)]
    yield from (text for text in texts if text and text != argparse.SUPPRESS and text not in known)


class BaseCommand(DjangoCommand):
    """A command that prints an error as one line on standard error.

    `usage_error_status`: the exit status for arguments that cannot be used.
    """

    usage_error_status = 2
    requires_system_checks: list[str] = []
    stdout: TerminalOutput
    stderr: TerminalOutput

    def __init__(self, stdout: Any = None, stderr: Any = None, no_color: bool = False, force_color: bool = False) -> None:
        super().__init__(stdout, stderr, no_color or (is_colourless() and not force_color), force_color)
        self.has_colour = not is_colourless() or force_color
        style = self.stderr.style_func
        self.stdout, self.stderr = TerminalOutput(stdout or sys.stdout), TerminalOutput(stderr or sys.stderr)
        self.stderr.style_func = style

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.__class__ = _Parser
        _translate_help(parser)
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        """Run the command as Django does, but print a CommandError as one line that starts with "error: "."""
        self._called_from_command_line = True
        try:
            options = vars(self._parse(argv))
            handle_default_options(argparse.Namespace(**options))
            self.execute(*options.pop("args", ()), **options)
        except CommandError as exc:
            if "--traceback" in argv:
                raise
            self.stderr.write(gettext("error: %(message)s") % {"message": exc})
            sys.exit(self.usage_error_status if isinstance(exc, UsageError) else exc.returncode)
        finally:
            connections.close_all()

    def _parse(self, argv: list[str]) -> argparse.Namespace:
        for word in argv[2:]:
            # Python decodes bytes that are not UTF-8 to lone surrogates.
            if any("\ud800" <= character <= "\udfff" for character in word):
                raise UsageError(gettext("%(word)r is not UTF-8: write it in UTF-8") % {"word": word})
        return self.create_parser(argv[0], argv[1]).parse_args(argv[2:])

    def execute(self, *args: Any, **options: Any) -> str | None:
        for name in ("stdout", "stderr"):  # call_command passes them here; Django would wrap them in its own class
            if stream := options.pop(name, None):
                setattr(self, name, TerminalOutput(stream))
        if is_colourless() and not options["force_color"]:
            options["no_color"] = True
        self.has_colour = not options["no_color"]
        try:
            return super().execute(*args, **options)
        except UsageError as exc:
            exc.returncode = self.usage_error_status
            raise

    @contextmanager
    def live_display(self) -> Iterator[Display]:
        """Show progress on standard error while the block runs, if that is a terminal; lines of the command appear above it.

        Elsewhere nothing is shown. A command that another program calls by `call_command` shows nothing, either.
        """
        terminal = self.stderr._out
        if not self._called_from_command_line or not is_terminal(terminal):
            yield Display()
            return
        with live_display(terminal, has_colour=self.has_colour) as (display, above):
            outputs = [output for output in (self.stdout, self.stderr) if is_terminal(output._out)]
            former = [output._out for output in outputs]
            for output in outputs:
                output._out = above
            try:
                yield display
            finally:
                for output, stream in zip(outputs, former, strict=True):
                    output._out = stream

    def width(self, default: int) -> int:
        """Return the width of the terminal that shows the output; `default` if the output goes elsewhere."""
        return shutil.get_terminal_size((default, 24)).columns if is_terminal(self.stdout._out) else default

    def can_print(self, characters: str) -> bool:
        """Return whether the output's encoding has the characters."""
        try:
            characters.encode(getattr(self.stdout._out, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def write_coloured(self, line: str, colours: Mapping[str, str]) -> None:
        """Write one line; on a terminal with colours, the words of `colours` have the given colour. The line may contain data."""
        if self.has_colour and self._called_from_command_line and is_terminal(self.stdout._out):
            print_coloured(self.stdout._out, one_line(line), colours)
        else:
            self.stdout.write(line)

    def write_labelled(self, label: str, text: str, *, colour: str) -> None:
        """Write one line that begins with a label, which has a colour on a terminal."""
        if self.has_colour and self._called_from_command_line and is_terminal(self.stdout._out):
            print_coloured(self.stdout._out, one_line(f"{label}  {text}"), {}, first=(len(label), colour))
        else:
            self.stdout.write(f"{label}  {text}")

    def write_json(self, value: object, *, indent: int | None = 1) -> None:
        self.stdout.write_text(printable_json(json.dumps(value, indent=indent)))

    def write_csv(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.stdout.write_text(line.removesuffix("\r\n"), ending="\r\n")

    def services(self, name: str | None) -> Sequence[Service]:
        """Return the named service, or all services if `name` is None. Raises UsageError."""
        from dora_metrics import selectors  # here, because only the reports need them, and they import all calculators

        try:
            return selectors.services(name)
        except selectors.UnknownService as exc:
            raise UsageError(str(exc)) from exc

    def services_deployed_to(self, environment: str, name: str | None) -> Sequence[Service]:
        """Return the services (all, or the named one) that were deployed to this environment. Raises UsageError if none was.

        All services count as deployed to production.
        """
        from dora_metrics import selectors  # as above

        services = self.services(name)
        found: list[Service] = []
        unknown: list[selectors.UnknownEnvironment] = []
        for service in services:
            try:
                selectors.check_environment(service, environment)
                found.append(service)
            except selectors.UnknownEnvironment as exc:
                unknown.append(exc)
        if len(unknown) == 1 and not found:
            raise UsageError(str(unknown[0]))
        if unknown and not found:
            known = sorted({name for exc in unknown for name in exc.known})
            values = {"environment": environment, "meant": suggestion(environment, known)}
            raise UsageError(gettext("no service was ever deployed to %(environment)r; %(meant)s") % values)
        return found
