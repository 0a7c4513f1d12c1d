"""The processes of a laptop."""

import sys

from django.conf import settings

from callcentersite.local_processes import ALLOCATOR, processes

PRINT = "import os; print(*(os.environ[name] for name in ('MALLOC_ARENA_MAX', 'MALLOC_MMAP_THRESHOLD_')))"


def printed(folder, env):
    with processes({"one": [sys.executable, "-c", PRINT]}, folder=folder, env=env, cwd=folder) as running:
        running["one"].wait()
    return (folder / "one.log").read_text().split()


def test_a_process_returns_the_memory_that_it_has_freed(tmp_path, monkeypatch):
    for name in ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    assert printed(tmp_path, {}) == ["1", "131072"]


def test_another_choice_of_the_environment_counts(tmp_path, monkeypatch):
    monkeypatch.delenv("MALLOC_MMAP_THRESHOLD_", raising=False)
    assert printed(tmp_path, {"MALLOC_ARENA_MAX": "4"}) == ["4", "131072"]


def test_the_image_sets_the_same():
    lines = (settings.BASE_DIR / "Dockerfile").read_text().splitlines()
    assert {f"    {name}={value} \\" for name, value in ALLOCATOR.items()} <= set(lines)
