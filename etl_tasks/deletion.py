"""Delete a source, or a service with all of its sources, and everything that was collected from it.

`begin` marks the target. From then on no run of its sources is opened or reopened, and any process may continue the deletion: one of
the commands `delete_service` and `delete_source`, or a worker, to which the sweeper sends a message. Rows are deleted in limited
batches, each in its own transaction: children before their parents, and the marked row last. So a deletion that was killed can be
continued where it stopped, and two processes may delete the same target at once.
"""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from django.apps import apps
from django.db import models, transaction
from django.utils.formats import number_format
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dora_metrics.derivation.recompute import hold, recompute_periods
from dora_metrics.models import Coverage, Fact, LogDeployment, LogTraffic, Repository, Service
from etl_tasks.fault_isolation import isolated
from etl_tasks.log_coverage import update_log_coverage
from etl_tasks.models import CleanBatch, Cursor, DeadLetter, ETLRun, Source, StagedPage, StreamProgress
from log_store.opening import all_log_stores, open_log_store

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 1000
LOG_EVENTS = gettext_lazy("log events")
PAGES_AT_ONCE = 100  # fewer, because a page may be large
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)

Target = Source | Service


class Refused(Exception):
    """The target cannot be deleted now. The message says why."""


def sources_of(target: Target) -> list[Source]:
    return [target] if isinstance(target, Source) else list(target.sources.order_by("pk"))


def count_contents(target: Target) -> dict[str, int]:
    """Return how many rows and log events would be deleted, by the plural name of their kind, without zeros. Raises LogStoreUnavailable.

    `in_words` writes them for people.
    """
    sources = sources_of(target)
    found = {str(Source._meta.verbose_name_plural): len(sources)} if isinstance(target, Service) else {}
    ledger_rows = ((ETLRun, "source__in"), (StagedPage, "run__source__in"), (DeadLetter, "source__in"))
    counted = [(model._meta.verbose_name_plural, model.objects.filter(**{path: sources}).count()) for model, path in ledger_rows]
    counted += [(rows.model._meta.verbose_name_plural, rows.count()) for rows in _facts(target)]
    store = open_log_store()
    counted.append((LOG_EVENTS, sum(store.count(source.name, FIRST, LAST) for source in sources)))
    for name, count in counted:
        if count:
            found[str(name)] = found.get(str(name), 0) + count
    return found


def in_words(counts: Mapping[str, int]) -> list[str]:
    """Return what `count_contents` has counted, as in "1 dead letter" and "12 changes"."""
    singular = {str(model._meta.verbose_name_plural): str(model._meta.verbose_name) for model in apps.get_models()}
    singular[str(LOG_EVENTS)] = _("log event")
    return [
        f"{number_format(count, use_l10n=True, force_grouping=True)} {singular.get(name, name) if count == 1 else name}"
        for name, count in counts.items()
    ]


def begin(target: Target) -> None:
    """Mark the target for deletion. The mark cannot be removed; marking the target again changes nothing.

    Raises Refused while a run of the target is active.
    """
    with transaction.atomic():
        if isinstance(target, Service):
            hold(target)
        sources = list(Source.objects.select_for_update().filter(pk__in=[source.pk for source in sources_of(target)]).order_by("pk"))
        active = ETLRun.objects.filter(source__in=sources, status__in=ETLRun.ACTIVE).select_related("source").order_by("pk").first()
        if active:
            values = {"run": active.pk, "source": active.source, "status": str(active.get_status_display()).lower()}
            raise Refused(_("run %(run)s of %(source)s is under way (%(status)s): wait until it has ended, see etl_status") % values)
        moment = now()
        Source.objects.filter(pk__in=[source.pk for source in sources], deletion_began_at=None).update(deletion_began_at=moment, is_enabled=False)
        if isinstance(target, Service):
            Service.objects.filter(pk=target.pk, deletion_began_at=None).update(deletion_began_at=moment)
    logger.warning("deletion_began", extra={"what": target._meta.verbose_name, "target": str(target)})


def pending() -> list[Target]:
    """Return the targets that are marked but not deleted yet. The sources of a marked service are not listed themselves."""
    services: list[Target] = list(Service.objects.exclude(deletion_began_at=None).order_by("pk"))
    return services + list(Source.objects.exclude(deletion_began_at=None).filter(service__deletion_began_at=None).order_by("pk"))


