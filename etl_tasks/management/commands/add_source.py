"""add_source NAME --service SERVICE --kind KIND: a source of any kind, with the fields that its adapter needs."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser

from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import Service
from etl_tasks.models import Source
from etl_tasks.sources.registry import adapters

OWN_COMMAND = {Source.Kind.GITHUB: "add_service", Source.Kind.LOGS: "add_log_source"}


class Command(BaseCommand):
    help = "Create or update a source of a kind that ETL_ADAPTERS adds; a service that is new is created, too. Exit status 0, or 2 for bad input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--service", required=True)
        parser.add_argument("--kind", required=True)
        parser.add_argument("--path", help="for kinds that read files")
        parser.add_argument("--host", help="where the files lie, if a single host has them; --host= if every worker sees them")
        parser.add_argument("--option", action="append", metavar="NAME=VALUE", help="what else the kind needs; may be repeated")

    def handle(self, *args: Any, **options: Any) -> None:
        name, kind = options["name"], options["kind"]
        if kind in OWN_COMMAND:
            raise UsageError(f"a source of kind {kind} has a command of its own: {OWN_COMMAND[kind]}")
        if kind not in adapters():
            raise UsageError(f"there is no kind {kind!r} of source; known: {', '.join(adapters())}; ETL_ADAPTERS adds others")
        service = Service.objects.filter(name=options["service"]).first() or Service(name=options["service"])
        source = Source.objects.filter(name=name).first() or Source(name=name, service=service, kind=kind)
        is_new = source.pk is None
        if (source.service, source.kind) != (service, kind):
            raise UsageError(f"a source named {name!r} exists already, of another kind or service: choose another name")
        if options["path"] is not None:
            source.path = options["path"]
        if options["host"] is not None:
            source.host = options["host"]
        for one in options["option"] or ():
            key, sign, value = one.partition("=")
            if not key or not sign:
                raise UsageError(f"--option {one!r} sets nothing: write it as name=value")
            source.options[key] = value
        try:
            service.full_clean()
            source.full_clean(exclude=["service"])
        except ValidationError as exc:
            raise UsageError.from_validation(exc) from exc
        service.save()
        source.service = service
        source.save()
        self.stdout.write(f"{'created' if is_new else 'updated'} source {name} of {service}, of kind {kind}")
