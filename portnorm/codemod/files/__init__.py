"""Which files there are, what is in them, and how they are written.

`discover` names the files, `run` hands those that matter to a function, on all cores if there are
many, and a `SourceFile` knows how to write another text back into its own bytes.
"""

from portnorm.codemod.files.pool import Outcome, run
from portnorm.codemod.files.source import (
    Content,
    Place,
    SourceFile,
    UnreadableError,
    read,
    replace_file,
    write,
)
from portnorm.codemod.files.walk import Exclude, discover

__all__ = [
    "Content",
    "Exclude",
    "Outcome",
    "Place",
    "SourceFile",
    "UnreadableError",
    "discover",
    "read",
    "replace_file",
    "run",
    "write",
]