def delete_in_batches(target: Target) -> Iterator[int]:
    """Delete a marked target batch by batch, and yield the size of each batch. Raises LogStoreUnavailable."""
    for source in sources_of(target):
        yield from _of_source(source)
    if isinstance(target, Service):
        for rows in _facts(target):
            yield from _in_batches(rows)
        with transaction.atomic():
            target.delete()
    logger.warning("deletion_ended", extra={"what": target._meta.verbose_name, "target": str(target)})


def resume(target: Target, *, until: float = math.inf) -> bool:
    """Delete a marked target, and return whether it was deleted by the time `until`, a value of `time.monotonic`.

    Raises LogStoreUnavailable.
    """
    return all(time.monotonic() < until for _ in delete_in_batches(target))


def resume_all(*, seconds: float) -> bool:
    """Continue the pending deletions for the given time. Return False if the time was too short.

    A deletion that fails does not stop the other deletions.
    """
    until = time.monotonic() + seconds
    is_done = True
    for target in pending():
        with isolated(f"the deletion of {target._meta.verbose_name} {target}"):
            is_done = resume(target, until=until) and is_done
    return is_done


def _of_source(source: Source) -> Iterator[int]:
    """Delete the source in batches, and yield their sizes.

    Dead letters and runs are deleted before facts, so that no replay can write facts again.
    """
    yield from _in_batches(DeadLetter.objects.filter(source=source))
    for run in ETLRun.objects.filter(source=source).order_by("pk").values_list("pk", flat=True).iterator():
        yield from _in_batches(CleanBatch.objects.filter(page__run=run))
        yield from _in_batches(StagedPage.objects.filter(run=run))
        yield from _in_batches(StreamProgress.objects.filter(run=run))
        yield from _in_batches(ETLRun.objects.filter(pk=run))
    for store in all_log_stores():
        yield from store.forget(source.name)
    for rows in _facts(source):
        yield from _in_batches(rows)
    with transaction.atomic():
        service = hold(source.service)
        Cursor.objects.filter(source=source).delete()
        repository = source.facts_repository
        source.delete()
        if repository:
            repository.delete()
        if service.deletion_began_at is None:
            _update_service(service)


def _update_service(service: Service) -> None:
    """Recompute the coverage and all metrics of a service from the facts that are left.

    The rows of the repository are deleted already, so nothing tells which periods they counted in.
    """
    if not LogTraffic.objects.filter(service=service).exists():
        Coverage.objects.filter(service=service, repository=None).delete()
    update_log_coverage(service)
    recompute_periods(service)


def _facts(target: Target) -> list[models.QuerySet[models.Model]]:
    """Return the facts of a source or, for a service, all rows that refer to it except its sources. Children come before their parents."""
    if isinstance(target, Source):
        in_repository = (
            [_rows(model, repository=target.facts_repository_id) for model in _models_referring_to(Repository)] if target.facts_repository_id else []
        )
        named = {"service": target.service_id, "source": target.name}
        return [*in_repository, _rows(LogDeployment, **named), _rows(LogTraffic, **named)]
    referring = [model for model in _models_referring_to(Service) if model not in (Source, Repository)]
    # Derived rows refer to facts (a delivery to a change), so they are deleted first.
    referring.sort(key=lambda model: issubclass(model, Fact))
    return [*(_rows(model, service=target.pk) for model in referring), _rows(Repository, service=target.pk)]


def _models_referring_to(parent: type[models.Model]) -> list[type[models.Model]]:
    return [relation.related_model for relation in parent._meta.related_objects if relation.on_delete is models.CASCADE]


def _rows(model: type[models.Model], **where: object) -> models.QuerySet[models.Model]:
    """Return the matching rows of the model. The base manager is used because it never leaves out rows, such as those marked as gone."""
    return model._base_manager.filter(**where)


def _in_batches(rows: models.QuerySet[models.Model]) -> Iterator[int]:
    """Delete the rows in batches, and yield the size of each batch.

    The rows are not sorted, because sorting millions of rows for each batch would take longer than deleting the batch.
    """
    most = PAGES_AT_ONCE if rows.model in (CleanBatch, StagedPage) else ROWS_AT_ONCE
    while keys := list(rows.order_by().values_list("pk", flat=True)[:most]):
        with transaction.atomic():
            # `only`, because otherwise Django reads all columns of the rows before it deletes them, also the large contents of pages.
            rows.model._base_manager.filter(pk__in=keys).only("pk").delete()
        yield len(keys)
