"""Call the stages as plain functions. They load exactly what the stand-in and the log files contain."""

import json
import os
import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError

from dora_metrics.models import Attempt, Deployment, DORAMetric, LogDeployment
from etl_tasks import inline, ledger, replay
from etl_tasks.models import CleanBatch, Cursor, DeadLetter, ETLRun, Source, StagedPage
from etl_tasks.outcomes import Bad, Good, UnreadablePage
from etl_tasks.sources.github import mapping
from github_stand_in.server import StandIn
from github_stand_in.worlds.world import World
from log_store.event import LogEvent
from log_store.opening import open_log_store
from log_store.store import LogQuery
from tests.conftest import END
from tests.database_faults import failing_statements
from tests.tables import assert_equal_to_truth, facts

pytestmark = pytest.mark.django_db


def night(source: Source) -> ETLRun:
    run = ledger.open_run(source, trigger="shell")
    assert run
    inline.run_remaining_stages(run.pk)
    run.refresh_from_db()
    return run


def test_the_first_night_loads_exactly_what_github_holds(billing: Source, github: StandIn, world: World) -> None:
    run = night(billing)
    assert run.status == "success", run.error
    assert run.extracted == run.records_processed == run.loaded + run.skipped
    assert_equal_to_truth(world, END)
    assert DORAMetric.objects.filter(metric="change_lead_time", n__gt=0).exists()


def test_the_second_night_adds_only_what_is_new_and_the_same_again_changes_nothing(billing: Source, github: StandIn, world: World) -> None:
    github.clock = END - timedelta(days=1)
    night(billing)
    github.clock = END
    second = night(billing)
    assert 0 < second.loaded < 40
    assert_equal_to_truth(world, END, has_runs=False)  # deployments_from is `auto`: once deployments are found, workflow runs are not requested
    before = facts()
    third = night(billing)
    assert third.loaded == 0
    assert facts() == before


@pytest.mark.slow
@pytest.mark.parametrize("deployments_from", ["auto", "workflows"])
def test_thirty_nights_are_the_same_as_one(billing: Source, github: StandIn, world: World, deployments_from: str) -> None:
    type(billing.service).objects.update(deployments_from=deployments_from)
    billing.service.refresh_from_db()
    for days in range(30, -1, -1):
        github.clock = END - timedelta(days=days)
        assert night(billing).status == "success"
    assert_equal_to_truth(world, END, has_runs=deployments_from == "workflows", has_deployments=deployments_from == "auto")


@pytest.mark.slow
def test_every_second_answer_a_502_loses_nothing(billing: Source, github: StandIn, world: World, settings) -> None:
    settings.GITHUB_LANES = 1  # with more lanes, all failed answers may belong to one stream
    github.faults = {"every": 2, "status": 502}
    assert night(billing).status == "success"
    assert_equal_to_truth(world, END)


def test_a_repository_that_does_not_exist_fails_with_a_sentence_and_its_neighbour_goes_on(billing: Source, github: StandIn) -> None:
    missing = Source.objects.create(name="gone", service=billing.service, kind="github", repository="acme/gone")
    with pytest.raises(inline.StageFailed, match="does not exist, or the token may not read it"):
        night(missing)
    assert night(billing).status == "success"
    letter = DeadLetter.objects.get()
    assert (letter.source.name, letter.kind, letter.stage) == ("gone", "stage", "extract")
    assert ETLRun.objects.get(source=missing).status == "failed"


def test_a_bad_record_is_buried_once_and_its_neighbours_go_on(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"bad_record": "Deployments"}
    run = night(billing)
    assert run.status == "partial"
    assert run.dead_lettered >= 1
    letters = DeadLetter.objects.filter(kind="record")
    assert Deployment.objects.count() == len(world.deployments(END)) - letters.count()
    letter = letters.first()
    assert letter
    assert json.loads(letter.data)["createdAt"] == "not a date"
    assert "not a date" in letter.error or "datetime" in letter.error
    with pytest.raises(replay.ReplayFailed):
        replay.replay_letter(letter, by="test")
    count = letters.count()
    night(billing)
    assert letters.count() == count


