"""add_log_source NAME --service SERVICE --path GLOB --format FORMAT|auto."""

import os
from argparse import BooleanOptionalAction
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser

from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import Service
from etl_tasks.management import log_format_options
from etl_tasks.models import Source
from etl_tasks.sources.logs.formats import Guess


class Command(BaseCommand):
    help = "Create or update a log source of a service."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--service", required=True)
        parser.add_argument("--path", required=True, metavar="GLOB", help="for example '/var/log/billing/*.log'")
        log_format_options.add_format_options(parser, is_required=True)
        parser.add_argument("--host", help="where the files lie, if a single host has them; --host= if every worker sees them")
        parser.add_argument("--deploy-pattern", metavar="REGEX", help="lines that tell of a deployment; groups sha, environment and state")
        parser.add_argument("--strict", action=BooleanOptionalAction, help="lines that are not of the format become dead letters")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        service = Service.objects.filter(name=options["service"]).first()
        if service is None:
            raise UsageError(f"there is no service {options['service']!r}: add it first with add_service")
        if Source.objects.filter(name=name).exclude(service=service, kind=Source.Kind.LOGS).exists():
            raise UsageError(f"a source named {name!r} exists already, of another kind or service: choose another name")
        if not options["path"].strip():
            raise UsageError("--path is empty: name the files, for example '/var/log/billing/*.log'")
        source = Source.objects.filter(name=name).first() or Source(name=name, service=service, kind=Source.Kind.LOGS)
        is_new = source.pk is None
        source.path = os.path.abspath(options["path"])  # the worker runs in another folder
        if options["host"] is not None:
            source.host = options["host"]
        guess = _guess(options, source) if options["format"] == log_format_options.AUTO else None
        log_format_options.apply(options, source)
        if options["deploy_pattern"] is not None:
            source.deploy_pattern = options["deploy_pattern"]
        if options["strict"] is not None:
            source.is_strict = options["strict"]
        try:
            source.full_clean(exclude=["service"])
        except ValidationError as exc:
            raise UsageError.from_validation(exc) from exc
        source.save()
        if guess:
            self.stdout.write(log_format_options.how_sure(guess))
        self.stdout.write(
            f"{'created' if is_new else 'updated'} log source {name} of {service}: {source.path}{f' on {source.host}' if source.host else ''}"
        )


def _guess(options: dict[str, Any], source: Source) -> Guess:
    path = source.path
    try:
        guess = log_format_options.guess_format(options, path)
    except FileNotFoundError:
        where = "" if source.is_here else f" on this host ({settings.ETL_HOST})"
        raise UsageError(f"no file matches {path!r}{where} yet, so its format cannot be seen: name it with --format") from None
    if not guess.is_sure:
        raise UsageError(f"{log_format_options.how_sure(guess)}: name the format with --format, and see with etl_preview_log what it would read")
    return guess
