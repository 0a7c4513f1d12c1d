"""Read the records that a run has staged so far."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec

from etl_tasks.outcomes import Good, UnreadablePage
from etl_tasks.sources.adapter import Job
from etl_tasks.sources.github import mapping, null_records
from etl_tasks.sources.github.needed_deployment_sources import is_decided_by, is_undecided
from etl_tasks.sources.github.raw_values import decoded_part, object_type
from etl_tasks.sources.github.streams import BY_ID, BY_NAME, EXISTENCE, NEXT_PAGES, SINGLE_RECORD, Stream


def staged_records(job: Job, stream_name: str, *fields: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a stream that the run has staged. Pages that only have parts of records (NEXT_PAGES, EXISTENCE) are left out.

    `fields`: the fields that the caller reads. Others are not decoded; of a page that has not the expected form, all are.
    """
    stream = BY_NAME[stream_name]
    for page in job.staged(stream_name, with_bodies=True):
        if page.context.get("shape") not in {NEXT_PAGES, EXISTENCE}:
            yield from (node for node in nodes_of_page(stream, page.content, page.context, *fields) if isinstance(node, dict) and node)


def nodes_of_page(stream: Stream, content: bytes, context: Mapping[str, Any], *fields: str) -> list[Any]:
    """Return the nodes of a page, including nulls; [] for an unreadable page, which the transform stage will make a dead letter.

    `fields`: as in `staged_records`.
    """
    path = stream.path_in(context)
    try:
        if fields and context.get("shape") != SINGLE_RECORD:
            with suppress(msgspec.DecodeError, ValueError, RecursionError):
                return mapping.nodes_in(decoded_part(content, mapping.list_decoder(path, _parts(fields))), path)
        return mapping.nodes(content, path)
    except UnreadablePage:
        return []


@cache
def _parts(fields: tuple[str, ...]) -> Any:
    """Return the type of a record of which only these fields are decoded, or null."""
    return object_type(dict.fromkeys(fields, Any), has_all=False) | None


def gone_records(job: Job, stream_name: str) -> list[dict[str, Any]]:
    """Return the records of a stream that this run has found to be gone from GitHub, in the form of `gone_facts`.

    An unreadable page tells of none. The transform stage will make it a dead letter.
    """
    found: list[dict[str, Any]] = []
    for page in job.staged(stream_name):
        if page.context.get("shape") in {BY_ID, EXISTENCE}:
            with suppress(UnreadablePage):
                found += null_records.gone_facts(page.content, page.context)
    return found


def is_undecided_once_loaded(job: Job) -> bool:
    """Return what `is_undecided` (other sources than GitHub's deployments may count) will return after this run has loaded."""
    service = job.source.service
    if service.deployments_from != service.DeploymentsFrom.AUTO:
        return False
    replaced = {gone["node_id"] for gone in gone_records(job, "deployments")}
    read: dict[int, dict[str, Any]] = {}
    for outcome in mapping.to_facts("deployment", staged_records(job, "deployments")):
        if isinstance(outcome, Good):
            if is_decided_by(service, outcome.fact):
                return False
            read[outcome.fact["external_id"]] = outcome.fact
            replaced.add(outcome.fact["node_id"])
    cancelled = {str(run.get("id")) for run in staged_records(job, "workflow_runs", "id", "conclusion") if run.get("conclusion") == "cancelled"}
    return is_undecided(service, read=list(read.values()), replaced=replaced, cancelled=cancelled)
