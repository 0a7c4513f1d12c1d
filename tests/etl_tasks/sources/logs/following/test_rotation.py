"""A copy of a file that has been read is skipped, or is read from where the reading of that file stopped."""

import gzip
import lzma
import os
import shutil
from pathlib import Path

import pytest
import zstandard

from etl_tasks.sources.logs.following.content import inspect_file, open_content
from etl_tasks.sources.logs.following.follow import from_the_beginning
from tests.etl_tasks.sources.logs.following.follower import Follower, append

PACKERS = {"gz": gzip.compress, "xz": lzma.compress, "zst": zstandard.compress}
BANNER = "#Software: a server\n#Fields: date time method path status\n" * 10


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def follower(log: Path) -> Follower:
    return Follower(log.parent / "*")


def lines(first: int, last: int) -> str:
    return "".join(f"line {number:06d}\n" for number in range(first, last))


def numbers(first: int, last: int) -> list[str]:
    return lines(first, last).split("\n")[:-1]


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_compressed_copy_of_a_file_that_is_still_there_is_left_alone_and_then_goes_on(log, follower, pack):
    append(log, lines(0, 100))
    follower.new_lines()
    append(log, lines(100, 110) + "no end")
    log.with_name("app.log.1.packed").write_bytes(pack(log.read_bytes()))
    while_both = follower.new_lines()
    append(log, "ed\n" + lines(110, 120))
    log.unlink()
    after = follower.new_lines()

    assert (while_both, after) == (numbers(100, 110), ["no end"])
    assert follower.new_lines() == []


@pytest.mark.parametrize("copied", [1, 40, 300, 1000])
def test_a_copy_in_progress_is_not_read(log, follower, copied):
    append(log, lines(0, 100))
    follower.new_lines()
    log.with_name("app.log.1").write_bytes(log.read_bytes()[:copied])

    assert follower.new_lines() == []


def test_in_the_first_pass_a_copy_is_known_too_also_if_it_sorts_first(log, follower):
    append(log, lines(0, 100))
    shutil.copy(log, log.with_name("a-copy.log"))
    append(log, lines(100, 110))
    log.with_name("a-packed.log").write_bytes(gzip.compress(log.read_bytes()))

    assert sorted(follower.new_lines()) == numbers(0, 110)
    append(log, lines(110, 120))
    assert follower.new_lines() == numbers(110, 120)
    assert follower.new_lines() == []


def test_a_copy_that_missed_the_last_lines_before_the_truncation_is_not_read_again(log, follower):
    append(log, lines(0, 100))
    shutil.copy(log, log.with_name("app.log.1"))
    append(log, lines(100, 103))
    read = follower.new_lines()
    os.truncate(log, 0)
    append(log, lines(103, 110))

    assert read == numbers(0, 103)
    assert follower.new_lines() == numbers(103, 110)
    assert follower.new_lines() == []


def test_a_compressed_copy_that_has_got_the_inode_of_its_original_is_still_its_copy(log, follower):
    """File systems reuse the inode of a deleted file. The shorter copy must not be taken for its original, truncated."""
    append(log, lines(0, 100))
    copied = gzip.compress(log.read_bytes())
    append(log, lines(100, 103))
    follower.new_lines()
    log.write_bytes(copied)
    log.rename(log.with_name("app.log.1.gz"))

    assert follower.new_lines() == []


def test_a_file_truncated_and_grown_beyond_its_offset_is_read_from_its_beginning_and_its_copy_to_its_end(log, follower):
    append(log, BANNER + lines(0, 10))
    follower.new_lines()
    append(log, lines(10, 20))
    shutil.copy(log, log.with_name("app.log.1"))
    os.truncate(log, 0)
    append(log, BANNER + lines(20, 50))

    banner = BANNER.split("\n")[:-1]
    assert follower.new_lines() == banner + numbers(20, 50) + numbers(10, 20)
    assert follower.new_lines() == []


def test_two_logs_with_the_same_long_banner_are_both_read(log, follower):
    other = log.with_name("other.log")
    append(log, BANNER)
    append(other, BANNER)
    found = follower.new_lines()
    append(other, lines(0, 10))
    found += follower.new_lines()
    append(log, lines(50, 60))
    found += follower.new_lines()
    append(other, lines(10, 20))
    found += follower.new_lines()

    assert sorted(found) == sorted(BANNER.split("\n")[:-1] * 2 + numbers(0, 20) + numbers(50, 60))
    assert len(set(follower.ids)) == len(found)


def test_a_log_with_the_banner_of_one_that_is_gone_is_read(log, follower):
    append(log, BANNER + lines(0, 1000))
    follower.new_lines()
    log.unlink()
    append(log.with_name("next.log"), BANNER + lines(1000, 1010))

    assert follower.new_lines() == BANNER.split("\n")[:-1] + numbers(1000, 1010)


def test_a_truncated_log_that_begins_like_before_is_read(log, follower):
    append(log, "started\n" + lines(0, 100))
    follower.new_lines()
    log.write_text("started\n")

    assert follower.new_lines() == ["started"]


def test_a_file_that_went_and_came_back_goes_on(log, follower, tmp_path_factory):
    away = tmp_path_factory.mktemp("away") / "app.log"
    append(log, lines(0, 10))
    follower.new_lines()
    append(log.with_name("other.log"), "other\n")
    shutil.copy(log, away)
    log.unlink()
    meanwhile = follower.new_lines()
    append(away, lines(10, 20))
    shutil.copy(away, log)

    assert (meanwhile, follower.new_lines()) == (["other"], numbers(10, 20))


