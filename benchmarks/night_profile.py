"""Say where the CPU time of a profile goes, by stage: the profile of `scripts/bench night --row stages --profile FILE`, in py-spy's raw format."""

import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

OWN = ("etl_tasks/", "dora_metrics/", "log_store/", "callcentersite/")
STAGES = {f"{stage} (etl_tasks/stages.py)": stage for stage in ("extract", "transform", "load")}
METRICS = ("updating_metrics (etl_tasks/loaders/metrics.py)",)
THREADS = "etl_tasks/sources/github/readers/threads.py"
SHOWN, SMALLEST_SHARE = 12, 0.04


def recorder(file: Path) -> list[str]:
    """Return the words before a command that let py-spy record it. Only samples of threads that hold the interpreter's lock count: CPU time."""
    found = shutil.which("py-spy") or sys.exit("bench night: --profile needs py-spy on the PATH: pip install py-spy")
    return [found, "record", "--gil", "--nonblocking", "--rate", "500", "--format", "raw", "--output", str(file), "--"]


def lines(file: Path) -> Iterator[str]:
    """Yield, for each stage, its share of all samples and the own functions in which most of them were, with what they called."""
    samples: Counter[str] = Counter()
    within: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in file.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        part = part_of(frames)
        samples[part] += int(count)
        for frame in {frame for frame in frames if any(own in frame for own in OWN)}:
            within[part][frame] += int(count)
    whole = samples.total()
    for part, count in samples.most_common():
        yield f"{part}: {count / whole:.0%} of the samples"
        for frame, its_count in within[part].most_common(SHOWN):
            if its_count >= SMALLEST_SHARE * count:
                yield f"  {its_count / count:>4.0%}  {frame}"


def part_of(frames: list[str]) -> str:
    if any(frame.startswith(METRICS) for frame in frames) and any("recompute" in frame for frame in frames):
        return "metrics"
    return next((STAGES[frame] for frame in frames if frame in STAGES), "extract" if any(THREADS in frame for frame in frames) else "start")
