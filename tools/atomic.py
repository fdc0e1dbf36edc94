"""Write a file whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace the file, and keep its mode."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        file.write(text)
    if path.exists():
        shutil.copymode(path, file.name)
    else:
        os.chmod(file.name, 0o644)
    os.replace(file.name, path)
