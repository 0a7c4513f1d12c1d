"""Compressed logs are recognised by their first bytes, read as far as they are complete, and decompressed in limited memory."""

import bz2
import gzip
import logging
import lzma
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import zstandard

from etl_tasks.sources.logs.following.content import BOMB, UNFINISHED, inspect_file, open_content
from etl_tasks.sources.logs.following.follow import DEMANDING, Chunk, Unreadable, chunks
from tests.etl_tasks.sources.logs.following.follower import Follower, append, settle
from tests.etl_tasks.sources.logs.following.test_page_cutting import MEASURE

PACKERS = {"gz": gzip.compress, "xz": lzma.compress, "zst": zstandard.compress}
every_kind = pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return tmp_path / "no-ending"


def random_lines(count: int) -> bytes:
    return b"".join(b"%s\n" % os.urandom(40).hex().encode() for _ in range(count))


@every_kind
def test_it_is_read_whatever_its_name_and_needs_no_last_newline(packed, pack):
    packed.write_bytes(pack(b"one\ntwo"))

    assert Follower(packed).new_lines() == ["one", "two"]


@every_kind
def test_several_parts_in_one_file_are_one_content(packed, pack):
    packed.write_bytes(pack(b"one\ntw") + pack(b"") + pack(b"o\nthree\n"))
    follower = Follower(packed)

    assert (follower.new_lines(), follower.unreadable) == (["one", "two", "three"], [])


def test_a_zst_may_have_skippable_frames_checksums_and_no_size(packed):
    compressor = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False).compressobj()
    skippable = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"extra"
    packed.write_bytes(
        zstandard.compress(b"one\n") + skippable + compressor.compress(b"two\n") + compressor.flush() + zstandard.compress(b"\0" * 500_000)
    )
    follower = Follower(packed)

    assert (follower.new_lines()[:2], follower.unreadable) == (["one", "two"], [])


