"""What a check found."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, but somebody should know
    PROBLEM = "problem"  # it does not work until a person acts


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer, in the active language. It never contains a secret.

    `name`: what was checked. `sentence`: how it is. `action`: what to do; empty if it is well.
    """

    name: str
    level: Level
    sentence: str
    action: str = ""


def ok(name: str, sentence: str) -> Finding:
    return Finding(name, Level.OK, sentence)


def warning(name: str, sentence: str, action: str = "") -> Finding:
    return Finding(name, Level.WARNING, sentence, action)


def problem(name: str, sentence: str, action: str = "") -> Finding:
    return Finding(name, Level.PROBLEM, sentence, action)


def worst(findings: Iterable[Finding]) -> Level:
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.PROBLEM, Level.WARNING) if level in levels), Level.OK)
