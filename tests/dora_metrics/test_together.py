"""Two writers of one service at the same time: neither fails, and the rows are those of all facts."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection, transaction

from dora_metrics.models import Attempt, Coverage, Service
from dora_metrics.recompute import hold, recompute
from etl_tasks.loaders import facts
from tests.dora_metrics.calculators.examples import at

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
    Coverage.objects.create(service=service, stream="deployments", since=at(0), until=at(60))
    failures: list[Exception] = []
    start = threading.Barrier(2)

    def write(numbers: range) -> Callable[[], None]:
        def run() -> None:
            try:
                for number in numbers:
                    start.wait(30)
                    with transaction.atomic():
                        hold(service)
                        facts.upsert("deployment", [written(number)], service=service, run_id=number, page_id=0)
                        Coverage.objects.update_or_create(service=service, stream=f"s{number}", defaults={"since": at(0), "until": at(60)})
                        recompute(service, run_id=number, moment=at(60))
            except Exception as exc:  # noqa: BLE001  to be shown by the test's own thread
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
