"""Read the history of the default branch, and the histories of deployed commits that the branch does not contain."""

from collections.abc import Collection, Iterator
from typing import Any

from etl_tasks.errors import RetriableError
from etl_tasks.sources.adapter import Page
from etl_tasks.sources.github.query_texts import query_text
from etl_tasks.sources.github.raw_values import as_text, objects_in
from etl_tasks.sources.github.readers.answers import AnswerContent, list_part
from etl_tasks.sources.github.readers.lists import read_next_pages, records_with_next_pages
from etl_tasks.sources.github.readers.reading import Reading
from etl_tasks.sources.github.streams import DEPLOYED_HISTORY


def read_history(reading: Reading) -> Iterator[Page]:
    """Read the default branch's history from the head that the survey saw, then the history of each commit in `ids`.

    A merge may bring in commits that are older than any cursor, so a date cannot say where to stop. Reading goes on while a commit
    that was read has a parent that is neither read nor known. In the branch's history, the known commits are those that the
    branch's head of the last loaded run reaches. In the history of a deployed commit, all stored commits are known: if an
    ancestor of a stored commit is missing, it is in `ids` itself.

    `resume`: "head", the commit whose history is being read; "after", the end cursor of its last page; "frontier", the parents
    that are still to be read; "again", the commits of `ids` that are left; "shape", DEPLOYED_HISTORY once the branch is read;
    "rest", the commits whose lists of parents have a further page.
    """
    size = reading.page_size()
    beginning = {"head": reading.top if reading.reads_list else "", "after": None, "frontier": [], "again": list(reading.ids), "shape": ""}
    resume = reading.resume(rest=[], **beginning)
    cursor = reading.cursor(None) | ({} if reading.progress else {"asked": [*reading.asked_in_vain, *reading.ids]})
    met = set(reading.stored_commits)
    while True:
        if not resume["head"]:
            head, *again = resume["again"]
            resume |= {"head": head, "after": None, "frontier": [], "again": again, "shape": DEPLOYED_HISTORY}
        known = met if resume["shape"] else reading.known_commits
        is_gone = False
        if resume["rest"]:
            known = known - {resume["rest"][0]["oid"]}
            content = read_next_pages(reading, resume)
        else:
            variables = {**reading.repository_variables(), "revision": resume["head"], "after": resume["after"]}
            answer = reading.github.query(query_text(reading.stream.query), variables, page=size, part=list_part(reading.stream))
            content = AnswerContent(reading.stream, answer, shape=resume["shape"])
            resume |= {"after": content.end_cursor, "rest": records_with_next_pages(reading.stream, content)}
            if None in content.nodes:
                content.context["list"] = {**variables, "first": len(content.nodes)}
            is_gone = not content.is_broken and not content.nodes
        if is_gone and resume["shape"] != DEPLOYED_HISTORY:
            raise RetriableError(f"GitHub does not show the history of {resume['head']} yet")
        if is_gone and content.decoded.get("errors"):
            cursor = cursor | {"asked": [sha for sha in cursor["asked"] if sha != resume["head"]]}  # after an error the next night asks again
        frontier = _frontier(set(resume["frontier"]), content.nodes, known)
        met |= {str(commit.get("oid")) for commit in content.nodes if isinstance(commit, dict)}
        resume |= {"frontier": sorted(frontier), "again": [sha for sha in resume["again"] if sha not in met]}
        if not resume["rest"] and not (resume["after"] and frontier):
            resume |= {"head": ""}
        is_done = content.is_broken or not (resume["head"] or resume["again"])
        yield content.page(cursor=cursor, resume=resume, is_done=is_done, is_wanted=not is_gone)
        if is_done:
            return


def _frontier(frontier: set[str], commits: list[Any], known: Collection[str]) -> set[str]:
    """Return the parents that are still to be read after a page with `commits`. `frontier`: the parents that were to be read before this page.

    A history lists each commit before its parents, so a commit that was listed is not added to the frontier again.
    """
    for commit in commits:
        if isinstance(commit, dict):
            oid = commit.get("oid")
            frontier.discard(oid if isinstance(oid, str) else "")
            if as_text(oid) not in known:
                parents = (as_text(parent.get("oid")) for parent in objects_in(commit.get("parents")))
                frontier.update(parent for parent in parents if parent and parent not in known)
    return frontier
