"""Records that become dead letters although further pages of their inner lists, such as commits or statuses, have been read.

The dead letter keeps the content of these pages. A replay loads it with the record.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.models import Sum
from django.test import override_settings

from dora_metrics.models import Change, Deployment, Issue, Service
from etl_tasks import replay
from etl_tasks.models import DeadLetter, ETLRun, Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.github.adapter import GitHubRepository
from github_stand_in.server import StandIn
from github_stand_in.worlds.facts import SECOND
from tests.etl_tasks.sources.github.nights import night, show, source_of
from tests.etl_tasks.sources.github.small_repository import MENDED_AT, REPORTED_AT, SmallRepository
from tests.tables import facts

pytestmark = pytest.mark.django_db


@pytest.fixture
def small(github: StandIn) -> SmallRepository:
    """The oldest commit, the last linked issue, the success status and the incident label are not among the first 100 entries of their lists."""
    small = SmallRepository(commits=150)
    small.pull.commits[140].authored = small.world.start
    small.pull.closes = [("acme/elsewhere", number) for number in range(149)] + [("", 1)]
    small.mended.statuses = [(MENDED_AT, "SUCCESS"), *((MENDED_AT + SECOND * number, "IN_PROGRESS") for number in range(130))]
    small.incident.labelled = [(f"area {number}", REPORTED_AT, None) for number in range(119)] + [("incident", REPORTED_AT, None)]
    show(github, small.ready())
    return small


class OutdatedReader(GitHubRepository):
    """The adapter before it is updated to a change of GitHub's API: it rejects facts of the `refused` kinds."""

    refused: tuple[str, ...] = ()

    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        kind = self.fact(stream, context)
        for index, one in enumerate(super().clean(source, stream, content, context)):
            if isinstance(one, Good) and kind in self.refused:
                key = str(one.fact.get("external_id", one.fact.get("number")))
                yield Bad(index=index, key=key, data=json.dumps(one.fact), error=f"{kind}: cannot be read yet")
            else:
                yield one


@contextmanager
def unreadable(*kinds: str) -> Iterator[None]:
    OutdatedReader.refused = kinds
    with override_settings(ETL_ADAPTERS={"github": f"{__name__}.{OutdatedReader.__name__}"}):
        yield


@pytest.mark.parametrize("is_backwards", [False, True])
def test_a_replayed_record_has_all_its_parts_and_the_numbers_are_those_of_a_night_without_a_letter(
    github: StandIn, small: SmallRepository, is_backwards: bool
) -> None:
    with unreadable("change", "deployment", "issue"):
        run = night(source_of("acme/train"))
    assert run.status == "partial"
    assert run.extracted == run.loaded + run.skipped + run.dead_lettered
    assert run.skipped == 0, "a part of what is buried is not there already"
    assert not Change.objects.exists()

    for letter in DeadLetter.objects.order_by("-pk" if is_backwards else "pk"):
        replay.replay_letter(letter, by="test")
    replayed = facts()
    assert len(Change.objects.get().commits) == 150
    assert len(Deployment.objects.get(sha=small.mended.oid).statuses) == 131
    assert len(Issue.objects.get().labels) == 120

    Service.objects.all().delete()
    night(source_of("acme/train"))
    assert facts() == replayed


def test_a_letter_that_is_replayed_late_does_not_cut_what_a_later_night_has_read(github: StandIn, small: SmallRepository) -> None:
    source = source_of("acme/train")
    with unreadable("change"):
        night(source)
    night(source, full=True)
    before = facts()
    replay.replay_letter(DeadLetter.objects.get(), by="test")

    assert facts() == before


def test_a_letter_of_an_older_version_adds_nothing_to_a_newer_one(github: StandIn, small: SmallRepository) -> None:
    """After the letter was written, a force push removed commits from the branch. A replay must not restore them."""
    source = source_of("acme/train")
    with unreadable("change"):
        night(source)
    small.pull.commits = small.pull.commits[:20]
    small.pull.reviews.append((github.clock, "ben", "COMMENTED"))
    small.ready()
    night(source)
    assert len(Change.objects.get().commits) == 20
    replay.replay_letter(DeadLetter.objects.get(), by="test")

    assert len(Change.objects.get().commits) == 20


def test_a_part_that_could_not_be_read_is_added_by_its_own_letter_or_by_its_records(github: StandIn, small: SmallRepository) -> None:
    source = source_of("acme/train")
    with unreadable("change", "change_rest"):
        run = night(source)
    letters = list(DeadLetter.objects.order_by("-pk"))
    assert len(letters) == run.dead_lettered == 2
    for letter in letters:
        replay.replay_letter(letter, by="test")

    assert len(Change.objects.get().commits) == 150
    assert ETLRun.objects.aggregate(extracted=Sum("extracted"))["extracted"] == run.extracted
