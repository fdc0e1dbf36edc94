"""A change of a file as a unified diff that `git apply` and `patch -p1` take."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator


def unified_diff(path: str, old: bytes, new: bytes) -> bytes:
    r"""Return the difference of two contents of a file.

    Lines end at the line feed alone, as they do for git: no other sign in the file cuts one.

    >>> print(unified_diff("./a.py", b"a\nb", b"a\nc").decode(), end="")
    --- a/a.py
    +++ b/a.py
    @@ -1,2 +1,2 @@
     a
    -b
    \ No newline at end of file
    +c
    \ No newline at end of file
    """
    name = _from_here(path)
    before, after = _quoted(f"a/{name}"), _quoted(f"b/{name}")
    lines = difflib.diff_bytes(difflib.unified_diff, [*_lines(old)], [*_lines(new)], before, after)
    ended = (
        line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"
        for line in lines
    )
    return b"".join(ended)


def _lines(content: bytes) -> Iterator[bytes]:
    pieces = content.split(b"\n")
    yield from (piece + b"\n" for piece in pieces[:-1])
    if pieces[-1]:
        yield pieces[-1]


def _from_here(path: str) -> str:
    """Return a path relative to this folder; above it, to the top of the repository.

    Neither program takes paths that are absolute, or begin with dots.
    """
    here = os.getcwd()
    relative = os.path.relpath(path, here)
    while relative.startswith(os.pardir + os.sep) and not os.path.exists(f"{here}/.git"):
        here = os.path.dirname(here)
        relative = os.path.relpath(path, here)
    return relative.replace(os.sep, "/")


def _quoted(name: str) -> bytes:
    """Return a name as `git` and `patch` read it: in quotes where it would end or steer a line."""
    raw = os.fsencode(name)
    if name.isprintable() and b'"' not in raw and b"\\" not in raw:
        return raw
    shown = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in raw)
    return f'"{"".join(shown)}"'.encode()
