"""check_source NAME: what the credentials may read, which streams would stay empty, what a first collection would cost."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from dora_metrics.management.base_command import BaseCommand, UsageError
from etl_tasks import pipeline
from etl_tasks.models import Source
from etl_tasks.sources.registry import check


class Command(BaseCommand):
    help = "Try a source without storing anything, and say what it would give. Exit status 0; 1 if it cannot be read as it is set; 2 for bad input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        source = Source.objects.select_related("service").filter(name=options["name"]).first()
        if source is None:
            raise UsageError(f"there is no source {options['name']!r}: `etl_status` lists them")
        found = check(source) if source.is_here else pipeline.check_sources([source])[0]
        for sentence in found.sentences:
            self.stdout.write(sentence)
        if not found.can_be_read:
            raise CommandError(f"{source} cannot be read as it is set; the lines above say what is missing", returncode=1)
