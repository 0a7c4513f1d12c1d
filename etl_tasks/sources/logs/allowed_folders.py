"""Which folders log sources may read from. Whoever may add a source must not be able to read every file that a worker can."""

import errno
import glob
import os
from collections.abc import Iterable

from django.conf import settings

# Linux opens a folder that may be passed through but not listed, as logs' folders often are, for its path alone.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# A pipe that has taken the name must not keep us waiting.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class OutsideRoots(OSError):
    """A link leads out of the folders."""


class Swapped(OSError):
    """A link has taken a place of the path since its links were resolved."""


class Roots:
    """Some folders, with all that is below them once links are resolved."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = tuple(folders)
        self._real = tuple(os.path.realpath(folder) for folder in self._folders)

    def hold(self, path: str) -> bool:
        return self._root_of(os.path.realpath(path)) is not None

    def refusal(self, pattern: str) -> str:
        """Why a source may not have this pattern; empty if it may. Its files may be missing yet, and be links that lead elsewhere later."""
        if not pattern.startswith("/"):
            return f"{pattern!r} is not a whole path: write it from / on, for a worker runs in another folder"
        fixed = self._fixed_part(pattern)
        if self.hold(fixed):
            return ""
        leads = "" if os.path.realpath(fixed) == os.path.normpath(fixed) else f" leads to {os.path.realpath(fixed)}, which"
        return (
            f"{pattern}{leads} is outside the folders that log sources may read from ({', '.join(self._folders) or 'none'}): "
            "name files below one of them, or add the folder to the setting LOG_ROOTS"
        )

    def open(self, real: str) -> int:
        """A descriptor of a file whose path has no links. Raises OSError: OutsideRoots, Swapped, or what the system says.

        It goes from the root down, folder by folder, and follows no link: so nobody can exchange one between the check and the opening.
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
        """The pattern up to its first wildcard."""
        fixed: list[str] = []
        for part in pattern.split("/"):
            if glob.has_magic(part):
                break
            fixed.append(part)
        return "/".join(fixed) or "/"


ANYWHERE = Roots(["/"])


def log_roots() -> Roots:
    return Roots(settings.LOG_ROOTS)
