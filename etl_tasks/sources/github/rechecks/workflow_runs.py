"""Request workflow runs by number: those that the survey found changed, and those that failed deployments name."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from etl_tasks.sources.adapter import Page
from etl_tasks.sources.github.client import IDS_A_QUERY
from etl_tasks.sources.github.needed_workflow_runs import MOST_ATTEMPTS, has_failed, missing_attempts, named_by_failures, stored_attempts_of
from etl_tasks.sources.github.raw_values import as_number, objects_in
from etl_tasks.sources.github.readers.workflow_runs import read_workflow_runs
from etl_tasks.sources.github.rechecks.deleted_records import ask_whether_they_exist, recheck_deleted
from etl_tasks.sources.github.rechecks.recheck import Recheck

# The most runs and attempts that one night requests because failed deployments name them. Each costs a request. The next nights request the others.
MOST_NAMED_RUNS = 45


def recheck_workflow_runs(recheck: Recheck) -> Iterator[Page]:
    """Request the runs that have changed or that failed deployments name, and ask whether those that the survey did not find still exist.

    If this run reads the list of runs, other deleted runs are looked for, too.
    """
    recheck.reading = replace(recheck.reading, progress=None)
    changed = recheck.survey_result["again"].get("workflow_runs", ())
    numbers = [number for number in changed if isinstance(number, int)]
    given = {as_number(node.get("id")) for node in recheck.staged("id")} if numbers else set()
    named = named_by_failures(recheck.repository, read=_log_urls_of_failures(recheck))
    if wanted := [number for number in numbers if number not in given] + _missing(recheck, named):
        # A deployment names a run but not one of its attempts, so all attempts of the run are needed.
        attempts = missing_attempts(recheck.repository, named=frozenset(named))
        reading = replace(recheck.reading, ids=wanted, former=recheck.cursor, missing_attempts=attempts)
        yield from recheck.pages(read_workflow_runs(reading), keeps=("gone",))
    not_found = [node_id for node_id in changed if isinstance(node_id, str)]
    for start in range(0, len(not_found), IDS_A_QUERY):
        page, _, _ = ask_whether_they_exist(recheck, not_found[start : start + IDS_A_QUERY])
        yield page
    if recheck.stream.name in recheck.read_streams:
        yield from recheck_deleted(recheck)


def _missing(recheck: Recheck, named: Sequence[int]) -> list[int | str]:
    """Return what to request of the runs in `named`: 123 if no attempt of run 123 is known; otherwise "123/attempts/1" for each missing one.

    An attempt is known if it is stored or staged. It is missing if a later one is known, but not this one. Runs and attempts that
    GitHub does not have (the cursor's key "gone") are left out.
    """
    attempts = stored_attempts_of(recheck.repository, named)
    for node in recheck.staged("id", "run_attempt"):
        number, attempt = as_number(node.get("id")), as_number(node.get("run_attempt", 1))
        if number is not None and number in named and attempt is not None and attempt <= MOST_ATTEMPTS:
            attempts.setdefault(number, set()).add(attempt)
    missing: list[int | str] = []
    for number in named:
        known = attempts.get(number, set())
        missing += [f"{number}/attempts/{attempt}" for attempt in range(1, max(known)) if attempt not in known] if known else [number]
    gone = set(recheck.cursor.get("gone", ()))
    return [run for run in missing if str(run) not in gone][:MOST_NAMED_RUNS]


def _log_urls_of_failures(recheck: Recheck) -> dict[int, list[str]]:
    """Return the log addresses of each deployment that this run has read, by its id. The list is empty if the deployment has not failed."""
    found: dict[int, list[str]] = {}
    for node in recheck.staged("databaseId", "statuses", stream="deployments"):
        statuses = objects_in(node.get("statuses"))
        is_failure = has_failed(str(status.get("state", "")).lower() for status in statuses)
        found[as_number(node.get("databaseId")) or 0] = [str(status.get("logUrl") or "") for status in statuses] if is_failure else []
    return found
