"""Marks: hashes at certain offsets of a file, which are stored with its position and tell it from other files."""

from itertools import pairwise

from etl_tasks.sources.logs.following.fingerprints import mark_count, mark_offsets


def test_marks_are_dense_where_banners_are_and_few_in_all():
    offsets = mark_offsets(mark_count(1 << 40))

    assert offsets[:3] + offsets[62:66] == [64, 128, 192, 4032, 4096, 4608, 5120]
    assert all(later - earlier <= max(64, earlier // 8) for earlier, later in pairwise(offsets))
    assert len(offsets) < 300


def test_the_number_of_marks_up_to_an_offset_is_how_many_lie_there():
    offsets = mark_offsets(400)

    for end in [0, 1, 63, 64, 65, 4095, 4096, 4607, 4608, 8191, 8192, 9215, 9216, 12_345_678, 1 << 33]:
        assert mark_count(end) == sum(1 for offset in offsets if offset <= end)
