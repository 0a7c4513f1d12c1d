"""Two processes write one service at the same time: neither fails, and the rows reflect all facts."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from dora_metrics.derivation.recompute import hold, recompute
from dora_metrics.models import Attempt, Deployment, Service
from etl_tasks import dead_letters, inline, ledger, replay
from etl_tasks.loaders import facts
from etl_tasks.models import DeadLetter, Source
from etl_tasks.outcomes import WHOLE_PAGE, Bad
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from tests.conftest import END
from tests.dora_metrics.calculators.examples import at
from tests.dora_metrics.stored_rows import cover, repository_of
from tests.tables import assert_equal_to_truth

ROUNDS = 8


def written(number: int) -> dict[str, object]:
    moment = at(number).isoformat()
    return {
        "external_id": number,
        "environment": "production",
        "sha": f"s{number}",
        "state": "active",
        "created_at": moment,
        "version_at": moment,
        "statuses": [{"state": "success", "created_at": moment, "log_url": ""}],
    }


@pytest.mark.django_db(transaction=True)
def test_two_that_finish_together_wait_for_each_other() -> None:
    service = Service.objects.create(name="billing", deployments_from="github")
    repository = repository_of(service)
    cover(repository, "deployments", since=at(0), until=at(60))
    failures: list[Exception] = []
    start = threading.Barrier(2)

    def write(numbers: range) -> Callable[[], None]:
        def run() -> None:
            try:
                for number in numbers:
                    start.wait(30)
                    with transaction.atomic():
                        hold(service)
                        facts.upsert("deployment", [written(number)], repository=repository, run_id=number, page_id=0)
                        cover(repository, f"s{number}", since=at(0), until=at(60))
                        recompute(service, run_id=number, moment=at(60))
            except Exception as exc:  # noqa: BLE001  reported by the test's own thread
                failures.append(exc)
                start.abort()
            finally:
                connection.close()

        return run

    threads = [threading.Thread(target=write(range(first, 2 * ROUNDS + 1, 2))) for first in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    assert Attempt.objects.count() == 2 * ROUNDS


def side_by_side(*works: Callable[[], None]) -> list[Exception]:
    """Run the functions in parallel threads. Return the exceptions that they raised."""
    failures: list[Exception] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as exc:  # noqa: BLE001  reported by the test's own thread
            failures.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return failures


@pytest.mark.django_db(transaction=True)
def test_two_that_write_the_same_new_facts_both_end_well() -> None:
    repository = repository_of(Service.objects.create(name="billing", deployments_from="github"))
    start = threading.Barrier(2, timeout=60)

    def write() -> None:
        for number in range(12):
            start.wait()
            with transaction.atomic():
                facts.upsert("deployment", [written(100 * number + one) for one in range(100)], repository=repository, run_id=1, page_id=0)

    assert side_by_side(write, write) == []
    assert Deployment.objects.count() == 1200


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_replay_beside_the_load_of_the_same_page_lets_both_end_well(github: StandIn, world: World, settings: Any) -> None:
    settings.GITHUB_PAGE_SIZE = 5
    service = Service.objects.create(name="billing")
    source = Source.objects.create(name="billing", service=service, kind="github", repository="acme/billing")
    run = ledger.open_run(source, trigger="shell")
    assert run
    for stage in ("extract", "transform"):
        inline.run_stage(run.pk, stage)
    for page in run.pages.order_by("number"):
        dead_letters.bury_records(run, page, [Bad(index=WHOLE_PAGE, key=str(page.number), data="", error="as it was read before")])
    letters = list(DeadLetter.objects.select_related("source__service", "run", "page").order_by("page__number"))

    def replay_all() -> None:
        for letter in letters:
            replay.replay_letter(letter, by="test")

    assert side_by_side(lambda: inline.run_stage(run.pk, "load"), replay_all) == []
    run.refresh_from_db()
    assert run.status == "success"
    assert set(DeadLetter.objects.values_list("state", flat=True)) == {"replayed"}
    assert_equal_to_truth(world, END)
