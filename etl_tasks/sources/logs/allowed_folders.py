"""Which folders log sources may read from (LOG_ROOTS). Without this limit, a user who may add a source could read any file of the worker."""

import errno
import glob
import os
from collections.abc import Iterable

from django.conf import settings

# On Linux, O_PATH opens a folder that may be traversed but not listed, as folders of logs often are.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe that has replaced the file must not block.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class OutsideRoots(OSError):
    """A link leads outside the allowed folders."""


class Swapped(OSError):
    """A part of the path was replaced by a link after its links were resolved."""


class Roots:
    """Folders, with everything below them after links are resolved."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = tuple(folders)
        self._real = tuple(os.path.realpath(folder) for folder in self._folders)

    def hold(self, path: str) -> bool:
        return self._root_of(os.path.realpath(path)) is not None

    def refusal(self, pattern: str) -> str:
        """Return why a source may not have this pattern; empty if it may. Files may be missing now, or become links later: `open` checks again."""
        if not pattern.startswith("/"):
            return f"{pattern!r} is not an absolute path: begin it with /, because a worker runs in another folder"
        fixed = self._fixed_part(pattern)
        if self.hold(fixed):
            return ""
        leads = "" if os.path.realpath(fixed) == os.path.normpath(fixed) else f" leads to {os.path.realpath(fixed)}, which"
        return (
            f"{pattern}{leads} is outside the folders that log sources may read from ({', '.join(self._folders) or 'none'}): "
            "name files below one of them, or add the folder to the setting LOG_ROOTS"
        )

    def open(self, real: str) -> int:
        """Open a file by a path without links, and return its descriptor. Raises OSError: OutsideRoots, Swapped, or the system's own.

        It opens one folder after the other and follows no link. So a link put there between the check and the opening has no effect.
        """
        root = self._root_of(real)
        if root is None:
            raise OutsideRoots
        *folders, name = os.path.relpath(real, root).split("/")
        folder = os.open(root, _FOLDER)
        try:
            for part in folders:
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            return os.open(name, _FILE, dir_fd=folder)
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.ENOTDIR):
                raise Swapped(exc.errno, exc.strerror) from exc
            raise
        finally:
            os.close(folder)

    def _root_of(self, real: str) -> str | None:
        return next((root for root in self._real if os.path.commonpath((root, real)) == root), None)

    @staticmethod
    def _fixed_part(pattern: str) -> str:
        """Return the pattern up to its first wildcard."""
        fixed: list[str] = []
        for part in pattern.split("/"):
            if glob.has_magic(part):
                break
            fixed.append(part)
        return "/".join(fixed) or "/"


ANYWHERE = Roots(["/"])


def log_roots() -> Roots:
    return Roots(settings.LOG_ROOTS)
