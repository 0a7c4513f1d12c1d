"""The enabled sources: whether each can be read as it is set. Nothing is stored."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import connections
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from etl_tasks import pipeline
from etl_tasks.doctor.findings import Finding, ok, problem
from etl_tasks.models import ETLRun, Source
from etl_tasks.sources.adapter import Check
from etl_tasks.sources.registry import check, reads_files

MOST_TRIED = 40  # each costs a few requests
TRIED_AT_ONCE = 4
LONGEST_SENTENCE = 300


def check_sources() -> Iterator[Finding]:
    """Try the enabled sources. If there are many, try only those whose last run did not succeed, and the newest of these first."""
    sources = list(Source.objects.filter(is_enabled=True).select_related("service").annotate(last_status=_last_status()).order_by("name"))
    if not sources:
        yield ok(_("sources"), _("none is enabled: add one with `add_service NAME --repository owner/name`"))
        return
    tried = sources
    if len(sources) > MOST_TRIED:
        tried = sorted((source for source in sources if source.last_status not in ETLRun.GOOD), key=lambda source: -source.pk)[:MOST_TRIED]
        others = len(sources) - len(tried)
        sentence = ngettext(
            "%(count)s other source was not tried, because its last run succeeded or there are many: `check_source NAME` tries one",
            "%(count)s other sources were not tried, because their last runs succeeded or there are many: `check_source NAME` tries one",
            others,
        )
        yield ok(_("sources"), sentence % {"count": others})
    for source, result in zip(tried, try_sources(tried), strict=True):
        yield _finding(source, result)


def _last_status() -> Subquery:
    return Subquery(ETLRun.objects.filter(source=OuterRef("pk")).order_by("-pk").values("status")[:1])


def try_sources(sources: Sequence[Source]) -> list[Check]:
    """Return what `check_source` finds, in the order of the sources: files are looked at by workers, all else is asked from here."""
    with_files = [source for source in sources if reads_files(source)]
    others = [source for source in sources if not reads_files(source)]
    found = dict(zip((source.pk for source in with_files), pipeline.check_sources(with_files), strict=True))
    with ThreadPoolExecutor(TRIED_AT_ONCE) as threads:
        found |= dict(zip((source.pk for source in others), threads.map(_try, others), strict=True))
    return [found[source.pk] for source in sources]


def _try(source: Source) -> Check:
    try:
        return check(source)
    except Exception as exc:  # noqa: BLE001  an adapter of your own may raise anything; the other sources are still tried
        return Check(can_be_read=False, sentences=[f"{type(exc).__name__}: {exc}"])
    finally:
        connections.close_all()  # this thread's


def _finding(source: Source, result: Check) -> Finding:
    sentences = [sentence.rstrip(".") for sentence in result.sentences]
    if result.can_be_read:
        return ok(source.name, (sentences or [_("it can be read")])[0][:LONGEST_SENTENCE])
    what = "; ".join(sentences)[:LONGEST_SENTENCE]
    return problem(source.name, what, _("Correct it, and try it with `check_source %(source)s`") % {"source": source})
