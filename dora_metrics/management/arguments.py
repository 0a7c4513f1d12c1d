"""Arguments that several commands have: dates, periods and ids."""

import argparse
from datetime import date

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from dora_metrics import period_input
from dora_metrics.management.base_command import UsageError

LARGEST_ID = 2**63 - 1


def add_period_arguments(parser: CommandParser, *, start_help: str, end_help: str) -> None:
    """Add --from and --to, stored as `start` and `end`."""
    parser.add_argument("--from", dest="start", type=date_argument, metavar="DATE", help=start_help)
    parser.add_argument("--to", dest="end", type=date_argument, metavar="DATE", help=end_help)


def add_json_argument(parser: CommandParser, help_text: str) -> None:
    """Add --json. Every command with results for programs has it; the reports have --format instead."""
    parser.add_argument("--json", action="store_true", help=help_text)


def date_argument(text: str) -> date:
    """Return the date in the text. Used as the `type` of an argparse argument."""
    try:
        return period_input.parse_date(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def id_argument(text: str) -> int:
    """Return the id in the text, of a run or a dead letter. Used as the `type` of an argparse argument."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_ID)) and 1 <= int(text) <= LARGEST_ID):
        sentence = _("%(text)r is not an id: ids are whole numbers from 1 to %(largest)s") % {"text": text[:30], "largest": LARGEST_ID}
        raise argparse.ArgumentTypeError(sentence)
    return int(text)


def check_order(start: date | None, end: date | None, *, names: tuple[str, str] = ("--from", "--to")) -> None:
    """Raise UsageError if the period does not end after it starts. `names`: the two options, for the error message."""
    try:
        period_input.check_order(start, end, names=names)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
