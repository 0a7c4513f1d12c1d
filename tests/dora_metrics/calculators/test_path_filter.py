"""docs/metrics.md, "Path filter"."""

import pytest

from dora_metrics.calculators.path_filter import path_filter


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("billing/*", "billing/app.py", True),
        ("billing/*", "billing/app/views.py", False),
        ("billing/**", "billing/app/views.py", True),
        ("billing/**", "mybilling/app.py", False),
        ("**/*.sql", "schema.sql", True),
        ("**/*.sql", "a/b/schema.sql", True),
        ("*.sql", "a/schema.sql", False),
        ("billing/app.py", "billing/appXpy", False),
        ("servi?e/**", "service/ñandú.py", True),
        ("", "anything", True),
    ],
)
def test_it_tells_the_files_of_a_service(glob, path, matches):
    assert path_filter(glob)([path]) is matches


def test_one_matching_file_is_enough_and_none_is_no_match():
    is_ours = path_filter("billing/**")

    assert is_ours(["web/index.html", "billing/app.py"])
    assert not is_ours([])
