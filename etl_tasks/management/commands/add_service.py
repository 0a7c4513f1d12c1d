"""add_service NAME --repository owner/name …: create or update a service and its GitHub sources."""

from argparse import BooleanOptionalAction
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.db import transaction
from django.utils.translation import gettext as _

from dora_metrics.calculators.service_settings import DEFAULTS
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import Service
from dora_metrics.name_suggestions import closest
from etl_tasks.intervals import describe_interval
from etl_tasks.management.interval_argument import add_interval_argument
from etl_tasks.models import Source
from etl_tasks.service_sources import NameTaken, save_github_source

LOG_SETTINGS = ("log_incidents", "log_minute_events", "log_error_share", "log_bad_minutes", "log_good_minutes", "log_issue_hours")


class Command(BaseCommand):
    help = (
        "Create or update a service and its GitHub sources. The first repository's source has the name of the service. "
        "Options that are left out keep their value. Exit status: 0, or 2 for wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="name of the service")
        parser.add_argument(
            "--repository",
            required=True,
            action="append",
            metavar="OWNER/NAME",
            help="GitHub repository; may be repeated; repositories are added to those that the service has, and none is removed",
        )
        parser.add_argument("--credential", metavar="NAME", help="use GITHUB_TOKEN_NAME, or the App of GITHUB_APP_ID_NAME; default: GITHUB_TOKEN")
        add_interval_argument(parser)
        parser.add_argument("--production", metavar="REGEX", help=f"environments that are production; default: {DEFAULTS.production}")
        parser.add_argument("--deployments", choices=Service.DeploymentsFrom.values, help="where deployments are read from; default: auto")
        parser.add_argument("--workflow", metavar="REGEX", help=f"name or path of a workflow that deploys; default: {DEFAULTS.workflow}")
        parser.add_argument("--prereleases", action=BooleanOptionalAction, help="count prereleases as deployments; default: no")
        parser.add_argument(
            "--incident-label", metavar="REGEX", help=f"labels of issues that are incidents; '' for none; default: {DEFAULTS.incident_label}"
        )
        parser.add_argument("--hotfix", metavar="REGEX", help=f"labels and branches of hotfixes; '' for none; default: {DEFAULTS.hotfix}")
        parser.add_argument(
            "--look-back",
            type=int,
            metavar="HOURS",
            help=f"link an incident that names no cause to the latest success at most HOURS before it; default: {DEFAULTS.look_back_hours}",
        )
        parser.add_argument("--path", metavar="GLOB", help="count only pull requests that change a matching file")
        parser.add_argument("--bot", metavar="LOGIN", action="append", help="login to treat as a bot; may be repeated")
        add = parser.add_argument_group("incidents from the service's logs").add_argument
        add("--log-incidents", action=BooleanOptionalAction, help="detect incidents in the logs; default: yes")
        add("--log-minute-events", type=int, metavar="N", help=f"a minute with fewer events is never bad; default: {DEFAULTS.log_minute_events}")
        add(
            "--log-error-share",
            type=float,
            metavar="PERCENT",
            help=f"a minute with a larger share of errors is bad; default: {DEFAULTS.log_error_share}",
        )
        add("--log-bad-minutes", type=int, metavar="M", help=f"consecutive bad minutes that begin an incident; default: {DEFAULTS.log_bad_minutes}")
        add("--log-good-minutes", type=int, metavar="K", help=f"consecutive good minutes that end an incident; default: {DEFAULTS.log_good_minutes}")
        add(
            "--log-issue-hours",
            type=int,
            metavar="H",
            help=f"an incident from the logs in the first H hours of an issue's incident is the same outage; default: {DEFAULTS.log_issue_hours}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name, repositories = options["name"], list(dict.fromkeys(options["repository"]))
        if "" in (options["bot"] or ()):
            raise UsageError(_("--bot is empty: write a login"))
        values = {
            "production": options["production"],
            "deployments_from": options["deployments"],
            "workflow": options["workflow"],
            "prereleases": options["prereleases"],
            "incident_label": options["incident_label"],
            "hotfix": options["hotfix"],
            "look_back_hours": options["look_back"],
            **{name: options[name] for name in LOG_SETTINGS},
            "path": options["path"],
            "bots": options["bot"],
        }
        source_settings = {"credential": options["credential"]} if options["credential"] is not None else {}
        if options["every"] is not None:
            source_settings["every_minutes"] = options["every"] or None
        with transaction.atomic():
            service = Service.objects.filter(name=name).first() or Service(name=name)
            is_new = service.pk is None
            for field, value in values.items():
                if value is not None:
                    setattr(service, field, value)
            try:
                service.full_clean()
            except ValidationError as exc:
                raise UsageError.from_validation(exc) from exc
            service.save()
            try:
                sources = [save_github_source(service, repository, named=repositories, settings=source_settings) for repository in repositories]
            except ValidationError as exc:
                raise UsageError.from_validation(exc) from exc
            except NameTaken as exc:
                raise UsageError(str(exc)) from exc
        if not is_new and options["path"] is not None:
            self.stdout.write(
                _("the next run reads pull requests that were collected without paths again; until then the metrics of changes are unknown")
            )
        reading = ", ".join(_reading(source) for source in sources)
        sentence = _("created service %(name)s, %(reading)s") if is_new else _("updated service %(name)s, %(reading)s")
        self.stdout.write(sentence % {"name": name, "reading": reading})
        if (credential := options["credential"]) and credential not in settings.GITHUB_CREDENTIALS:
            if meant := closest(credential, settings.GITHUB_CREDENTIALS):
                hint = _("did you mean %r?") % meant
            else:
                hint = _("set GITHUB_TOKEN_%(name)s where workers run") % {"name": credential}
            values = {"name": credential, "hint": hint}
            self.stderr.write(_("warning: the credential %(name)r is not in this environment; %(hint)s") % values)


def _reading(source: Source) -> str:
    values = {"source": source, "repository": source.repository, "interval": describe_interval(source.every_minutes)}
    return _("source %(source)s reads %(repository)s %(interval)s") % values
