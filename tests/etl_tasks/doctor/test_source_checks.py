import pytest

from etl_tasks.doctor import Level, source_checks
from etl_tasks.doctor.source_checks import check_sources
from etl_tasks.models import ETLRun, Source
from github_stand_in.server import StandIn
from tests.etl_tasks.sources.failing import FailingSource, failing

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_enabled_source_is_tried_and_nothing_is_stored(billing: Source, github: StandIn, broker_away: None) -> None:
    Source.objects.create(name="gone", service=billing.service, kind="github", repository="acme/gone")
    Source.objects.create(name="logs", service=billing.service, kind="logs", path="/var/log/no-such-file", log_format="json")
    Source.objects.create(name="off", service=billing.service, kind="github", repository="acme/off", is_enabled=False)
    found = {finding.name: finding for finding in check_sources()}
    assert found.keys() == {"billing", "gone", "logs"}
    assert (found["billing"].level, found["billing"].sentence) == (Level.OK, "acme/billing can be read (public, default branch main)")
    assert (found["gone"].level, "does not exist, or the token may not read it" in found["gone"].sentence) == (Level.PROBLEM, True)
    assert found["gone"].action == "Correct it, and try it with `check_source gone`"
    assert found["logs"].level is Level.PROBLEM
    assert not ETLRun.objects.exists()


def test_of_many_sources_those_are_tried_that_did_not_succeed(billing: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_checks, "MOST_TRIED", 3)
    tried: list[str] = []
    with failing():
        monkeypatch.setattr(FailingSource, "check", lambda self, source: (tried.append(source.name), source_checks.Check(True, []))[1])
        for number in range(5):
            source = Source.objects.create(name=f"source-{number}", service=billing.service, kind="github", repository=f"acme/{number}")
            status = "success" if number else "failed"
            ETLRun.objects.create(source=source, pipeline=source.name, trigger="beat", status=status, lease_until=source.created_at)
        found = list(check_sources())
    assert sorted(tried) == ["billing", "source-0"]
    assert found[0].sentence.startswith("4 other sources were not tried")


def test_an_adapter_that_breaks_is_a_problem_of_its_source_only(billing: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, source: Source) -> None:
        raise RuntimeError("out of order")

    with failing():
        monkeypatch.setattr(FailingSource, "check", broken)
        [found] = check_sources()
    assert (found.level, found.sentence) == (Level.PROBLEM, "RuntimeError: out of order")


def test_without_sources_it_says_how_to_add_one() -> None:
    [found] = check_sources()
    assert (found.level, "add_service" in found.sentence) == (Level.OK, True)
