"""Compile the bytecode of the product and its packages."""

import compileall
import os
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("callcentersite", "dashboard", "dora_metrics", "etl_tasks", "log_store", "github_stand_in", "benchmarks")


def compile_bytecode() -> None:
    """Compile the product and its packages, so that neither side compiles modules when a process starts."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    for folder in (sysconfig.get_path("purelib"), *(ROOT / name for name in PACKAGES)):
        compileall.compile_dir(str(folder), quiet=2, workers=os.cpu_count() or 1)
