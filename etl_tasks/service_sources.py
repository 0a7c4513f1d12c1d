"""Create or update a service's GitHub sources. The command add_service and the setup page call `save_github_source`."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from dora_metrics.models import Service
from etl_tasks.models import Source


class NameTaken(ValueError):
    """A new source needs a name, and every name that would be given to it is taken. The message says what to do."""


def save_github_source(service: Service, repository: str, *, named: Sequence[str], settings: Mapping[str, Any]) -> Source:
    """Create or update the service's source for the repository. Raises ValidationError, NameTaken.

    `named`: all repositories that are added together. `settings`: values of the source's fields; other fields keep theirs.
    """
    source = _existing_source(service, repository, named=named) or Source(
        name=_free_name(service, repository), service=service, kind=Source.Kind.GITHUB
    )
    source.repository = repository
    for field, value in settings.items():
        setattr(source, field, value)
    source.full_clean(exclude=["service"])
    source.save()
    return source


def _existing_source(service: Service, repository: str, *, named: Sequence[str]) -> Source | None:
    """Return the source to update for the repository, or None if a new one is needed. `named`: all repositories that are added together.

    It is the source that already reads the repository. If there is none, it is the source with the service's name, which will then read
    this repository instead of its own. That source is not changed if its own repository is among `named`, or if `named` has several
    repositories and the source has collected something.
    """
    sources = Source.objects.filter(service=service, kind=Source.Kind.GITHUB)
    main = sources.filter(name=service.name).first()
    if source := sources.filter(repository__iexact=repository).first():
        return source
    if main is None or main.repository.lower() in map(str.lower, named):
        return None
    return main if len(named) == 1 or not main.cursors.exists() else None


def _free_name(service: Service, repository: str) -> str:
    """Return a name for a new source: the service's name for its first source, then NAME or, if that is taken, SERVICE-NAME.

    NAME is the name of the repository without its owner.

    Raises NameTaken if all of these names are taken.
    """
    if not Source.objects.filter(service=service, kind=Source.Kind.GITHUB).exists():
        other = Source.objects.filter(name=service.name).first()
        if other:
            raise NameTaken(
                _("a source named %(name)r exists already, of kind %(kind)s: choose another name") % {"name": service.name, "kind": other.kind}
            )
        return service.name
    name = repository.rpartition("/")[2]
    candidates = [name, f"{service.name}-{name}"]
    free = [candidate for candidate in candidates if not Source.objects.filter(name=candidate).exists()]
    if not free:
        sentence = _("sources named %(first)r and %(second)r exist already: add one for %(repository)s in the admin, under another name")
        raise NameTaken(sentence % {"first": candidates[0], "second": candidates[1], "repository": repository})
    return free[0]
