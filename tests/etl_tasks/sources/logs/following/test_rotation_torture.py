"""Every line arrives once while files are rotated and readers are killed. Events that a truncation deletes are only counted.

ROTATION_TORTURE_S sets how many seconds rounds are run, ROTATION_TORTURE_SEED the first seed.
"""

import json
import os
import random
import subprocess
import sys

import pytest

SECONDS = float(os.environ.get("ROTATION_TORTURE_S", "5"))


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.timeout(SECONDS + 120)
def test_every_line_arrives_once():
    seed = os.environ.get("ROTATION_TORTURE_SEED", str(random.randrange(1 << 30)))
    # Run it in a separate process: it forks, which is unsafe in a test runner with threads.
    command = [sys.executable, "-m", "tests.etl_tasks.sources.logs.following.rotation_torture", "--seed", seed, "--seconds", str(SECONDS)]

    played = subprocess.run(command, capture_output=True, text=True, check=False)

    assert played.returncode == 0, f"ROTATION_TORTURE_SEED={seed}\n{played.stderr}"
    counts = json.loads(played.stdout)
    print(counts)
    assert counts["kills"] > 0
    assert counts["rename"] + counts["copytruncate"] + counts["compress"] > 0
