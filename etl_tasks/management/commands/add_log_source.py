"""add_log_source NAME --service SERVICE --path GLOB --format FORMAT|auto: create or update a log source."""

import os
from argparse import BooleanOptionalAction
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import Service
from dora_metrics.name_suggestions import suggestion
from etl_tasks.intervals import describe_interval
from etl_tasks.management import log_format_options
from etl_tasks.management.interval_argument import add_interval_argument, apply_interval
from etl_tasks.models import Source
from etl_tasks.sources.logs.formats.detection import Guess


class Command(BaseCommand):
    help = "Create or update a log source of a service. Options that are left out keep their value. Exit status: 0, or 2 for wrong arguments."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="name of the source")
        parser.add_argument("--service", required=True, metavar="NAME", help="service that writes the log")
        parser.add_argument("--path", required=True, metavar="GLOB", help="files to read, for example '/var/log/billing/*.log'")
        log_format_options.add_format_options(parser, is_required=True)
        add_interval_argument(parser)
        parser.add_argument("--host", help="host that has the files, if only one has; --host= if every worker sees them")
        parser.add_argument(
            "--deploy-pattern", metavar="REGEX", help="lines that record a deployment; named groups sha, environment and state give its values"
        )
        parser.add_argument("--strict", action=BooleanOptionalAction, help="turn lines that do not match the format into dead letters")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        service = Service.objects.filter(name=options["service"]).first()
        if service is None:
            meant = suggestion(options["service"], Service.objects.values_list("name", flat=True), otherwise=_("add it first with add_service"))
            raise UsageError(_("there is no service %(name)r; %(meant)s") % {"name": options["service"], "meant": meant})
        if Source.objects.filter(name=name).exclude(service=service, kind=Source.Kind.LOGS).exists():
            raise UsageError(_("a source named %(name)r exists already, of another kind or service: choose another name") % {"name": name})
        if not options["path"].strip():
            raise UsageError(_("--path is empty: name the files, for example '/var/log/billing/*.log'"))
        source = Source.objects.filter(name=name).first() or Source(name=name, service=service, kind=Source.Kind.LOGS)
        is_new = source.pk is None
        source.path = os.path.abspath(options["path"])  # a worker runs in another working directory
        if options["host"] is not None:
            source.host = options["host"]
        guess = _guess_format(options, source) if options["format"] == log_format_options.AUTO else None
        log_format_options.apply_format_options(options, source)
        if options["deploy_pattern"] is not None:
            source.deploy_pattern = options["deploy_pattern"]
        if options["strict"] is not None:
            source.is_strict = options["strict"]
        apply_interval(options["every"], source)
        try:
            source.full_clean(exclude=["service"])
        except ValidationError as exc:
            raise UsageError.from_validation(exc) from exc
        source.save()
        if guess:
            self.stdout.write(log_format_options.describe_guess(guess))
        place = _("%(path)s on %(host)s") % {"path": source.path, "host": source.host} if source.host else source.path
        if is_new:
            sentence = _("created log source %(name)s of %(service)s: %(place)s, read %(interval)s")
        else:
            sentence = _("updated log source %(name)s of %(service)s: %(place)s, read %(interval)s")
        interval = describe_interval(source.every_minutes)
        self.stdout.write(sentence % {"name": name, "service": service, "place": place, "interval": interval})


def _guess_format(options: dict[str, Any], source: Source) -> Guess:
    """Guess the format of the source's files, and set it in `options`. Raises UsageError if the guess is not sure."""
    try:
        guess = log_format_options.guess_format(options, source.path)
    except FileNotFoundError:
        if source.is_here:
            sentence = _("no file matches %(path)r yet, so its format cannot be seen: name it with --format")
        else:
            sentence = _("no file matches %(path)r on this host (%(host)s) yet, so its format cannot be seen: name it with --format")
        raise UsageError(sentence % {"path": source.path, "host": settings.ETL_HOST}) from None
    if not guess.is_sure:
        values = {"guess": log_format_options.describe_guess(guess)}
        raise UsageError(_("%(guess)s: name the format with --format, and see with etl_preview_log what it would read") % values)
    return guess