@every_kind
def test_one_that_is_still_being_written_is_read_as_far_as_it_is_whole_and_then_goes_on(packed, pack, caplog):
    content = random_lines(8_000)
    whole = pack(content)
    follower = Follower(packed)
    packed.write_bytes(whole[: len(whole) * 2 // 3])
    with caplog.at_level(logging.WARNING):
        first = follower.new_lines()
    packed.write_bytes(whole)

    assert 0 < len(first) < 8_000
    assert first + follower.new_lines() == content.decode().split("\n")[:-1]
    assert follower.unreadable == []
    assert [record.message for record in caplog.records] == ["log_file_unfinished"]


def test_a_zst_that_is_being_written_holds_back_no_block(packed):
    """All complete blocks can be read. Without the last one, the unfinished copy of a log would not match the log up to the same offset."""
    content = random_lines(8_000)
    with packed.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as writer:
        for start in range(0, len(content), 50_000):
            writer.write(content[start : start + 50_000])
            writer.flush()
            file.flush()
            with open_content(inspect_file(str(packed))) as unpacked:
                there = content[: start + 50_000]
                assert unpacked.length() == len(there)
                assert [unpacked.seek(len(there) - 7), unpacked.seek(len(there))] == [there[-263:-7], there[-256:]]


@every_kind
def test_small_steps_reach_as_far_as_large_ones_wherever_it_breaks_off(packed, pack):
    content = random_lines(3_000)
    whole = pack(content)
    for size in range(50, len(whole), len(whole) // 50):
        packed.write_bytes(whole[:size])
        with open_content(inspect_file(str(packed))) as unpacked:
            length = unpacked.length()

            assert [unpacked.seek(end) for end in range(0, length, 999)] == [content[max(0, end - 256) : end] for end in range(0, length, 999)]
            assert unpacked.seek(length) == content[max(0, length - 256) : length]


def test_a_file_that_was_empty_when_it_was_opened_and_is_compressed_is_not_read_as_lines(packed):
    packed.touch()
    with open_content(inspect_file(str(packed))) as content:
        packed.write_bytes(gzip.compress(random_lines(100)))
        body = content.read(1000)

        assert not content.still_has(0, b"", body)


@every_kind
def test_one_that_nobody_finished_is_unreadable_after_an_hour(packed, pack):
    whole = pack(random_lines(8_000))
    packed.write_bytes(whole[: len(whole) * 2 // 3])
    settle(packed, seconds=3700)
    follower = Follower(packed)

    assert follower.new_lines()
    assert follower.unreadable == [Unreadable(path=str(packed), reason=UNFINISHED)]


@every_kind
@pytest.mark.parametrize("place", [0.3, 0.99])
def test_a_broken_one_keeps_no_other_from_being_read(packed, pack, place):
    broken = bytearray(pack(random_lines(8_000)))
    broken[int(len(broken) * place)] ^= 0xFF
    packed.write_bytes(broken)
    settle(packed, seconds=3700)
    append(packed.with_name("z.log"), "other\n")
    follower = Follower(packed.parent / "*")

    assert "other" in follower.new_lines()
    # zstandard detects the flipped bits only in frames with a checksum, and zstandard.compress writes none.
    assert [item.reason for item in follower.unreadable] in ([UNFINISHED], [] if pack is zstandard.compress else [UNFINISHED])


@every_kind
def test_an_empty_one_and_the_beginning_of_one_say_nothing(packed, pack):
    packed.write_bytes(pack(b""))
    packed.with_name("begun").write_bytes(pack(b"one\n")[:3])
    follower = Follower(packed.parent / "*")

    assert (follower.new_lines(), follower.unreadable, follower.positions) == ([], [], {})


def bomb(kind: str, path: Path) -> None:
    """Write a compressed file of at most about 0.2 MB that holds 200 MiB of zero bytes."""
    piece = b"\0" * (1 << 20)
    compressor = {
        "gz": lambda: zlib.compressobj(9, wbits=31),
        "xz": lambda: lzma.LZMACompressor(preset=0),
        "zst": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    }[kind]()
    with path.open("wb") as file:
        for _ in range(200):
            file.write(compressor.compress(piece))
        file.write(compressor.flush())


@pytest.mark.parametrize("kind", PACKERS)
def test_a_bomb_is_unreadable_and_takes_no_memory(packed, kind):
    bomb(kind, packed)
    follower = Follower(packed)
    measured = subprocess.run([sys.executable, "-c", MEASURE, str(packed)], check=True, capture_output=True).stdout.split()

    follower.new_lines()

    assert follower.unreadable == [Unreadable(path=str(packed), reason=BOMB)]
    assert int(measured[1]) < 24_000


def with_dictionary(packed: bytes, size: int) -> bytes:
    """Return an xz file whose header asks for a dictionary of 2**size bytes. The header of the first block begins after 12 bytes."""
    length = (packed[12] + 1) * 4
    header = bytearray(packed[12 : 12 + length - 4])
    place = header.index(b"\x21\x01") + 2  # the id of LZMA2, the length of its properties, its dictionary
    header[place] = (size - 12) * 2
    return packed[:12] + bytes(header) + zlib.crc32(header).to_bytes(4, "little") + packed[12 + length :]


def test_an_xz_that_asks_for_gigabytes_of_memory_is_unreadable(packed):
    """Before, it was unpacked: a file of three megabytes may then take a gigabyte and a half."""
    line = random_lines(3)
    packed.write_bytes(with_dictionary(lzma.compress(line), 26))
    assert Follower(packed).new_lines() == line.decode().splitlines()

    packed.write_bytes(with_dictionary(lzma.compress(line), 30))
    follower = Follower(packed)
    assert (follower.new_lines(), follower.unreadable) == ([], [Unreadable(path=str(packed), reason=DEMANDING)])


@pytest.mark.parametrize("rest", [b"\0\0\0\0", b"more"])
def test_what_follows_an_xz_is_no_content(packed, rest):
    packed.write_bytes(lzma.compress(b"one\n") + rest)
    follower = Follower(packed)
    assert (follower.new_lines(), follower.unreadable) == (["one"], [])


def test_a_log_that_shrinks_well_is_no_bomb(packed):
    line = b"2026-11-26 00:00:00 INFO the same again and again, %07d\n"
    packed.write_bytes(gzip.compress(b"".join(line % (number // 10) for number in range(1_300_000)), compresslevel=3))

    found = sum(item.body.count(b"\n") for item in chunks(str(packed), {}) if isinstance(item, Chunk))

    assert found == 1_300_000


def test_what_it_cannot_unpack_are_lines_of_a_plain_file(packed):
    packed.write_bytes(bz2.compress(b"one\n"))

    assert Follower(packed).unreadable == []
