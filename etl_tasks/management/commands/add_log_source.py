"""add_log_source NAME --service SERVICE --path GLOB --format json|combined."""

import os
from typing import Any

from django.core.management.base import CommandParser

from dora_metrics.models import Service
from etl_tasks.management.arguments import Command as Base
from etl_tasks.management.arguments import Refusal
from etl_tasks.management.commands.add_service import NAME
from etl_tasks.models import Source


class Command(Base):
    help = "Create or update a log source of a service."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--service", required=True)
        parser.add_argument("--path", required=True, metavar="GLOB", help="for example '/var/log/billing/*.log'")
        parser.add_argument("--format", required=True, choices=Source.LogFormat.values)

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        if not NAME.fullmatch(name):
            raise Refusal(f"{name!r} cannot be a source's name: use letters, digits, points, hyphens and underscores, at most 100")
        service = Service.objects.filter(name=options["service"]).first()
        if service is None:
            raise Refusal(f"there is no service {options['service']!r}: add it first with add_service")
        if Source.objects.filter(name=name).exclude(service=service, kind=Source.Kind.LOGS).exists():
            raise Refusal(f"a source named {name!r} exists already, of another kind or service: choose another name")
        if not options["path"].strip():
            raise Refusal("--path is empty: name the files, for example '/var/log/billing/*.log'")
        path = os.path.abspath(options["path"])  # the worker runs in another folder
        _, is_new = Source.objects.update_or_create(
            name=name,
            defaults={"service": service, "kind": Source.Kind.LOGS, "path": path, "log_format": options["format"]},
        )
        self.stdout.write(f"{'created' if is_new else 'updated'} log source {name} of {service}: {path}")