def test_a_page_that_is_not_json_is_one_letter_and_the_cursor_stays(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"garbage": "PullRequests"}
    run = night(billing)
    assert (run.status, run.dead_lettered) == ("partial", 1)
    assert DeadLetter.objects.get().kind == "page"
    assert not Cursor.objects.filter(stream="pull_requests").exists()
    github.faults = {}
    assert night(billing).status == "success"
    assert_equal_to_truth(world, END)


def test_a_wrong_token_is_not_tried_again(billing: Source, github: StandIn, settings) -> None:
    settings.GITHUB_CREDENTIALS = {"": {**settings.GITHUB_CREDENTIALS[""], "token": "wrong"}}
    with pytest.raises(inline.StageFailed, match="GITHUB_TOKEN is wrong, expired or revoked"):
        night(billing)
    assert github.counts["requests"] == 1


def test_a_failed_stage_is_replayed_from_where_it_stood(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"outage": True}
    with pytest.raises(inline.StageFailed):
        night(billing)
    letter = DeadLetter.objects.get()
    with pytest.raises(replay.ReplayFailed):
        replay.replay_letter(letter, by="test")
    github.faults = {}
    letter.refresh_from_db()
    replay.replay_letter(letter, by="test")
    letter.refresh_from_db()
    assert (letter.state, letter.resolved_by) == ("replayed", "test")
    assert ETLRun.objects.get().status == "success"
    assert_equal_to_truth(world, END)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "billing.log"


@pytest.fixture
def logs(db: None, billing: Source, log_file: Path) -> Source:
    open_log_store().ensure_schema()
    name = f"logs-{log_file.parent.name}"
    return Source.objects.create(name=name, service=billing.service, kind="logs", path=str(log_file), log_format="json", is_strict=True)


def lines(first: int, last: int) -> str:
    return "".join(f'{{"time": "2026-03-19T10:00:{i % 60:02}.{i:03}Z", "level": "info", "message": "line {i}"}}\n' for i in range(first, last))


def log_events(source: Source) -> Sequence[LogEvent]:
    return open_log_store().read(LogQuery(source.name, END - timedelta(days=2), END), limit=10_000).events


def stored(source: Source) -> list[str]:
    return sorted(event.message for event in log_events(source))


def test_log_lines_are_followed_from_the_last_offset_and_stored_once(logs: Source, log_file: Path) -> None:
    log_file.write_text(lines(0, 100) + "not JSON\n" + lines(100, 101)[:20])
    first = night(logs)
    assert (first.status, first.loaded, first.dead_lettered) == ("partial", 100, 1)
    assert DeadLetter.objects.get().data == "not JSON"
    with log_file.open("a") as file:
        file.write(lines(100, 101)[20:] + lines(101, 150))
    second = night(logs)
    assert (second.status, second.loaded) == ("success", 50)
    assert night(logs).extracted == 0
    assert stored(logs) == sorted(f"line {i}" for i in range(150))


def test_since_reads_log_files_again_that_were_collected_before(logs: Source, log_file: Path) -> None:
    log_file.write_text(lines(0, 60))
    night(logs)
    run = ledger.open_run(logs, trigger="command", options={"since": "2026-03-01T00:00:00+00:00"})
    assert run
    inline.run_remaining_stages(run.pk)
    run.refresh_from_db()
    assert run.extracted == 60
    assert stored(logs) == sorted(f"line {i}" for i in range(60))


def test_a_deploy_pattern_that_was_wrong_is_mended_by_reading_all_again(logs: Source, log_file: Path) -> None:
    log_file.write_text(lines(0, 20))
    for pattern, deployments in ("line", 20), ("line 1[0-4]", 5):
        logs.deploy_pattern = pattern
        logs.save()
        run = ledger.open_run(logs, trigger="shell", options={"full": True})
        assert run
        inline.run_remaining_stages(run.pk)
        assert LogDeployment.objects.count() == Attempt.objects.filter(service=logs.service).count() == deployments


