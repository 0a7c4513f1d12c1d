"""The rival's side of the benchmark of a night: dlt, in an environment of its own, loads the same lists into a database of the same server."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.installation import new_database
from benchmarks.night_github import GitHub
from benchmarks.night_product import ROOT, Spent, run_measured

PINNED = ROOT / "requirements" / "dlt.txt"
DATABASE = "night_rival"


def install() -> Path:
    """Return the Python of the rival's environment. The first call makes it, with compiled bytecode."""
    folder = ROOT / "var" / "rivals" / f"dlt-{hashlib.sha256(PINNED.read_bytes()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        print(f"bench: installing dlt into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--compile"]
        subprocess.run([python, "-m", "pip", "install", *options, "-r", PINNED], check=True, env=compiling())
        (folder / ".complete").touch()
    return python


def compiling() -> dict[str, str]:
    """Return this process's environment, without the variable that keeps Python from writing bytecode."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def load(github: GitHub, repositories: Sequence[str], folder: Path, *, facts: bool = False, parallel: bool = False) -> Spent:
    """Load the lists into an empty database. `facts`: also what belongs to each record. `parallel`: read in dlt's threads."""
    state = folder / "dlt"
    shutil.rmtree(state, ignore_errors=True)
    server = urlsplit(os.environ["DATABASE_URL"])
    new_database(server, DATABASE)
    command = [str(install()), "benchmarks/rival_dlt.py", "--github", github.url, "--folder", str(state), "--dataset", DATABASE]
    command += ["--database", server._replace(scheme="mysql+mysqldb", path=f"/{DATABASE}").geturl()]
    command += [word for name in repositories for word in ("--repository", name)]
    command += ["--facts"] * facts + ["--parallel"] * parallel
    env = {**os.environ, "RUNTIME__DLTHUB_TELEMETRY": "false"}
    return run_measured(github, command, env, folder / "dlt.log")
