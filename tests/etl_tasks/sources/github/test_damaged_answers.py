"""Whatever a server puts into its answers, no exception escapes a stage, and each record is a fact or an open letter that says what is wrong.

The answers are those that the stand-in gives, damaged at random (damaged_answers.py). FUZZ_EXAMPLES=3000 tries so many of each kind.
"""

import json
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from dora_metrics.models import Service
from etl_tasks import inline, ledger
from etl_tasks.errors import RetriableError
from etl_tasks.fact_kinds import KINDS
from etl_tasks.models import DeadLetter, ETLRun, Source, StagedPage, compressed
from etl_tasks.outcomes import Bad, Good, UnreadablePage
from etl_tasks.sources.adapter import Job, Page
from etl_tasks.sources.github import client, mapping, null_records
from etl_tasks.sources.github.adapter import GitHubRepository
from etl_tasks.sources.github.client import Answer
from etl_tasks.sources.github.mapping import MAPPINGS
from etl_tasks.sources.github.readers.answers import AnswerContent
from etl_tasks.sources.github.staged_records import gone_records
from etl_tasks.sources.github.streams import BY_ID, BY_NAME, DEPLOYED_HISTORY, EXISTENCE, NEXT_PAGES, SINGLE_RECORD, STREAMS, Stream
from github_stand_in.call import Call
from github_stand_in.faults import Faults
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.etl_tasks.sources.github.changing_repository import ChangingRepository
from tests.etl_tasks.sources.github.damaged_answers import at, damaged
from tests.etl_tasks.sources.github.nights import show
from tests.fuzzing import examples

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
DAYS = 12
MOST_NODES = 5  # of a page: so that a damage falls on any part of any record
# The names that Python gives to the errors of a program. A stage that fails for a documented reason names none of them.
UNFORESEEN = re.compile(r"([A-Z]\w*(Error|Exception|Iteration)|UnreadablePage)\b: ")

# What is wrong with a record: msgspec's place of a field, the type of the whole record, or a null. With a page: its missing key, or its form.
NAMES_A_PLACE = re.compile(
    r"`\$[\w.\[\]]*`|missing required field `\w+`|Expected `object`|gave null|has no '\w+' where one was expected|"
    r"not JSON|is not a list|nodes for \d+ ids"
)


@pytest.fixture(scope="module")
def restless() -> World:
    """Return a small repository in which everything happens that may happen."""
    return ChangingRepository(random.Random(5), start=END - timedelta(days=DAYS), days=DAYS, actions=(8, 12)).world


@pytest.fixture
def served(github: StandIn, restless: World) -> StandIn:
    show(github, restless)
    return github


@pytest.fixture
def source(restless: World, db: None) -> Source:
    service = Service.objects.create(name="restless", incident_label="incident")
    return Source.objects.create(name="restless", service=service, kind="github", repository=restless.repository)


def night(source: Source) -> ETLRun:
    """Run one night. A stage that fails is part of the result. One that was interrupted goes on."""
    run = ledger.open_run(source, trigger="shell")
    assert run
    for _ in range(20):
        with suppress(inline.Interrupted):
            with suppress(inline.StageFailed, inline.Postponed):
                inline.run_remaining_stages(run.pk)
            break
    run.refresh_from_db()
    return run


def assert_ended_well_or_for_a_reason(run: ETLRun) -> None:
    """Check the invariants of a run over damaged answers."""
    letters = DeadLetter.objects.filter(run=run, state="open")
    assert run.status in ("success", "partial", "failed", "postponed"), run.status
    if run.status == "failed":
        assert not UNFORESEEN.match(run.error), run.error
        assert letters.filter(kind="stage").count() == 1
    elif run.status != "postponed":
        assert run.extracted == run.loaded + run.skipped + run.dead_lettered == run.records_processed
        assert bool(run.dead_lettered) == (run.status == "partial")


# --- one page: decode, transform, load --------------------------------------------------------------------------------


class Recorded(dict[tuple[str, str], tuple[Any, dict[str, Any]]]):
    """Decoded answers and the contexts of their pages, by stream and shape."""

    def __repr__(self) -> str:
        return "Recorded()"  # hypothesis prints the arguments of an example that fails


NO_SHAPE = ""
SHAPES = [
    *[(stream.name, NO_SHAPE) for stream in STREAMS],
    *[(stream.name, BY_ID) for stream in STREAMS if stream.by_id_query],
    *[(stream.name, NEXT_PAGES) for stream in STREAMS if stream.next_pages.query],
    *[(name, EXISTENCE) for name in ("pull_requests", "issues", "deployments", "releases", "workflow_runs")],
    ("workflow_runs", SINGLE_RECORD),
    ("commits", DEPLOYED_HISTORY),
]
_recorded = Recorded()


