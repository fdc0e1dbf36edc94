"""Files that are written whole or not at all, and what is no file. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from portnorm.errors import PortnormError


class WrongSuffixError(PortnormError, ValueError):
    """A file is to be written whose name does not say what will be in it."""


def other_than_file(path: str | os.PathLike[str]) -> str:
    """Return what is there instead of a file that can be read to its end; "" where it is one.

    Raises:
        OSError, ValueError: there is nothing, or no such name can be.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return ""
    return "a directory" if stat.S_ISDIR(mode) else "a device or a pipe"


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Refuse a name of something that a file cannot take the place of.

    Raises:
        OSError: there is a directory, a device or a pipe.
    """
    if os.path.exists(path) and (found := other_than_file(path)):
        raise OSError(f"{os.fspath(path)}: expected a file or a new name, found {found}")


def check_target(path: str, suffix: str) -> None:
    """Find out whether a file can be written, before there is anything to write.

    Raises:
        WrongSuffixError: the name does not end in the suffix.
        OSError: there is no such folder, or it takes no files.
    """
    if os.path.splitext(path)[1].lower() != suffix:
        raise WrongSuffixError(f"{path}: expected a name that ends in {suffix}")
    check_replaceable(path)
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise OSError(f"{path}: expected a folder to write to, found no {folder}")
    if not os.access(folder, os.W_OK):
        raise OSError(f"{path}: expected a folder that can be written to")


def write(path: str | os.PathLike[str], data: bytes) -> int:
    """Write a file, which is never seen half written.

    Symbolic links keep pointing to it, and a file that is there already keeps its owner and mode.

    Returns:
        How many other names the old file had: hard links. They keep it, for they may be those of a
        backup, or of a package in the cache of an installer.

    Raises:
        OSError: the file cannot be written; an old one is as it was then.
    """
    target = os.path.realpath(path)
    # A name of its own, so that threads do not meet, nobody's link is followed, and a long name
    # does not get too long.
    temporary = os.path.join(os.path.dirname(target), f".portnorm-{os.urandom(8).hex()}.tmp")
    try:
        if os.path.exists(target) and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        others = _copy_owner_and_mode(target, temporary) if os.path.exists(target) else 0
        os.replace(temporary, target)
        return others
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{os.fspath(path)}: expected a file that can be written: {reason}"
        raise type(error)(message) from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


def _copy_owner_and_mode(source: str, target: str) -> int:
    """Return how many names the source has beside this one."""
    status = os.stat(source)
    with contextlib.suppress(OSError, AttributeError):  # files of other users, and Windows
        os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    return status.st_nlink - 1
