"""Write a file whole or not at all. Standard library only."""

from __future__ import annotations

import contextlib
import os


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, which is never seen half written; links keep pointing to it.

    Raises:
        OSError: the file cannot be written; an old one is as it was then.
    """
    target = os.path.realpath(path)
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