@pytest.fixture
def recorded(source: Source, served: StandIn) -> Recorded:
    """Return a decoded page of each stream and shape, with its context: the stand-in's answers, cut to a few records."""
    if not _recorded:
        with transaction.atomic():
            run = night(source)
            assert run.status == "success", run.error
            for stream in STREAMS:
                page = run.pages.filter(stream=stream.name).order_by("number").first()
                assert page, f"the world has no {stream.name}"
                made = _of_every_shape(stream, json.loads(page.content))
                _recorded.update({key: value for key, value in made if key in SHAPES})
            transaction.set_rollback(True)
    assert set(_recorded) == set(SHAPES)
    return _recorded


def _of_every_shape(stream: Stream, answer: Any) -> Iterator[tuple[tuple[str, str], tuple[Any, dict[str, Any]]]]:
    """Yield the page with a few records, and the pages of the other shapes, made of the same records."""
    connection = at(answer, stream.path)
    nodes = (connection["nodes"] if isinstance(connection, dict) else connection)[:MOST_NODES]
    if isinstance(connection, dict):
        connection["nodes"] = nodes
    else:
        answer[stream.path[-1]] = nodes
    asked = {"repository": "R_1", "at": END.isoformat()}
    yield (stream.name, NO_SHAPE), (answer, {})
    yield (stream.name, DEPLOYED_HISTORY), (answer, {"shape": DEPLOYED_HISTORY})
    yield (stream.name, SINGLE_RECORD), (nodes[0], {"shape": SINGLE_RECORD})
    there = [{**node, "repository": {**(node.get("repository") or {}), "id": "R_1"}} for node in nodes]
    ids = [node.get("id") or node.get("oid") for node in nodes]
    by_id = {"data": {"nodes": [*there[1:], None]}, "errors": [{"type": "NOT_FOUND", "path": ["nodes", len(nodes) - 1], "message": "gone"}]}
    yield (stream.name, BY_ID), (by_id, {"shape": BY_ID, "ids": [*ids[1:], "gone"], **asked})
    if stream.name in ("pull_requests", "issues"):
        exist = {f"n{node['number']}": {name: node[name] for name in ("id", "number", "repository")} for node in there}
        existence: Any = {"data": {"repository": {**exist, "n7000": None}}}
        yield (stream.name, EXISTENCE), (existence, {"shape": EXISTENCE, "numbers": [*(node["number"] for node in there), 7000], **asked})
    else:
        existence = {"data": {"nodes": [*({"id": node_id} for node_id in ids), None]}}
        yield (stream.name, EXISTENCE), (existence, {"shape": EXISTENCE, "ids": [*ids, "gone"], **asked})
    part: Any = nodes[0]
    for key in reversed(stream.next_pages.path):
        part = {key: part}
    yield (stream.name, NEXT_PAGES), (part, {"shape": NEXT_PAGES})


def page_of(stream: Stream, answer: Any, context: dict[str, Any]) -> Page:
    """Return the page that a reader would stage of this answer. Raises RetriableError."""
    body = json.dumps(answer).encode()
    given = Answer(url="https://api.github.com/x", status=200, body=body, etag="", next_url="", fetched_at=END)
    cursor = {"collected_from": (END - timedelta(days=DAYS)).isoformat(), "collected_until": END.isoformat()}
    if context.get("shape") == EXISTENCE:
        try:
            gone = null_records.gone_facts(body, context)
        except UnreadablePage as exc:
            raise RetriableError(str(exc)) from exc  # as ask_whether_they_exist does
        return Page(stream=stream.name, url="", body=body, record_count=len(gone), fetched_at=END, cursor=cursor, context=context, is_done=True)
    rest = {name: value for name, value in context.items() if name != "shape"}
    return AnswerContent(stream, given, shape=context.get("shape", ""), **rest).page(cursor=cursor, resume={}, is_done=True)


@pytest.mark.parametrize(("name", "shape"), SHAPES)
@examples(8)
@given(seed=st.integers(0, 2**32))
def test_each_record_of_a_damaged_page_is_a_fact_or_a_letter(
    source: Source, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, name: str, shape: str, seed: int
) -> None:
    stream = BY_NAME[name]
    answer, context = recorded[name, shape]
    pages = []
    if shape == NEXT_PAGES:
        pages.append(page_of(stream, *recorded[name, NO_SHAPE]))  # the records to which the parts belong
    try:
        pages.append(page_of(stream, damaged(random.Random(seed).choice, answer), context))
    except RetriableError:
        return  # the stage is tried again; the tests of whole nights below follow that
    monkeypatch.setattr(GitHubRepository, "pages", lambda self, job: iter(pages))
    with transaction.atomic():
        run = night(source)
        assert_ended_well_or_for_a_reason(run)
        assert run.status != "failed", run.error
        assert_letters_name_a_field(run)
        transaction.set_rollback(True)


