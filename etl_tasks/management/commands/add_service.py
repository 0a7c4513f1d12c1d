"""add_service NAME --repository owner/name …: creates or updates a service and its GitHub sources."""

from argparse import BooleanOptionalAction
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandParser
from django.db import transaction

from dora_metrics.calculators.service_settings import DEFAULTS
from dora_metrics.management.base_command import BaseCommand, UsageError
from dora_metrics.models import Service
from etl_tasks.models import Source

LOG_SETTINGS = ("log_incidents", "log_minute_events", "log_error_share", "log_bad_minutes", "log_good_minutes", "log_issue_hours")


class Command(BaseCommand):
    help = "Create or update a service and its GitHub sources: one of the same name, and one for each further repository."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument(
            "--repository",
            required=True,
            action="append",
            metavar="OWNER/NAME",
            help="may be repeated for a service made of several: those that it has not yet are added, none is taken away",
        )
        parser.add_argument("--production", metavar="REGEX", help=f"environments that are production; default {DEFAULTS.production}")
        parser.add_argument("--deployments", choices=Service.DeploymentsFrom.values, help="where deployments are read from; default auto")
        parser.add_argument("--workflow", metavar="REGEX", help=f"name or path of a deploying workflow; default {DEFAULTS.workflow}")
        parser.add_argument("--prereleases", action=BooleanOptionalAction, help="releases marked as prereleases are deployments too")
        parser.add_argument(
            "--incident-label", metavar="REGEX", help=f"issues that are incidents; '' collects none; default {DEFAULTS.incident_label}"
        )
        parser.add_argument("--hotfix", metavar="REGEX", help=f"labels and branches of hotfixes; '' means none; default {DEFAULTS.hotfix}")
        parser.add_argument(
            "--look-back",
            type=int,
            metavar="HOURS",
            help=f"how long after a deployment an incident that names no cause is laid to it; default {DEFAULTS.look_back_hours}",
        )
        add = parser.add_argument_group("incidents from the service's logs").add_argument
        add("--log-incidents", action=BooleanOptionalAction, help="whether there are any; default yes")
        add("--log-minute-events", type=int, metavar="N", help=f"a minute with fewer events is never bad; default {DEFAULTS.log_minute_events}")
        add(
            "--log-error-share", type=float, metavar="PERCENT", help=f"a minute with more errors than this is bad; default {DEFAULTS.log_error_share}"
        )
        add("--log-bad-minutes", type=int, metavar="M", help=f"bad minutes in a row that begin an incident; default {DEFAULTS.log_bad_minutes}")
        add("--log-good-minutes", type=int, metavar="K", help=f"minutes in a row that are not bad and end it; default {DEFAULTS.log_good_minutes}")
        add("--log-issue-hours", type=int, metavar="H", help=f"how long an issue stands for what the logs show; default {DEFAULTS.log_issue_hours}")
        parser.add_argument("--path", metavar="GLOB", help="only pull requests that change a matching file count")
        parser.add_argument("--credential", metavar="NAME", help="read with GITHUB_TOKEN_NAME, or the App of GITHUB_APP_ID_NAME")
        parser.add_argument("--bot", metavar="LOGIN", action="append", help="a login to be taken for a bot; may be repeated")

    def handle(self, *args: Any, **options: Any) -> None:
        name, repositories = options["name"], list(dict.fromkeys(options["repository"]))
        if "" in (options["bot"] or ()):
            raise UsageError("--bot is empty: a deleted user has no login, and is no bot")
        given = {
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
        with transaction.atomic():
            service = Service.objects.filter(name=name).first() or Service(name=name)
            is_new = service.pk is None
            for field, value in given.items():
                if value is not None:
                    setattr(service, field, value)
            try:
                service.full_clean()
            except ValidationError as exc:
                raise UsageError.from_validation(exc) from exc
            service.save()
            sources = [_source(service, repository, named=repositories, credential=options["credential"]) for repository in repositories]
        if not is_new and options["path"] is not None:
            self.stdout.write("what was collected without paths is read again by the next run; until then the metrics of changes are unknown")
        reading = ", ".join(f"source {source} reads {source.repository}" for source in sources)
        self.stdout.write(f"{'created' if is_new else 'updated'} service {name}, {reading}")


def _source(service: Service, repository: str, *, named: Sequence[str], credential: str | None) -> Source:
    """The service's source that reads the repository, saved."""
    source = _source_to_set(service, repository, named=named) or Source(
        name=_free_name(service, repository), service=service, kind=Source.Kind.GITHUB
    )
    source.repository = repository
    if credential is not None:
        source.credential = credential
    try:
        source.full_clean(exclude=["service"])
    except ValidationError as exc:
        raise UsageError.from_validation(exc) from exc
    source.save()
    return source


def _source_to_set(service: Service, repository: str, *, named: Sequence[str]) -> Source | None:
    """The one that reads it already; else that of the service's own name, unless it reads, or has read, another one of several."""
    ours = Source.objects.filter(service=service, kind=Source.Kind.GITHUB)
    main = ours.filter(name=service.name).first()
    if source := ours.filter(repository__iexact=repository).first():
        return source
    if main is None or main.repository.lower() in (one.lower() for one in named):
        return None
    return main if len(named) == 1 or not main.cursors.exists() else None


def _free_name(service: Service, repository: str) -> str:
    """The service's own for its first source, then the repository's."""
    if not Source.objects.filter(service=service, kind=Source.Kind.GITHUB).exists():
        other = Source.objects.filter(name=service.name).first()
        if other:
            raise UsageError(f"a source named {service.name!r} exists already, of kind {other.kind}: choose another name")
        return service.name
    name = repository.rpartition("/")[2]
    wanted = [name, f"{service.name}-{name}"]
    free = [one for one in wanted if not Source.objects.filter(name=one).exists()]
    if not free:
        raise UsageError(f"sources named {' and '.join(map(repr, wanted))} exist already: add one for {repository} in the admin, under another name")
    return free[0]
