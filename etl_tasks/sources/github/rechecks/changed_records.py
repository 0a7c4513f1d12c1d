"""Request records again by id: those that the survey found changed, and those for which GitHub returned null."""

import json
from collections.abc import Iterator
from dataclasses import replace

from etl_tasks.models import DeadLetter
from etl_tasks.sources.adapter import Job, Page, Progress
from etl_tasks.sources.github.readers.lists import read_list
from etl_tasks.sources.github.rechecks.deleted_records import recheck_deleted
from etl_tasks.sources.github.rechecks.recheck import Recheck
from etl_tasks.sources.github.streams import Stream

# A record for which GitHub returned null is requested in at most 5 nights. After that, its dead letter stays open until a person
# replays it.
MOST_TRIES = 5


def recheck_records(recheck: Recheck) -> Iterator[Page]:
    """Yield the pages of the recheck of pull requests, issues, deployments or releases, in three steps.

    First, pages of the lists inside records are read that an interrupted attempt of the run left unread ("rest"). Then records
    are requested by id: those that the survey found changed, and those for which GitHub returned null, in this run or in an
    earlier one. Last, GitHub's count of the records is compared with the known ones, to find out which were deleted on GitHub.
    """
    reading = recheck.reading
    if rest := reading.progress and reading.progress.resume.get("rest"):
        resume = {"again": [], "is_listed": True, "rest": rest}
        yield from recheck.pages(read_list(replace(reading, progress=Progress(resume, recheck.cursor, is_done=False))))
    recheck.reading = replace(reading, progress=None)
    changed = recheck.survey_result["again"].get(recheck.stream.name, ())
    null_in_lists = [node_id for page in recheck.job.staged(recheck.stream.name) for node_id in page.context.get("named", ())]
    yield from recheck.records_by_id([*changed, *null_in_lists, *lost_ids(recheck.job, recheck.stream)])
    yield from recheck_deleted(recheck)


def lost_ids(job: Job, stream: Stream) -> list[str]:
    """Return the ids of the records for which GitHub returned null in earlier runs, except those that were requested MOST_TRIES times.

    A run between two nights requests none, so that the tries are spread over several nights.
    """
    if job.is_between_nights:
        return []
    letters = DeadLetter.objects.filter(
        source=job.source, stream=stream.name, kind=DeadLetter.Kind.LOST, state=DeadLetter.State.OPEN, attempts__lt=MOST_TRIES
    )
    return [node_id for data in letters.order_by("pk").values_list("data", flat=True) if (node_id := json.loads(data).get("id"))]
