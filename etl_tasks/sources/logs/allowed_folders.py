"""The folders that log sources may read from (LOG_ROOTS).

Without this limit, a user who may add a source could read every file that the worker can read.
"""

import errno
import glob
import os
from collections.abc import Iterable

from django.conf import settings
from django.utils.translation import gettext as _

# With O_PATH (only on Linux), a folder can be opened even if the worker may enter it but not list it. Folders of logs are often like that.
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
# O_NONBLOCK, because a pipe may have replaced the file, and opening a pipe would block.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class OutsideRoots(OSError):
    """A link leads outside the allowed folders."""


class Swapped(OSError):
    """After the links of a path were resolved, a part of the path was replaced by a link."""


class Roots:
    """The allowed folders. A path is inside if, with all links resolved, it is one of these folders or below one of them."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = tuple(folders)
        self._real = tuple(os.path.realpath(folder) for folder in self._folders)

    def hold(self, path: str) -> bool:
        return self._root_of(os.path.realpath(path)) is not None

    def refusal(self, pattern: str) -> str:
        """Return why a source may not have this pattern, or "" if it may.

        `open` checks each file again, because a file may be created, or be replaced by a link, later.
        """
        if not pattern.startswith("/"):
            return _("%(path)r is not an absolute path: begin it with /, because a worker runs in another folder") % {"path": pattern}
        fixed = self._fixed_part(pattern)
        if self.hold(fixed):
            return ""
        if os.path.realpath(fixed) == os.path.normpath(fixed):
            sentence = _(
                "%(path)s is outside the folders that log sources may read from (%(folders)s): "
                "name files below one of them, or add the folder to the setting LOG_ROOTS"
            )
        else:
            sentence = _(
                "%(path)s leads to %(real)s, which is outside the folders that log sources may read from (%(folders)s): "
                "name files below one of them, or add the folder to the setting LOG_ROOTS"
            )
        return sentence % {"path": pattern, "real": os.path.realpath(fixed), "folders": ", ".join(self._folders) or _("none")}

    def open(self, real: str) -> int:
        """Open the file at `real`, a path without links, and return its descriptor. Raises OutsideRoots, Swapped or another OSError.

        The folders on the path are opened one after the other, and no link is followed. If a link was put there after the path was checked,
        Swapped is raised.
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
        """Return the part of the pattern before the first name that has a wildcard."""
        fixed: list[str] = []
        for part in pattern.split("/"):
            if glob.has_magic(part):
                break
            fixed.append(part)
        return "/".join(fixed) or "/"


ANYWHERE = Roots(["/"])


def log_roots() -> Roots:
    return Roots(settings.LOG_ROOTS)
