"""Tell one version of the program that computes stored rows from another."""

import hashlib
from functools import cache
from pathlib import Path

from dora_metrics import calculators, derivation, patterns


@cache
def program_digest() -> str:
    """Return a digest of the source files that turn facts into rows.

    What another version has computed must not be taken for what this one would compute.
    """
    packages = [Path(package.__path__[0]) for package in (calculators, derivation)]
    files = sorted([*(path for package in packages for path in package.rglob("*.py")), Path(patterns.__file__)])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:32]
