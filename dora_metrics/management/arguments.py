"""What the commands of this app share: wrong input is one sentence and exit status 2."""

import argparse
from collections.abc import Sequence
from datetime import date
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dora_metrics import asked, selectors
from dora_metrics.models import Service


class Refusal(CommandError):
    """Input that cannot be used."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class Command(BaseCommand):
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)

        def refuse(message: str) -> NoReturn:
            parser.exit(2, f"error: {message}; see `manage.py {subcommand} --help`\n")

        parser.error = refuse  # type: ignore[method-assign]
        return parser

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
        return asked.date_of(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def check_order(start: date | None, end: date | None) -> None:
    try:
        asked.check_order(start, end, names=("--from", "--to"))
    except ValueError as exc:
        raise Refusal(str(exc)) from exc
