"""Delete a source, or a service with all of its sources, and everything that was collected of it.

A deletion begins with a mark. From then on no run is opened or taken up again, and whoever comes by goes on with it: `delete_service`,
`delete_source`, or a worker whom the sweeper sends. Rows go in bounded batches, each in a transaction of its own, children before their
parents, the marked row last: so a deletion that is killed is gone on with where it stood, and two at once do no harm.
"""

import logging
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import models, transaction
from django.utils.timezone import now

from dora_metrics.derivation.recompute import hold, recompute
from dora_metrics.models import Coverage, Fact, LogDeployment, LogTraffic, Repository, Service
from etl_tasks.fault_isolation import isolated
from etl_tasks.log_coverage import update_log_coverage
from etl_tasks.models import CleanBatch, Cursor, DeadLetter, ETLRun, Source, StagedPage, StreamProgress
from log_store.opening import all_log_stores, open_log_store

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 1000
PAGES_AT_ONCE = 100  # their bodies may be large
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)

Target = Source | Service


class Refused(Exception):
    """It cannot be deleted now; the message says why."""


def sources_of(target: Target) -> list[Source]:
    return [target] if isinstance(target, Source) else list(target.sources.order_by("pk"))


def count_contents(target: Target) -> dict[str, int]:
    """How many rows of what would be deleted, by name; what there is none of is left out. Raises LogStoreUnavailable."""
    sources = sources_of(target)
    found = {"sources": len(sources)} if isinstance(target, Service) else {}
    of_ledger = ((ETLRun, "source__in"), (StagedPage, "run__source__in"), (DeadLetter, "source__in"))
    counted = [(model._meta.verbose_name_plural, model.objects.filter(**{path: sources}).count()) for model, path in of_ledger]
    counted += [(rows.model._meta.verbose_name_plural, rows.count()) for rows in _facts(target)]
    store = open_log_store()
    counted.append(("log events", sum(store.count(source.name, FIRST, LAST) for source in sources)))
    for name, count in counted:
        if count:
            found[str(name)] = found.get(str(name), 0) + count
    return found


def begin(target: Target) -> None:
    """Mark it: this is what cannot be taken back. Raises Refused while a run of it is active. Begun twice, it goes on."""
    with transaction.atomic():
        if isinstance(target, Service):
            hold(target)
        sources = list(Source.objects.select_for_update().filter(pk__in=[source.pk for source in sources_of(target)]).order_by("pk"))
        active = ETLRun.objects.filter(source__in=sources, status__in=ETLRun.ACTIVE).select_related("source").order_by("pk").first()
        if active:
            raise Refused(f"run {active.pk} of {active.source} is under way ({active.status}): wait until it has ended, see etl_status")
        moment = now()
        Source.objects.filter(pk__in=[source.pk for source in sources], deletion_began_at=None).update(deletion_began_at=moment, is_enabled=False)
        if isinstance(target, Service):
            Service.objects.filter(pk=target.pk, deletion_began_at=None).update(deletion_began_at=moment)
    logger.warning("deletion_began", extra={"what": target._meta.verbose_name, "target": str(target)})


def pending() -> list[Target]:
    """What is marked and still there; a service stands for its sources."""
    services: list[Target] = list(Service.objects.exclude(deletion_began_at=None).order_by("pk"))
    return services + list(Source.objects.exclude(deletion_began_at=None).filter(service__deletion_began_at=None).order_by("pk"))


def delete_in_batches(target: Target) -> Iterator[int]:
    """Delete what is marked, batch by batch: each item is how many rows or events have gone. Raises LogStoreUnavailable."""
    for source in sources_of(target):
        yield from _of_source(source)
    if isinstance(target, Service):
        for rows in _facts(target):
            yield from _in_batches(rows)
        with transaction.atomic():
            target.delete()
    logger.warning("deletion_ended", extra={"what": target._meta.verbose_name, "target": str(target)})


def resume(target: Target, *, until: float = math.inf) -> bool:
    """Delete what is marked; False if the time (`time.monotonic`) has come before it was done. Raises LogStoreUnavailable."""
    return all(time.monotonic() < until for _ in delete_in_batches(target))


def resume_all(*, seconds: float) -> bool:
    """A while's work on all that is marked; whether nothing is left. One that fails does not stop the others."""
    until = time.monotonic() + seconds
    is_done = True
    for target in pending():
        with isolated(f"the deletion of {target._meta.verbose_name} {target}"):
            is_done = resume(target, until=until) and is_done
    return is_done


def _of_source(source: Source) -> Iterator[int]:
    """Letters and runs first: what nobody can replay any more writes nothing again."""
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
        home = source.facts_repository
        source.delete()
        if home:
            home.delete()
        if service.deletion_began_at is None:
            _settle(service)


def _settle(service: Service) -> None:
    """What follows from the facts that are left."""
    if not LogTraffic.objects.filter(service=service).exists():
        Coverage.objects.filter(service=service, repository=None).delete()
    update_log_coverage(service)
    recompute(service)


def _facts(target: Target) -> list[models.QuerySet[models.Model]]:
    """The facts of a source, or all that hangs on a service but for its sources; children before their parents."""
    if isinstance(target, Source):
        of_home = [_rows(model, repository=target.facts_repository_id) for model in _with_key_to(Repository)] if target.facts_repository_id else []
        named = {"service": target.service_id, "source": target.name}
        return [*of_home, _rows(LogDeployment, **named), _rows(LogTraffic, **named)]
    models_of_service = [model for model in _with_key_to(Service) if model not in (Source, Repository)]
    # What follows from facts, as a delivery from a change, goes before them.
    models_of_service.sort(key=lambda model: issubclass(model, Fact))
    return [*(_rows(model, service=target.pk) for model in models_of_service), _rows(Repository, service=target.pk)]


def _with_key_to(parent: type[models.Model]) -> list[type[models.Model]]:
    return [relation.related_model for relation in parent._meta.related_objects if relation.on_delete is models.CASCADE]


def _rows(model: type[models.Model], **where: object) -> models.QuerySet[models.Model]:
    """All of them, with those that were found gone."""
    return model._base_manager.filter(**where)


def _in_batches(rows: models.QuerySet[models.Model]) -> Iterator[int]:
    """In the order in which the index has them: sorting millions anew for each batch would cost more than deleting them."""
    most = PAGES_AT_ONCE if rows.model in (CleanBatch, StagedPage) else ROWS_AT_ONCE
    while keys := list(rows.order_by().values_list("pk", flat=True)[:most]):
        with transaction.atomic():
            # Without the columns, for a page's body is large.
            rows.model._base_manager.filter(pk__in=keys).only("pk").delete()
        yield len(keys)
