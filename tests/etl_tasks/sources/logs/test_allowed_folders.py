"""A log source reads only files below LOG_ROOTS. Forms and commands check this, and so does opening a file."""

import gzip
import io
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from dora_metrics.models import Service
from etl_tasks import inline, ledger
from etl_tasks.models import ETLRun, Source, StagedPage
from etl_tasks.sources.logs.allowed_folders import OutsideRoots, Roots
from etl_tasks.sources.logs.following.content import FileMoved, inspect_file, open_content
from etl_tasks.sources.logs.following.follow import Chunk, Unreadable, chunks
from etl_tasks.sources.logs.following.globbing import paths_of
from etl_tasks.sources.registry import adapter_of

LINE = '{"time": "2026-11-26T01:00:00Z", "message": "paid"}\n'
SECRET = "root:x:0:0"


@pytest.fixture
def root(tmp_path: Path, settings: Settings) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "app.log").write_text(LINE)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(f"{SECRET}\n")
    settings.LOG_ROOTS = [str(folder)]
    return folder


@pytest.fixture
def service(db: None) -> Service:
    return Service.objects.create(name="billing")


def found(pattern: object, roots: Roots) -> tuple[bytes, list[Unreadable]]:
    items = list(chunks(str(pattern), {}, roots=roots))
    return b"".join(one.body for one in items if isinstance(one, Chunk)), [one for one in items if isinstance(one, Unreadable)]


def source_of(service: Service, path: object) -> Source:
    """Store a source without validation, like one that was created before LOG_ROOTS was set."""
    return Source.objects.create(name="app", service=service, kind="logs", path=str(path), log_format="json")


# --- accepted patterns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["app.log", "*.log", "**/*.log", "missing/*.log", "", "x/../app.log"])
def test_a_pattern_below_a_root_is_taken(root: Path, pattern: str) -> None:
    assert Roots([str(root)]).refusal(f"{root}/{pattern}") == ""


@pytest.mark.parametrize(
    "pattern", ["/etc/passwd", "/etc/*", "/**", "{root}/../etc/passwd", "{root}-of-others/*.log", "{root}/link/passwd", "/*/x.log"]
)
def test_a_pattern_outside_is_refused_with_the_roots(root: Path, pattern: str) -> None:
    (root / "link").symlink_to(root.parent / "etc")
    refusal = Roots([str(root)]).refusal(pattern.format(root=root))
    assert f"log sources may read from ({root})" in refusal
    assert "LOG_ROOTS" in refusal


def test_a_relative_pattern_is_refused_for_a_worker_runs_elsewhere() -> None:
    assert "not an absolute path" in Roots(["/"]).refusal("logs/*.log")


