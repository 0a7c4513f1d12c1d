"""The wall time of a night is compared with the time that its tasks ran, for each of the two processes."""

import pytest

from benchmarks.load import wall_over_work

BEGAN, NIGHT_S = 1000.0, 60.0


def test_two_processes_that_always_have_a_task_are_at_one() -> None:
    tasks = [(BEGAN + 30, 30.0), (BEGAN + 30, 30.0), (BEGAN + 60, 30.0), (BEGAN + 60, 30.0)]
    assert wall_over_work(tasks, BEGAN, night_s=NIGHT_S, cpu_s=50, sources=200).found == pytest.approx(1)


def test_a_process_without_a_task_and_tasks_of_other_nights_count_as_no_work() -> None:
    tasks = [(BEGAN - 1, 500.0), (BEGAN + 60, 50.0), (BEGAN + 60, 30.0), (BEGAN + 61, 500.0)]
    result = wall_over_work(tasks, BEGAN, night_s=NIGHT_S, cpu_s=50, sources=200)
    assert result.found == pytest.approx(1.5)
    assert result.verdict == "**no**"
    assert result.work.startswith("200 sources, 20 active")
