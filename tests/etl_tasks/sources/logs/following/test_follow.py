"""Follow files while they are written, rotated, truncated and compressed."""

import gzip
import os
import shutil
from pathlib import Path

import pytest

from etl_tasks.sources.logs.following.follow import Unreadable, are_read, chunks, from_the_beginning
from tests.etl_tasks.sources.logs.following.follower import Follower, append, settle


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def follower(log: Path) -> Follower:
    return Follower(log.parent / "app.log*")


def test_it_reads_what_was_added_since(log, follower):
    append(log, "one\ntwo\n")
    first, nothing = follower.new_lines(), follower.new_lines()
    append(log, "three\n")

    assert (first, nothing, follower.new_lines()) == (["one", "two"], [], ["three"])


def test_files_are_read_until_one_grows_is_added_or_takes_the_inode_of_another(log, follower):
    pattern = f"{log.parent}/*"
    assert not are_read(pattern, follower.positions)  # there is no file
    append(log, "one\ntwo\n")
    assert not are_read(pattern, follower.positions)
    follower.new_lines()
    assert are_read(pattern, follower.positions)

    append(log, "three\n")
    assert not are_read(pattern, follower.positions)
    follower.new_lines()
    assert are_read(pattern, follower.positions)
    log.write_text("other\n")
    assert not are_read(pattern, follower.positions)
    follower.new_lines()
    append(log.with_name("another.log"), "four\n")
    assert are_read(str(log), follower.positions)
    assert not are_read(pattern, follower.positions)


def test_a_line_without_its_end_waits(log, follower):
    append(log, "one\ntw")
    first = follower.new_lines()
    append(log, "o\n")

    assert (first, follower.new_lines()) == (["one"], ["two"])


def test_reading_again_from_the_same_position_gives_the_same_chunks(log):
    append(log, "one\ntwo\n")

    assert list(chunks(str(log), {})) == list(chunks(str(log), {}))


def test_it_follows_a_file_that_was_renamed(log, follower):
    append(log, "one\n")
    first = follower.new_lines()
    append(log, "two\n")
    log.rename(log.with_name("app.log.1"))
    append(log, "three\n")

    assert first == ["one"]
    assert follower.new_lines() == ["two", "three"]
    assert follower.new_lines() == []
    assert len(set(follower.ids)) == 3


@pytest.mark.parametrize("after", ["a\n", "another, longer than what was there before\n"])
def test_a_truncated_file_begins_a_new_generation(log, follower, after):
    append(log, "one\ntwo\n")
    follower.new_lines()
    log.write_text(after)

    assert follower.new_lines() == [after.strip()]
    assert follower.new_lines() == []
    assert {position["identity"].rpartition(":")[2] for position in follower.positions.values()} == {"0", "1"}
    assert len(set(follower.ids)) == 3


def test_it_notices_other_content_behind_an_equal_beginning(log, follower):
    banner = "=" * 300 + "\n"
    append(log, banner + "one\n")
    follower.new_lines()
    log.write_text(banner + "other\nlines\n")

    assert follower.new_lines() == [banner.strip(), "other", "lines"]


def test_copy_and_truncate_loses_nothing_and_reads_nothing_twice(log, follower):
    append(log, "one\n")
    follower.new_lines()
    append(log, "two\n")
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    append(log, "three\n")

    assert follower.new_lines() == ["three", "two"]
    assert follower.new_lines() == []


def test_a_compressed_rotation_goes_on_where_the_file_was(log, follower):
    append(log, "one\n" * 200)
    follower.new_lines()
    append(log, "two\nlast")
    rotated = log.with_name("app.log.1.gz")
    rotated.write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    append(log, "three\n")

    assert sorted(follower.new_lines()) == ["last", "three", "two"]
    assert follower.new_lines() == []


def test_an_inode_used_again_is_another_file(log, follower):
    append(log, "one\n")
    follower.new_lines()
    # The device and inode stay the same, as when the inode of a deleted file is reused for a new one.
    with log.open("r+") as file:
        file.truncate(0)
        file.write("fresh\n")

    assert follower.new_lines() == ["fresh"]


