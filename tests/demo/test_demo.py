"""The demo clears what the last one left."""

from demo.__main__ import clear


def test_it_clears_what_the_last_demo_left_in_folders_of_folders(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "processes.pid").write_text("[]")
    (tmp_path / "billing.log").write_text("{}\n")

    clear(tmp_path)

    assert [path.name for path in tmp_path.rglob("*")] == ["processes.pid"]
