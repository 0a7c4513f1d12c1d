"""The pictures of the documentation are those that scripts/screenshots takes."""

from datetime import UTC, datetime

import pytest

from demo.screenshots import ADDRESS, DOCS_FOLDER, IN_DOCS, LARGEST_IN_DOCS, PROJECT, shots

NOW = datetime(2026, 11, 27, 16, 4, tzinfo=UTC)


def test_each_page_is_taken_once_and_the_pictures_of_the_documentation_are_among_them():
    names = [shot.name for shot in shots(NOW)]
    assert len(names) == len(set(names))
    assert set(IN_DOCS) <= set(names)


def test_it_finds_the_address_in_the_output_of_the_demo():
    output = "[53.1 s] ready\n\nOpen this address. It logs you in as demo, once:\n\n  http://127.0.0.1:8001/demo/pNAV-XcdH_4x/\n\nAnother time: …"
    assert ADDRESS.search(output)[1] == "http://127.0.0.1:8001/demo/pNAV-XcdH_4x/"


@pytest.mark.parametrize("name", IN_DOCS)
def test_a_picture_of_the_documentation_is_small_and_is_shown(name):
    assert (DOCS_FOLDER / f"{name}.png").stat().st_size <= LARGEST_IN_DOCS
    pages = [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
    assert any(f"images/{name}.png)" in page.read_text() for page in pages)


def test_no_picture_is_left_that_the_script_does_not_take():
    assert {path.stem for path in DOCS_FOLDER.iterdir()} == set(IN_DOCS)
