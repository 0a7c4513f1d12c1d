"""The rules for the settings of a source.

`Source.full_clean` sends the signal that this module receives, so the admin's forms and the commands apply the same rules.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.dispatch import receiver
from django.utils.translation import gettext

from dora_metrics.models import validate_name
from etl_tasks.errors import FatalError, reason_text
from etl_tasks.models import Source, source_validation
from etl_tasks.sources.adapter import Adapter
from etl_tasks.sources.registry import adapter_of_kind


@receiver(source_validation, dispatch_uid="etl_tasks.validate_source")
def validate(source: Source, **_: Any) -> None:
    """Raise ValidationError if the source lacks what its kind needs, cannot work with its settings, or would mix old and new facts."""
    former = Source.objects.filter(pk=source.pk).first() if source.pk else None
    collected = former if former is not None and former.cursors.exists() else None
    _refuse_deletion_under_way(source, former)
    if collected is None or collected.name != source.name:  # a source that was collected before there was a rule for names may keep its name
        try:
            validate_name(source.name)
        except ValidationError as exc:
            raise ValidationError({"name": exc.messages}) from exc
    adapter = _adapter(source)
    try:
        adapter.validate(source)
        if collected is not None:
            _refuse_mixing(source, collected, adapter)
    except ValueError as exc:
        raise ValidationError(reason_text(exc)) from exc


def _refuse_deletion_under_way(source: Source, former: Source | None) -> None:
    for target in (former, source.service if source.service_id else None):
        if target is not None and target.deletion_began_at:
            raise ValidationError(gettext("%(what)s is being deleted: wait until it has gone") % {"what": f"{target._meta.verbose_name} {target}"})


def _adapter(source: Source) -> Adapter:
    """Return the adapter of the source's kind.

    Raises ValidationError if there is none, if a column that the kind needs is empty, or if a column has a value that the kind cannot have.
    """
    try:
        adapter = adapter_of_kind(source.kind)
    except FatalError as exc:
        raise ValidationError({"kind": str(exc)}) from exc
    if missing := {
        name: gettext("a source of kind %(kind)s needs it") % {"kind": source.kind} for name in adapter.needed if not getattr(source, name)
    }:
        raise ValidationError(missing)
    if source.host and not adapter.reads_files:
        raise ValidationError({"host": gettext("only files lie on a host: leave it empty")})
    fewest = adapter.shortest_interval_minutes
    if source.every_minutes is not None and source.every_minutes < fewest:
        sentence = gettext("%(minutes)d is too few for a source of kind %(kind)s: write at least %(fewest)d minutes, or leave it empty")
        raise ValidationError({"every_minutes": sentence % {"minutes": source.every_minutes, "kind": source.kind, "fewest": fewest}})
    return adapter


def _refuse_mixing(source: Source, collected: Source, adapter: Adapter) -> None:
    """Raise ValueError if the change would mix the facts of two services, kinds or places, or make collected facts unreachable.

    `source`: as it will be saved. `collected`: as it is stored.
    """
    if collected.service_id != source.service_id:
        sentence = gettext("%(source)s has been collected for %(former)s: its facts stay there; for %(service)s, add another source")
        raise ValueError(sentence % {"source": source.name, "former": collected.service, "service": source.service})
    if collected.kind != source.kind:
        sentence = gettext("%(source)s has been collected as a source of kind %(kind)s: add another source")
        raise ValueError(sentence % {"source": collected.name, "kind": collected.kind})
    adapter.validate_change(source, former=collected)