def assert_letters_name_a_field(run: ETLRun) -> None:
    """Check that the run has an open letter for each record that it counts as a dead letter, and that each says what is wrong with which field."""
    letters = list(run.dead_letters.filter(state="open"))
    assert sum(letter.attempts for letter in letters) == run.dead_lettered  # a doubled record is one letter with two attempts
    for letter in letters:
        assert NAMES_A_PLACE.search(letter.error), letter.error


def test_a_page_of_every_shape_loads_while_it_is_whole(source: Source, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Formerly a deleted issue or pull request that was requested by its id failed the run: their rows have no global id."""
    for name, shape in SHAPES:
        pages = [page_of(BY_NAME[name], *recorded[name, NO_SHAPE]), page_of(BY_NAME[name], *recorded[name, shape])]
        monkeypatch.setattr(GitHubRepository, "pages", lambda self, job, pages=pages: iter(pages))
        run = night(source)
        assert (run.status, run.error) == ("success", ""), (name, shape)


def test_a_list_inside_the_list_of_requested_records_does_not_fail_the_run(
    source: Source, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, context = recorded["issues", BY_ID]
    pages = [page_of(BY_NAME["issues"], {"data": {"nodes": {"nodes": answer["data"]["nodes"]}}}, context)]
    monkeypatch.setattr(GitHubRepository, "pages", lambda self, job: iter(pages))
    run = night(source)
    assert (run.status, run.error, run.extracted) == ("success", "", len(context["ids"]))


def test_a_page_that_extract_has_counted_and_transform_cannot_decode_is_one_letter(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """How deeply nested JSON Python decodes depends on the depth of the call, and extract decodes in threads."""
    page = Page(stream="issues", url="", body=b"[" * 100_000, record_count=5, fetched_at=END, cursor={}, is_done=True)
    monkeypatch.setattr(GitHubRepository, "pages", lambda self, job: iter([page]))
    run = night(source)
    assert (run.status, run.error, run.extracted, run.dead_lettered) == ("partial", "", 1, 1)
    assert "not JSON" in run.dead_letters.get().error


def test_an_unreadable_answer_does_not_fail_the_search_for_deleted_records(source: Source) -> None:
    context = {"shape": BY_ID, "ids": ["a"], "repository": "R_1", "at": END.isoformat()}
    page = StagedPage(stream="deployments", context=context, body=compressed(b'{"data": {}}'))
    assert gone_records(Job(source, {}, {}, staged=lambda stream: iter([page])), "deployments") == []


@pytest.mark.parametrize("kind", ["commit", "commit_rest"])
def test_a_commit_that_is_its_own_parent_is_bad_because_a_walk_through_its_history_would_not_end(kind: str) -> None:
    times = {"authoredDate": "2026-03-01T10:00:00Z", "committedDate": "2026-03-01T10:00:00Z"}
    good, bad = mapping.to_facts(kind, [{"oid": "a" * 40, "parents": {"nodes": [{"oid": letter * 40}]}, **times} for letter in "ba"])
    assert isinstance(good, Good)
    assert isinstance(bad, Bad)
    assert bad.error == f"{kind}: The commit is its own parent - at `$.parents`"


def test_there_are_pages_of_every_kind_of_fact() -> None:
    assert {BY_NAME[name].fact_of({"shape": shape}) for name, shape in SHAPES} == set(KINDS) == set(MAPPINGS)


# --- whole nights -----------------------------------------------------------------------------------------------------


class Damaging(Faults):
    """Damages the answers of some requests at random."""

    def __init__(self, seed: int, *, share: float) -> None:
        super().__init__({"seed": seed})
        self.share = share

    def spoil(self, call: Call, answer: Any) -> None:
        if isinstance(answer, dict) and self.random.random() < self.share:
            found = damaged(self.random.choice, answer, most=2)
            answer.clear()
            answer.update(found if isinstance(found, dict) else {"data": found})


@examples(10)
@given(seed=st.integers(0, 2**32), share=st.sampled_from((0.05, 0.2, 1.0)), is_first=st.booleans())
def test_a_night_over_damaged_answers_ends_and_so_do_the_next(
    source: Source, served: StandIn, settings: Any, seed: int, share: float, is_first: bool
) -> None:
    settings.GITHUB_LANES = 1  # so that the same seed damages the same answers
    with transaction.atomic():
        if not is_first:
            served.clock = END - timedelta(days=3)
            assert night(source).status == "success"
            served.clock = END
        served._faults = Damaging(seed, share=share)
        for _ in range(2):
            assert_ended_well_or_for_a_reason(night(source))
            client._rate_limits.clear()
        served.faults = {}
        last = night(source)
        assert_ended_well_or_for_a_reason(last)
        assert last.status in ("success", "partial"), last.error
        transaction.set_rollback(True)
