"""add_source NAME --service SERVICE --kind KIND: create or update a source of a kind that ETL_ADAPTERS adds."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import Service
from dora_metrics.name_suggestions import suggestion
from etl_tasks.intervals import describe_interval
from etl_tasks.management.interval_argument import add_interval_argument, apply_interval
from etl_tasks.models import Source
from etl_tasks.sources.registry import kinds

COMMAND_OF_KIND = {Source.Kind.GITHUB: "add_service", Source.Kind.LOGS: "add_log_source"}


class Command(BaseCommand):
    help = (
        "Create or update a source of a kind that the setting ETL_ADAPTERS adds, and its service if that does not exist. "
        "For GitHub use add_service, for log files add_log_source. Exit status: 0, or 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="name of the source")
        parser.add_argument("--service", required=True, metavar="NAME", help="service that the source belongs to")
        parser.add_argument("--kind", required=True, help="a kind of ETL_ADAPTERS")
        parser.add_argument("--path", help="files to read, for kinds that read files")
        parser.add_argument("--host", help="host that has the files, if only one has; --host= if every worker sees them")
        add_interval_argument(parser)
        parser.add_argument("--option", action="append", metavar="NAME=VALUE", help="an option of the kind; may be repeated")

    def handle(self, *args: Any, **options: Any) -> None:
        name, kind = options["name"], options["kind"]
        if kind in COMMAND_OF_KIND:
            values = {"kind": kind, "command": COMMAND_OF_KIND[kind]}
            raise UsageError(_("a source of kind %(kind)s has a command of its own: %(command)s") % values)
        if kind not in kinds():
            values = {"kind": kind, "meant": suggestion(kind, kinds())}
            raise UsageError(_("there is no kind %(kind)r of source; %(meant)s; ETL_ADAPTERS adds others") % values)
        service = Service.objects.filter(name=options["service"]).first() or Service(name=options["service"])
        source = Source.objects.filter(name=name).first() or Source(name=name, service=service, kind=kind)
        is_new = source.pk is None
        if (source.service, source.kind) != (service, kind):
            raise UsageError(_("a source named %(name)r exists already, of another kind or service: choose another name") % {"name": name})
        if options["path"] is not None:
            source.path = options["path"]
        if options["host"] is not None:
            source.host = options["host"]
        apply_interval(options["every"], source)
        for option in options["option"] or ():
            key, sign, value = option.partition("=")
            if not key or not sign:
                raise UsageError(_("--option %(option)r sets nothing: write it as name=value") % {"option": option})
            source.options[key] = value
        try:
            service.full_clean()
            source.full_clean(exclude=["service"])
        except ValidationError as exc:
            raise UsageError.from_validation(exc) from exc
        service.save()
        source.service = service
        source.save()
        if is_new:
            sentence = _("created source %(name)s of %(service)s, of kind %(kind)s, read %(interval)s")
        else:
            sentence = _("updated source %(name)s of %(service)s, of kind %(kind)s, read %(interval)s")
        interval = describe_interval(source.every_minutes)
        self.stdout.write(sentence % {"name": name, "service": service, "kind": kind, "interval": interval})
