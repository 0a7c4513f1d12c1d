"""Store a small service that has every kind of fact."""

from django.db import transaction

from dora_metrics.calculators.inputs import Facts
from dora_metrics.derivation.recompute import recompute
from dora_metrics.models import Service
from tests.dora_metrics.calculators.examples import at, change, covering, deployment, facts, hotfix, issue, line, links, revert
from tests.dora_metrics.stored_rows import store

# January and a part of February, with failures, recoveries, reverts, a hotfix and a rollback. Some shares are thirds or
# sevenths, which no float holds exactly.
EVENTFUL = facts(
    deployments=(
        *(deployment(day, sha, at(day)) for day, sha in enumerate(("a", "m1", "m2", "m3", "m4", "m3", "m7"))),
        deployment(9, "x", at(9), "failure"),
        deployment(10, "m7", at(40)),
    ),
    parents=line("a", "m1", "m2", "m3", "m4", "m5", "m6", "m7"),
    pull_requests=(
        change(1, authored_at=(at(0, seconds=1, milliseconds=234),), commit_shas=("c1",)),
        change(2, author_is_bot=True),
        revert(3, 1),
        change(4, closes=(("acme/billing", 100),)),
        hotfix(6, merge_sha="m5"),
        change(7, created_at=at(0, seconds=7)),
    ),
    issues=(issue(100, at(2.5), at(4, seconds=1)), issue(101, at(-1), at(2)), issue(102, at(9.5), links=links(deployment="9"))),
    repositories=frozenset({"acme/billing"}),
    coverage=covering(at(-5), at(41)),
)
NOW = at(41)


def a_service(name: str, known: Facts = EVENTFUL) -> Service:
    service = Service.objects.create(name=name)
    store(service, known)
    with transaction.atomic():
        recompute(service, run_id=1, moment=NOW)
    return service
