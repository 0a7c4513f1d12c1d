"""check_source NAME: try a source without storing anything."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from dora_metrics.management.arguments import add_json_argument
from dora_metrics.management.base_command import BaseCommand
from etl_tasks import pipeline
from etl_tasks.management.source_arguments import source_named
from etl_tasks.sources.registry import check


class Command(BaseCommand):
    help = (
        "Try a source without storing anything: print what the credentials may read, which streams would stay empty, and what a first "
        "collection would cost. A source whose files are on another host is tried by a worker there. "
        "Exit status: 0; 1 if the source cannot be read with its settings; 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="name of the source")
        add_json_argument(parser, "print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        source = source_named(options["name"])
        result = check(source) if source.is_here else pipeline.check_sources([source])[0]
        if options["json"]:
            self.write_json({"source": source.name, "can_be_read": result.can_be_read, "sentences": list(result.sentences)})
        else:
            for sentence in result.sentences:
                self.stdout.write(sentence)
        if not result.can_be_read:
            if options["json"]:
                sentence = _('%(source)s cannot be read as it is set; "sentences" says what is missing')
            else:
                sentence = _("%(source)s cannot be read as it is set; the lines above say what is missing")
            raise CommandError(sentence % {"source": source}, returncode=1)
