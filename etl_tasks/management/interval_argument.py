"""The option --every of the commands that add sources."""

import argparse
import re

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from etl_tasks.models import Source

NIGHTLY = "nightly"
MINUTES_OF_UNIT = {"m": 1, "h": 60}


def add_interval_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--every",
        type=interval_argument,
        metavar="TIME",
        help=_("also run between the nights: 15m or 1h after the last run began; nightly for nightly runs only; default: nightly"),
    )


def interval_argument(text: str) -> int:
    """Return the minutes in the text, such as 15m or 1h; 0 for nightly. Used as the `type` of an argparse argument."""
    if text == NIGHTLY:
        return 0
    found = re.fullmatch(r"([1-9][0-9]{0,3})([mh])", text)
    if not found:
        raise argparse.ArgumentTypeError(_("%(text)r is not an interval: write it as 15m, 1h or nightly") % {"text": text[:30]})
    return int(found[1]) * MINUTES_OF_UNIT[found[2]]


def apply_interval(minutes: int | None, source: Source) -> None:
    """Set the interval of the source. `minutes`: 0 for nightly runs only; None if the option was left out, so that the interval stays."""
    if minutes is not None:
        source.every_minutes = minutes or None
