"""Every line arrives once, whatever is rotated and whoever is killed; what only a truncation can take is measured.

ROTATION_TORTURE_S plays rounds that long, ROTATION_TORTURE_SEED says with which seed they begin.
"""

import json
import os
import random
import subprocess
import sys

import pytest

SECONDS = float(os.environ.get("ROTATION_TORTURE_S", "5"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 120)
def test_every_line_arrives_once():
    seed = os.environ.get("ROTATION_TORTURE_SEED", str(random.randrange(1 << 30)))
    # A process of its own: it forks, which the threads of a test runner would not survive.
    command = [sys.executable, "-m", "tests.etl_tasks.sources.logs.following.rotation_torture", "--seed", seed, "--seconds", str(SECONDS)]

    played = subprocess.run(command, capture_output=True, text=True, check=False)

    assert played.returncode == 0, f"ROTATION_TORTURE_SEED={seed}\n{played.stderr}"
    counts = json.loads(played.stdout)
    print(counts)
    assert counts["kills"] > 0
    assert counts["rename"] + counts["copytruncate"] + counts["compress"] > 0
