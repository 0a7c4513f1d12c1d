"""The files of a rotated log: app.log, app.log.1, app.log.2.gz and so on."""

from pathlib import Path


def rotated_files(folder: Path) -> list[Path]:
    """Return the rotated files, the newest first."""
    return sorted(folder.glob("app.log.*"), key=lambda path: int(path.name.split(".")[2]))


def shift(folder: Path) -> None:
    """Give each rotated file the next number, so that the first one is free."""
    for path in reversed(rotated_files(folder)):
        _, _, number, *kind = path.name.split(".")
        path.rename(folder / ".".join(["app", "log", str(int(number) + 1), *kind]))