def test_another_number_of_the_device_changes_nothing(log, follower):
    append(log, lines(0, 10))
    append(log.with_name("app.log.1"), lines(90, 99))
    follower.new_lines()
    append(log, lines(10, 20))
    device, rest = str(log.stat().st_dev), ("identity", "place")
    moved = [{**position, **{key: position[key].replace(f"{device}:", "999:", 1) for key in rest}} for position in follower.positions.values()]
    follower.positions = {f"file:{position['identity']}": position for position in moved}

    assert follower.new_lines() == numbers(10, 20)
    assert follower.new_lines() == []


def test_a_whole_life_of_rotations_reads_every_line_once(log, follower):
    found = []
    for night in range(6):
        append(log, lines(night * 50, night * 50 + 50))
        found += follower.new_lines() if night % 2 else []
        for number in range(night, 0, -1):
            for path in log.parent.glob(f"app.log.{number}*"):
                path.rename(path.with_name(path.name.replace(f".{number}", f".{number + 1}", 1)))
        log.rename(log.with_name("app.log.1"))
        found += follower.new_lines() if night % 3 == 0 else []
        if (former := log.with_name("app.log.2")).exists():
            former.with_name("app.log.2.gz").write_bytes(gzip.compress(former.read_bytes()))
            found += follower.new_lines()
            former.unlink()
        found += follower.new_lines()

    assert sorted(found) == numbers(0, 300)


def test_positions_of_the_version_before_are_understood(log, follower):
    append(log, lines(0, 100))
    follower.new_lines()
    old = {"identity", "fingerprint", "offset", "path", "tail"}
    follower.positions = {stream: {key: value for key, value in position.items() if key in old} for stream, position in follower.positions.items()}
    append(log, lines(100, 110))
    found = follower.new_lines()
    log.with_name("app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()[:500]))

    assert found == numbers(100, 110)
    assert follower.new_lines() == []


def test_what_is_read_again_from_the_beginning_has_its_copies_left_alone(log, follower):
    append(log, lines(0, 100))
    log.with_name("app.log.1.gz").write_bytes(gzip.compress(lines(500, 600).encode()))
    follower.new_lines()
    shutil.copy(log, log.with_name("app.log.2"))
    ids = set(follower.ids)
    follower.positions = from_the_beginning(follower.positions)

    assert sorted(follower.new_lines()) == sorted(numbers(0, 100) + numbers(500, 600))
    assert set(follower.ids) == ids


def test_a_compressed_file_that_was_read_to_its_end_is_not_unpacked_again(log, follower):
    append(log, lines(0, 100))
    follower.new_lines()
    packed = log.with_name("app.log.1.gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    follower.new_lines()
    before = packed.stat()
    packed.write_bytes(b"\x1f\x8b" + b"broken" * 1000)
    os.truncate(packed, before.st_size)
    os.utime(packed, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert follower.new_lines() == []
    assert follower.unreadable == []


def test_no_content_is_kept_in_a_position(log, follower):
    append(log, lines(0, 1000))
    follower.new_lines()

    assert "line" not in str(follower.positions)
    assert len(str(follower.positions)) < 1500


# --- changes while a file is read -------------------------------------------------------------------------------------


def test_a_truncation_during_the_reading_mixes_nothing(log, follower):
    append(log, lines(0, 300_000))

    def truncate() -> None:
        os.truncate(log, 0)
        append(log, lines(500_000, 700_000))

    found = follower.new_lines(meanwhile=truncate)

    assert found == numbers(0, len(found) - 200_000) + numbers(500_000, 700_000)
    assert 0 < len(found) - 200_000 < 100_000


def test_a_truncation_in_the_first_piece_shows(log):
    append(log, lines(0, 10))
    with open_content(inspect_file(str(log))) as content:
        body = content.read(1000)
        was_there = content.still_has(0, b"", body)
        os.truncate(log, 0)
        append(log, lines(10, 20))

        assert (was_there, content.still_has(0, b"", body)) == (True, False)


def test_a_file_renamed_between_listing_and_opening_is_read_in_the_same_run(log, follower):
    append(log.with_name("a.log"), "first\n")
    append(log, lines(0, 10))

    def rotate() -> None:
        log.rename(log.with_name("app.log.1"))
        append(log, lines(10, 20))

    assert follower.new_lines(meanwhile=rotate) == ["first", *numbers(10, 20), *numbers(0, 10)]
    assert follower.unreadable == []


def test_a_copy_does_not_take_over_from_a_file_that_was_renamed_since(log, follower):
    append(log, lines(0, 10))
    follower.new_lines()
    append(log, lines(10, 20))
    shutil.copy(log, log.with_name("z-copy.log"))
    append(log, lines(20, 30))

    assert follower.new_lines(meanwhile=lambda: log.rename(log.with_name("b.log"))) == numbers(10, 30)
    assert follower.new_lines() == []
    assert [position["path"] for position in follower.positions.values()] == [str(log)]


def test_read_again_from_the_beginning_a_short_new_file_is_not_taken_for_a_longer_one_that_is_gone(log, follower):
    append(log, lines(0, 100))
    follower.new_lines()
    log.unlink()
    follower.positions = from_the_beginning(follower.positions)
    append(log.with_name("other.log"), "new\n")
    assert follower.new_lines() == ["new"]
    assert len({identity for identity, _ in follower.ids}) == 2


def test_read_again_from_the_beginning_a_short_copy_of_a_file_that_is_gone_is_read_as_that_file(log, follower):
    append(log, lines(0, 100))
    follower.new_lines()
    log.unlink()
    follower.positions = from_the_beginning(follower.positions)
    append(log.with_name("copy.log"), lines(0, 10))
    assert follower.new_lines() == numbers(0, 10)
    assert len({identity for identity, _ in follower.ids}) == 1
