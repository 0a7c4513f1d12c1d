"""What the commands of this app share: wrong input is one sentence and exit status 2."""

import argparse
from collections.abc import Sequence
from datetime import date
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

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
        found = list(Service.objects.filter(name=name) if name else Service.objects.all())
        if name and not found:
            known = ", ".join(Service.objects.values_list("name", flat=True)) or "none yet: add_service makes one"
            raise Refusal(f"there is no service {name!r}; known: {known}")
        return found


def local_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date: write it as 2026-02-28") from None


def check_order(start: date | None, end: date | None) -> None:
    if start and end and end <= start:
        raise Refusal(f"--to {end} is not after --from {start}: the period would end before it starts")
