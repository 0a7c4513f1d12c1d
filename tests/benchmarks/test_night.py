"""The stand-in of the benchmark of a night serves the lists of REST from the same worlds as GraphQL, and the table follows from the results."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks import night_table
from benchmarks.night_stand_in import Answers
from benchmarks.night_table import BEGIN, END, Result
from github_stand_in.worlds.exact_size import exact_world

CLOCK = datetime(2026, 3, 20, 1, tzinfo=UTC)
SIZE = {"pull_requests": 120, "issues": 30, "commits": 250, "releases": 5, "deployments": 12, "runs": 0}


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    found = Answers({"acme/billing": exact_world("acme/billing", end=CLOCK, **SIZE)}, CLOCK)
    with found.stand_in:  # closes its socket
        yield found


def get(answers: Answers, path: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the header Link and the records of a page."""
    target = f"/repos/acme/billing/{path}"
    sent, _ = answers.answer("GET", target, {"authorization": "Bearer x", "accept-encoding": "gzip"}, b"")
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    link = next((line.partition(": ")[2] for line in head.decode().split("\r\n") if line.startswith("Link")), "")
    return link, json.loads(gzip.decompress(body) if b"Content-Encoding: gzip" in head else body)


def test_a_list_has_pages_of_at_most_a_hundred_records_that_name_the_next(answers: Answers) -> None:
    numbers, page, link = [], 1, "rel=next"
    while "next" in link:
        link, found = get(answers, f"commits?per_page=100&page={page}")
        numbers.append(len(found))
        page += 1
    assert sum(numbers) >= SIZE["commits"]
    assert set(numbers[:-1]) == {100}


def test_issues_contain_the_pull_requests_as_at_github(answers: Answers) -> None:
    found = [record for page in (1, 2) for record in get(answers, f"issues?per_page=100&page={page}")[1]]
    assert len(found) == SIZE["issues"] + SIZE["pull_requests"]


def test_records_have_their_statuses_reviews_and_commits(answers: Answers) -> None:
    deployment = get(answers, "deployments")[1][0]
    assert len(get(answers, f"deployments/{deployment['id']}/statuses")[1]) == 3
    pull = get(answers, "pulls")[1][0]
    assert len(get(answers, f"pulls/{pull['number']}/commits")[1]) == 2


def test_an_answer_is_made_once(answers: Answers) -> None:
    get(answers, "releases")
    made = answers.counts["answers made"]
    get(answers, "releases")
    assert answers.counts["answers made"] == made


def test_the_results_and_the_page_keep_the_rows_that_were_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(night_table, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(night_table, "PAGE", tmp_path / "performance.md")
    (tmp_path / "performance.md").write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    how = {"rounds": 1, "scale": 1.0}
    night_table.store([Result("one", "first work", 0.4, "", 0.5, "detail"), Result("two", "second work", 16, "ms", 15, "detail")], how)
    night_table.store([Result("one", "first work", 0.6, "", 0.5, "detail")], how)
    page = (tmp_path / "performance.md").read_text()
    assert "| one | first work | 0.5 | 0.6 | **no** | detail |" in page
    assert "| two | second work | 15 ms | 16 ms | **no** | detail |" in page
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert [row["found"] for row in json.loads((tmp_path / "results.json").read_text())["rows"].values()] == [0.6, 16]


def test_a_limit_may_be_the_least_that_is_allowed() -> None:
    row = Result("logs", "work", 1.6, "", 1.5, "detail", is_least=True)
    assert (row.allowed, row.verdict) == ("at least 1.5", "yes")
    assert Result("logs", "work", 1.4, "", 1.5, "detail", is_least=True).verdict == "**no**"
    assert Result("logs", "work", 1.5, "", 1.5, "detail").verdict == "yes"
