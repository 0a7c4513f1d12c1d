"""What the commands share: wrong input is one sentence and the documented exit status."""

import argparse
from datetime import UTC, date, datetime
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Refusal(CommandError):
    """Input that cannot be used."""

    def __init__(self, message: str, *, returncode: int = 2) -> None:
        super().__init__(message, returncode=returncode)


class _Parser(CommandParser):
    refusal_status = 2

    def error(self, message: str) -> NoReturn:
        self.exit(self.refusal_status, f"error: {message}; see `manage.py {self.prog.rpartition(' ')[2]} --help`\n")


class Command(BaseCommand):
    """A command whose wrong input exits with `refusal_status`."""

    refusal_status = 2
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.__class__ = type("Parser", (_Parser,), {"refusal_status": self.refusal_status})
        return parser


def local_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date: write it as 2026-02-28") from None


def start_of(day: date) -> datetime:
    """The first instant of a local date of the business's zone, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(settings.ETL_TIME_ZONE)).astimezone(UTC)