def test_a_broken_file_keeps_no_other_from_being_read(log, follower):
    append(log, "one\n")
    broken = log.with_name("app.log.0.gz")
    broken.write_bytes(gzip.compress(b"whole\n" + os.urandom(5000).replace(b"\n", b""))[:2000])
    settle(broken, seconds=7200)
    log.with_name("app.log.link").symlink_to("nowhere")
    log.with_name("app.log.loop").symlink_to("app.log.loop")
    os.mkfifo(log.with_name("app.log.pipe"))

    assert follower.new_lines() == ["one", "whole"]
    assert {Path(item.path).name: item.reason for item in follower.unreadable} == {
        "app.log.0.gz": "Its compressed content is broken or not yet complete.",
        "app.log.link": "It is gone, or a link to nothing.",
        "app.log.loop": "It cannot be read: Too many levels of symbolic links.",
        "app.log.pipe": "It is not a regular file.",
    }


@pytest.fixture
def nobody(tmp_path):
    """Run the test as an unprivileged user if it was started by root, because root may read every file."""
    if os.geteuid():
        yield
        return
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_a_file_that_may_not_be_read_says_so(log, follower, request):
    append(log, "one\n")
    log.chmod(0)
    request.getfixturevalue("nobody")

    assert follower.new_lines() == []
    assert follower.unreadable == [Unreadable(path=str(log), reason="The worker may not read it.")]


def test_one_file_under_two_names_is_read_once(log, follower):
    append(log, "one\n")
    os.link(log, log.with_name("app.log.hard"))
    log.with_name("app.log.soft").symlink_to(log)

    assert follower.new_lines() == ["one"]


def test_a_pattern_without_files_is_an_error(tmp_path):
    (tmp_path / "folder.log").mkdir()

    with pytest.raises(FileNotFoundError, match="No file matches"):
        list(chunks(str(tmp_path / "*.log"), {}))


def test_files_come_in_the_order_of_their_paths_also_from_folders(tmp_path):
    for name in ("b/x.log", "a/y.log", "c.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name}\n")

    assert Follower(tmp_path / "**" / "*.log").new_lines() == ["a/y.log", "b/x.log", "c.log"]


def test_an_empty_file_is_no_chunk(log, follower):
    log.touch()

    assert follower.new_lines() == []
    assert follower.positions == {}


def test_a_file_that_moved_to_another_inode_goes_on(log, follower):
    append(log, "one\n")
    follower.new_lines()
    shutil.copy(log, log.with_name("copy"))
    log.unlink()
    log.with_name("copy").rename(log)
    append(log, "two\n")

    assert follower.new_lines() == ["two"]


def test_a_line_of_the_file_has_one_id_however_often_it_is_read(log, follower):
    append(log, "same\nsame\n")
    follower.new_lines()
    again = Follower(log)
    again.new_lines()

    assert len(set(follower.ids)) == 2
    assert again.ids == follower.ids


def test_files_read_again_from_the_beginning_keep_the_ids_of_their_lines(log, follower):
    append(log, "one\n")
    follower.new_lines()
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    append(log, "two\n")
    follower.new_lines()
    ids = set(follower.ids)
    follower.positions = from_the_beginning(follower.positions)

    assert follower.new_lines() == ["two", "one"]
    assert set(follower.ids) == ids


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["app.log", "app.log.1.gz"])
def test_a_file_in_utf_16_is_not_read_and_says_so(log, follower, encoding, name):
    body = "2026-11-26 10:00:00,123 ERROR shop.cart: failed\n".encode(encoding)
    (log.parent / name).write_bytes(gzip.compress(body) if name.endswith("gz") else body)

    assert follower.new_lines() == []
    assert [one.reason for one in follower.unreadable] == ["It is UTF-16 or UTF-32, which is not read: have it written in UTF-8."]


def test_a_hole_of_zeros_is_no_utf_16(log, follower):
    log.write_bytes(b"\0" * 300 + b"one\n")

    assert [line.strip("\0") for line in follower.new_lines()] == ["one"]
    assert follower.unreadable == []