def test_a_format_set_wrongly_fails_loudly_and_is_replayed_once_it_is_right(logs: Source, log_file: Path) -> None:
    Source.objects.filter(pk=logs.pk).update(log_format="combined")
    logs.refresh_from_db()
    log_file.write_text(lines(0, 100))
    with pytest.raises(inline.StageFailed, match="format is set wrongly"):
        night(logs)
    letter = DeadLetter.objects.get()
    assert letter.kind == "stage"
    Source.objects.filter(pk=logs.pk).update(log_format="json")
    replay.replay_letter(DeadLetter.objects.get(), by="test")
    assert stored(logs) == sorted(f"line {i}" for i in range(100))


def test_a_failed_run_is_replayed_also_where_its_mended_format_finds_fewer_events_in_the_same_pages(logs: Source, log_file: Path) -> None:
    log_file.write_text("".join(f"2026-03-19 10:00:{i:02},000 ERROR shop: line {i}\n  at a\n  at b\n" for i in range(30)))
    os.utime(log_file, (log_file.stat().st_atime, log_file.stat().st_mtime - 60))
    with pytest.raises(inline.StageFailed, match="90 of 90 records"):
        night(logs)
    Source.objects.filter(pk=logs.pk).update(log_format="python")
    replay.replay_letter(DeadLetter.objects.get(), by="test")
    run = ETLRun.objects.get()
    assert (run.status, run.extracted, run.loaded, run.dead_lettered) == ("success", 30, 30, 0)
    assert stored(logs) == sorted(f"line {i}\n  at a\n  at b" for i in range(30))


def test_a_letter_is_replayed_as_the_event_that_it_is_of_also_where_its_page_has_other_events_by_now(logs: Source, log_file: Path) -> None:
    log_file.write_text('{"msg": "no time"}\n  goes on\n' + lines(0, 30) + "2026-03-19T10:01:00Z late\n")
    night(logs)
    late, goes_on = (DeadLetter.objects.get(data__contains=text) for text in ("late", "goes on"))
    pattern = r'(?:\{"time": "|(?P<time>\d\S+) ).*(?P<message>line \d+|late).*|\{.*'
    Source.objects.filter(pk=logs.pk).update(log_format="regex", log_pattern=pattern)
    late.source.refresh_from_db()

    replay.replay_letter(DeadLetter.objects.get(pk=late.pk), by="test")
    with pytest.raises(replay.ReplayFailed, match="begins where this one did"):
        replay.replay_letter(DeadLetter.objects.get(pk=goes_on.pk), by="test")

    assert "late" in stored(logs)


def test_what_a_failed_run_has_stored_is_not_in_the_way_of_what_is_written_after_a_truncation(logs: Source, log_file: Path) -> None:
    Source.objects.filter(pk=logs.pk).update(path=f"{log_file}*")
    logs.refresh_from_db()
    log_file.write_text(lines(0, 50))
    # Fail after the events are stored and before the run is finished.
    with failing_statements("dora_metrics_dorametric", RuntimeError("unforeseen")), pytest.raises(inline.StageFailed):
        night(logs)
    assert len(stored(logs)) == 50  # but the next run reads these lines again, because the cursors have not moved
    shutil.copy(log_file, f"{log_file}.1")
    log_file.write_text(lines(50, 110))
    assert night(logs).extracted == 110
    assert stored(logs) == sorted(f"line {i}" for i in range(110))
    letter = DeadLetter.objects.get(kind="stage")
    assert letter.state == "replayed"
    assert ledger.reopen(letter.run)
    inline.run_remaining_stages(letter.run_id)
    assert stored(logs) == sorted(f"line {i}" for i in range(110))
    assert night(logs).extracted == 0


