"""Files of random bytes, and files that are cut short or have bits flipped.

`python -m tests.readers.damage 100000` reads as many of each kind, and says what became of them.
"""

from __future__ import annotations

import collections
import random
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from portnorm.compare.settings import CONVERTIBLE
from portnorm.readers import Source, UnreadableError, open_array

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def _save_npy_2(path: Path) -> None:
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, ARRAY, version=(2, 0))


def _save_torch(path: Path, **options: bool) -> None:
    import torch

    torch.save({"only": torch.from_numpy(ARRAY)}, path, **options)


def _save_torch_legacy(path: Path) -> None:
    _save_torch(path, _use_new_zipfile_serialization=False)


def _save_mindspore(path: Path) -> None:
    import mindspore

    parameter = mindspore.Parameter(mindspore.Tensor(ARRAY), name="only")
    mindspore.save_checkpoint([{"name": "only", "data": parameter}], str(path))


WRITERS: dict[str, Callable[[Path], object]] = {
    "one.npy": lambda path: np.save(path, ARRAY),
    "two.npy": _save_npy_2,
    "fortran.npy": lambda path: np.save(path, np.asfortranarray(ARRAY)),
    "stored.npz": lambda path: np.savez(path, only=ARRAY),
    "compressed.npz": lambda path: np.savez_compressed(path, only=ARRAY),
    "one.safetensors": lambda path: save_file({"only": ARRAY}, path),
    **({"one.pt": _save_torch, "legacy.pt": _save_torch_legacy} if find_spec("torch") else {}),
    **({"one.ckpt": _save_mindspore} if find_spec("mindspore") else {}),
}
"""Files with the array in them."""

MAGIC = {
    ".npy": b"\x93NUMPY",
    ".npz": b"PK\x03\x04",
    ".safetensors": b"",
    ".pt": b"PK\x03\x04",
    ".ckpt": b"",
}


def whole(name: str) -> bytes:
    """Return the bytes of an undamaged file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        WRITERS[name](path)
        return path.read_bytes()


def everything(source: Source) -> np.ndarray:
    """Read all of an array, as `portnorm compare` would."""
    return source.read(tuple(slice(0, size) for size in source.shape), "float64")


def read_or_refuse(path: Path, data: bytes) -> np.ndarray | None:
    """Read a file with the given bytes; None where it is refused in one line that names it.

    Raises:
        Exception: whatever else comes out of the readers.
    """
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a warning would be a second line
            with open_array(str(path)) as source:
                return everything(source) if source.dtype in CONVERTIBLE else None
    except UnreadableError as error:
        if not str(error).startswith(str(path)):
            raise AssertionError(f"{error} does not name {path}") from error
        return None


def damaged(rng: random.Random, undamaged: bytes, suffix: str) -> bytes:
    """Return other bytes: random ones, or the same cut short, flipped, moved or repeated."""
    data = bytearray(undamaged)
    way = rng.randrange(6)
    if way == 0:
        return MAGIC[suffix] * rng.randrange(2) + rng.randbytes(rng.randrange(300))
    if way == 1:
        return bytes(data[: rng.randrange(len(data))])
    if way in (2, 3):
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif way == 4:
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.choice(b"\x00\xff(){}[]',:0123456789<>|Of-\"")
    else:
        begin, end = sorted(rng.randrange(len(data)) for _ in range(2))
        at = rng.randrange(len(data))
        data[at:at] = data[begin:end]
    return bytes(data)


def main(count: int, seed: int) -> None:
    """Read damaged files and print what became of them."""
    rng = random.Random(seed)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        for name in WRITERS:
            undamaged, path = whole(name), Path(folder, name)
            became: collections.Counter[str] = collections.Counter()
            for _ in range(count):
                array = read_or_refuse(path, damaged(rng, undamaged, path.suffix))
                became["refused" if array is None else "read"] += 1
            path.unlink()
            assert not list(Path(folder).iterdir())
            print(f"{name}: {count} files, {became['read']} read, {became['refused']} refused")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.getrandbits(32))
