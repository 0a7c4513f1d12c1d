"""The reader of pages notices a figure that is not the value, and a page that is not well formed."""

import pytest

from tests.dashboard.page_reader import page_of, shows


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("42.9%", 3 / 7, "share"),
        ("0.23 a day", 7 / 31, "per_day"),
        ("1 a day", 0.998, "per_day"),
        ("1.1 d", 94_800, "seconds"),
        ("23 h", 82_000, "seconds"),
        ("1,234", 1234, "count"),
        ("−14.3 points", -1 / 7, "points"),
        ("±0.0 points", 0, "points"),
        ("–", None, "share"),
    ],
)
def test_a_rounded_value_is_shown(text: str, value: float | None, unit: str) -> None:
    assert shows(text, value, unit)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        pytest.param("42.8%", 3 / 7, "share", id="cut off"),
        pytest.param("43%", 3 / 7, "share", id="too few places"),
        pytest.param("0.2 a day", 7 / 31, "per_day", id="too few places of a frequency"),
        pytest.param("1.0 d", 94_800, "seconds", id="a duration that is cut off"),
        pytest.param("1 d", 94_800, "seconds", id="too coarse"),
        pytest.param("82,000", 82_000, "seconds", id="no unit"),
        pytest.param("0.0%", None, "share", id="unknown shown as zero"),
        pytest.param("–", 0, "share", id="zero shown as unknown"),
        pytest.param("+14.3 points", -1 / 7, "points", id="wrong sign"),
        pytest.param("14.3%", -1 / 7, "share", id="no sign"),
        pytest.param("1,234", 1235, "count", id="another number"),
    ],
)
def test_another_value_is_noticed(text: str, value: float | None, unit: str) -> None:
    assert not shows(text, value, unit)


def test_tables_and_lists_are_read_by_their_cells_and_terms() -> None:
    page = page_of("<table><tbody><tr><th>a</th><td>1<br>2</td></tr></tbody></table><dl><dt>Kind</dt><dd>x &amp; y</dd></dl>")
    assert [[cell.text for cell in row] for row in page.one("table").rows] == [["a", "1 2"]]
    assert page.one("dl").terms == {"Kind": "x & y"}


def test_a_page_that_is_not_closed_in_order_is_refused() -> None:
    with pytest.raises(AssertionError, match="where <p> is open"):
        page_of("<div><p>text</div></p>")