def lenient(source: Source) -> None:
    Source.objects.filter(pk=source.pk).update(is_strict=False)
    source.refresh_from_db()


def test_a_line_that_is_not_of_the_format_is_kept_as_it_is_and_counted(logs: Source, log_file: Path) -> None:
    lenient(logs)
    log_file.write_text(lines(0, 50) + "not JSON\n" + lines(50, 100))
    run = night(logs)
    assert (run.status, run.extracted, run.loaded, run.unparsed, run.dead_lettered) == ("success", 101, 101, 1, 0)
    [kept] = [event for event in log_events(logs) if event.level == "unknown"]
    before = next(event for event in log_events(logs) if event.message == "line 49")
    assert (kept.message, kept.time, kept.extra["time_is"]) == ("not JSON", before.time, "inferred")
    assert "not JSON" in kept.extra["unparsed"]


def test_a_file_that_is_mostly_not_of_the_format_fails_loudly_also_where_lines_are_kept(logs: Source, log_file: Path) -> None:
    lenient(logs)
    log_file.write_text("not JSON\n" * 60 + lines(0, 40))
    with pytest.raises(inline.StageFailed, match="60 of 100 records"):
        night(logs)
    assert stored(logs) == []
    assert list(DeadLetter.objects.values_list("kind", flat=True)) == ["stage"]


def test_a_layout_that_no_line_of_a_file_is_of_fails_loudly(logs: Source, log_file: Path) -> None:
    Source.objects.filter(pk=logs.pk).update(log_format="python", log_pattern="%(asctime)s [%(levelname)s] %(message)s", is_strict=False)
    logs.refresh_from_db()
    log_file.write_text("".join(f"ERROR 2026-03-19 10:00:{i:02},000 line {i}\n  at a\n" for i in range(40)))
    os.utime(log_file, (log_file.stat().st_atime, log_file.stat().st_mtime - 60))
    with pytest.raises(inline.StageFailed, match="40 of 40 records"):
        night(logs)
    assert stored(logs) == []


def test_a_line_before_any_of_the_page_has_the_time_of_the_event_before_it_in_the_file(logs: Source, log_file: Path) -> None:
    lenient(logs)
    log_file.write_text(lines(0, 30))
    night(logs)
    with log_file.open("a") as file:
        file.write("not JSON\n" + lines(40, 70))
    night(logs)
    [kept] = [event for event in log_events(logs) if event.level == "unknown"]
    assert kept.time == next(event for event in log_events(logs) if event.message == "line 29").time


def test_a_secret_in_a_line_is_nowhere(logs: Source, log_file: Path) -> None:
    secret = "hunter2-and-more"
    log_file.write_text(lines(0, 30) + f'{{"time": "2026-03-19T11:00:00Z", "message": "password={secret}"}}\nno JSON, password={secret}\n')
    run = night(logs)
    assert (run.loaded, run.dead_lettered) == (31, 1)
    [event] = [event for event in log_events(logs) if event.message.startswith("password")]
    assert event.message == "password=" + "*" * len(secret)
    everything = [page.content for page in StagedPage.objects.all()] + [batch.content for batch in CleanBatch.objects.all()]
    assert secret not in str(everything) + str(list(DeadLetter.objects.values())) + str(log_events(logs))


def test_a_line_over_many_pages_of_a_file_is_stored_once_whatever_page_it_is_in(logs: Source, log_file: Path) -> None:
    padding = "x" * 400
    log_file.write_text("".join(line.replace("line", f"{padding} line") for line in lines(0, 6000).splitlines(keepends=True)))
    run = night(logs)
    assert run.pages.count() >= 3
    assert run.loaded == 6000
    again = ledger.open_run(logs, trigger="shell", options={"full": True})
    assert again
    inline.run_remaining_stages(again.pk)
    assert len(stored(logs)) == 6000
    assert open_log_store().count(logs.name, END - timedelta(days=2), END) == 6000
    assert sum(open_log_store().counts(logs.name, END - timedelta(days=2), END).values()) == 6000