def test_a_root_may_be_a_link_itself(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    roots = Roots([str(root.parent / "alias")])
    for path in (root.parent / "alias" / "*.log", root / "*.log"):
        assert roots.refusal(str(path)) == ""
        assert found(path, roots) == (LINE.encode(), [])


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_link_inside_to_a_file_outside_is_unreadable_and_the_others_go_on(root: Path) -> None:
    (root / "b.log").symlink_to(root.parent / "etc" / "passwd")
    body, [unreadable] = found(root / "*.log", Roots([str(root)]))
    assert body == LINE.encode()
    assert (unreadable.path, "LOG_ROOTS" in unreadable.reason) == (str(root / "b.log"), True)


def test_a_link_inside_to_a_file_inside_is_read(root: Path) -> None:
    (root / "current").symlink_to("app.log")
    assert found(root / "current", Roots([str(root)])) == (LINE.encode(), [])


@pytest.mark.parametrize("pattern", ["*/*", "**", "**/passwd", "linked/*"])
def test_a_folder_outside_is_not_looked_into(root: Path, pattern: str) -> None:
    (root / "app.log").unlink()
    (root / "linked").symlink_to(root.parent / "etc")
    assert paths_of(f"{root}/{pattern}", Roots([str(root)])) == [f"{root}/linked"]
    assert [one.path for one in found(f"{root}/{pattern}", Roots([str(root)]))[1]] == [f"{root}/linked"]


def test_a_way_up_behind_a_wildcard_leads_nowhere(root: Path) -> None:
    (root / "x").mkdir()
    body, unreadable = found(f"{root}/*/../../etc/passwd", Roots([str(root)]))
    assert (body, len(unreadable)) == (b"", 1)


def test_a_compressed_file_outside_is_not_unpacked(root: Path) -> None:
    (root.parent / "etc" / "old.gz").write_bytes(gzip.compress(SECRET.encode()))
    (root / "old.log.gz").symlink_to(root.parent / "etc" / "old.gz")
    assert found(root / "*.gz", Roots([str(root)]))[0] == b""


def test_a_link_that_takes_the_files_place_after_the_look_is_not_followed(root: Path) -> None:
    roots, log = Roots([str(root)]), root / "app.log"
    seen = inspect_file(str(log), roots)
    log.rename(root / "app.log.1")
    log.symlink_to(root.parent / "etc" / "passwd")
    with pytest.raises(FileMoved):
        open_content(seen, roots)


def test_a_link_that_takes_a_folders_place_after_the_look_is_not_followed(root: Path) -> None:
    roots, inner = Roots([str(root)]), root / "inner"
    inner.mkdir()
    # The same file is in both folders, so after the folder is replaced, only the symbolic link shows that the path leads outside.
    os.link(root.parent / "etc" / "passwd", inner / "passwd")
    seen = inspect_file(str(inner / "passwd"), roots)
    inner.rename(root / "was")
    inner.symlink_to(root.parent / "etc")
    with pytest.raises(FileMoved):
        open_content(seen, roots)


def test_looking_at_a_file_outside_is_refused(root: Path) -> None:
    with pytest.raises(OutsideRoots):
        inspect_file(str(root.parent / "etc" / "passwd"), Roots([str(root)]))


def test_a_folder_that_may_be_passed_through_but_not_listed_is_no_hindrance(root: Path) -> None:
    (root / "closed").mkdir()
    (root / "closed" / "app.log").write_text(LINE)
    (root / "closed").chmod(0o311)
    assert found(root / "closed" / "app.log", Roots([str(root)])) == (LINE.encode(), [])


def test_without_roots_nothing_is_read(root: Path) -> None:
    assert "(none)" in Roots([]).refusal(str(root / "app.log"))
    assert found(root / "app.log", Roots([]))[0] == b""


# --- errors for users -------------------------------------------------------------------------------------------------


def test_a_source_that_was_stored_before_fails_with_what_to_do(root: Path, service: Service) -> None:
    run = ledger.open_run(source_of(service, root.parent / "etc" / "passwd"), trigger="shell")
    assert run
    with pytest.raises(inline.StageFailed, match="outside the folders that log sources may read from"):
        inline.run_remaining_stages(run.pk)
    assert ETLRun.objects.get(pk=run.pk).status == ETLRun.Status.FAILED
    assert not StagedPage.objects.exists()


def test_a_link_of_a_stored_source_becomes_a_dead_letter_and_nothing_of_it_is_staged(root: Path, service: Service) -> None:
    (root / "b.log").symlink_to(root.parent / "etc" / "passwd")
    run = ledger.open_run(source_of(service, root / "*.log"), trigger="shell")
    assert run
    inline.run_remaining_stages(run.pk)
    assert [SECRET in page.content.decode() for page in StagedPage.objects.all()] == [False]
    assert "LOG_ROOTS" in run.dead_letters.get().error


def test_testing_the_connection_tells_of_it(root: Path, service: Service) -> None:
    outside = adapter_of(Source(kind="logs")).check(source_of(service, "/etc/passwd"))
    assert (outside.can_be_read, "LOG_ROOTS" in outside.sentences[0]) == (False, True)
    (root / "b.log").symlink_to(root.parent / "etc" / "passwd")
    linked = adapter_of(Source(kind="logs")).check(Source(kind="logs", path=str(root / "*.log")))
    assert "LOG_ROOTS" in linked.sentences[1]


def test_the_form_refuses_it(root: Path, service: Service, admin_client: Client) -> None:
    form: dict[str, Any] = {"name": "app", "service": service.pk, "kind": "logs", "log_format": "json", "log_time_zone": "UTC", "log_fields": "{}"}
    page = admin_client.post(reverse("admin:etl_tasks_source_add"), {**form, "path": "/etc/passwd"})
    assert "outside the folders that log sources may read from" in page.content.decode()
    assert not Source.objects.exists()
    admin_client.post(reverse("admin:etl_tasks_source_add"), {**form, "path": str(root / "*.log")})
    assert Source.objects.get().path == str(root / "*.log")


@pytest.mark.parametrize("words", [["--format", "json"], ["--format", "auto"]])
def test_the_command_refuses_it(root: Path, service: Service, words: list[str]) -> None:
    with pytest.raises(CommandError, match="LOG_ROOTS"):
        call_command("add_log_source", "app", "--service", "billing", "--path", str(root.parent / "etc" / "passwd"), *words)
    assert not Source.objects.exists()


@pytest.mark.parametrize("words", [[], ["--format", "json"]])
def test_the_preview_refuses_it(root: Path, service: Service, words: list[str]) -> None:
    shown = io.StringIO()
    with pytest.raises(CommandError, match="LOG_ROOTS"):
        call_command("etl_preview_log", str(root.parent / "etc" / "passwd"), *words, stdout=shown)
    assert SECRET not in shown.getvalue()


def test_the_preview_does_not_follow_a_link_outside(root: Path, service: Service) -> None:
    (root / "b.log").symlink_to(root.parent / "etc" / "passwd")
    shown = io.StringIO()
    call_command("etl_preview_log", str(root / "*.log"), "--format", "json", stdout=shown)
    assert SECRET not in shown.getvalue()
    assert "LOG_ROOTS" in shown.getvalue()