@pytest.mark.parametrize(
    "damage",
    [
        {"title": "half a character \ud83d"},
        {"additions": 2**33},
        {"headRefOid": "a" * 70},
        {"createdAt": "2026-03-01T00:00:00"},
        {"number": -1},
    ],
)
def test_a_record_that_no_column_can_hold_is_bad_by_itself(world: World, damage: dict[str, object]) -> None:
    rows = world.pull_requests(END)[:2]
    good, bad = list(mapping.to_facts("change", [rows[0], {**rows[1], **damage}]))

    assert isinstance(good, Good)
    assert isinstance(bad, Bad)
    bad.data.encode()


def test_a_run_that_failed_twice_is_closed_by_its_good_end(billing: Source, github: StandIn, world: World) -> None:
    github.faults = {"outage": True}
    with pytest.raises(inline.StageFailed):
        night(billing)
    first = DeadLetter.objects.get()
    github.faults = {}
    with failing_statements("etl_tasks_cleanbatch", OperationalError("database or disk is full")), pytest.raises(replay.ReplayFailed):
        replay.replay_letter(first, by="test")
    assert DeadLetter.objects.get(stage="extract").state == "replayed"
    assert DeadLetter.objects.get(state="open").stage == "transform"

    replay.replay_letter(DeadLetter.objects.get(stage="transform"), by="test")

    assert not DeadLetter.objects.filter(state="open").exists()
    assert ETLRun.objects.get().status == "success"


def test_a_run_whose_counts_do_not_balance_does_not_succeed(logs: Source, log_file: Path) -> None:
    log_file.write_text(lines(0, 10))
    run = ledger.open_run(logs, trigger="shell")
    assert run
    inline.run_stage(run.pk, "extract")
    inline.run_stage(run.pk, "transform")
    ETLRun.objects.update(extracted=11)
    with pytest.raises(inline.StageFailed, match="11 records extracted, 10 accounted for"):
        inline.run_stage(run.pk, "load")
    assert ETLRun.objects.get().status == "failed"


def test_a_list_that_github_leaves_out_is_no_end_of_it(billing: Source, github: StandIn, settings) -> None:
    settings.GITHUB_PAGE_SIZE = 10
    body = b'{"data": {"repository": {"pullRequests": null}}}'
    with pytest.raises(UnreadablePage):
        mapping.nodes(body, ("data", "repository", "pullRequests"))
    assert mapping.nodes(b'{"data": {"repository": {"pullRequest": null}}}', ("data", "repository", "pullRequest")) == []


def test_the_token_never_goes_over_plain_http(billing: Source, settings) -> None:
    settings.GITHUB_API_URL, settings.GITHUB_GRAPHQL_URL = "http://192.0.2.2/api/v3", "http://192.0.2.2/api/graphql"
    with pytest.raises(inline.StageFailed, match="plain http"):
        night(billing)


def test_another_repository_is_refused_once_one_was_collected(billing: Source, github: StandIn) -> None:
    night(billing)
    billing.refresh_from_db()
    billing.repository = "acme/other"
    with pytest.raises(ValidationError, match="has been collected from acme/billing"):
        billing.full_clean()


def test_half_of_a_stream_bad_fails_the_run_and_leaves_no_thousand_letters(billing: Source, github: StandIn, settings) -> None:
    settings.ETL_MAX_BAD_SHARE = 0.001
    settings.GITHUB_PAGE_SIZE = 10
    github.faults = {"bad_record": "Deployments"}
    with pytest.raises(inline.StageFailed, match="records of deployments cannot be read"):
        night(billing)
    assert list(DeadLetter.objects.values_list("kind", flat=True)) == ["stage"]

    settings.ETL_MAX_BAD_SHARE = 0.5
    replay.replay_letter(DeadLetter.objects.get(), by="test")
    run = ETLRun.objects.get()
    assert run.status == "partial"
    assert run.extracted == run.loaded + run.skipped + run.dead_lettered
