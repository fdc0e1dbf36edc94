"""Builds of the two frameworks, and the rules of arithmetic that hold for each.

The bits of a result belong to a build: framework, version, CPU capability and number of threads, or
the CUDA device. A reference names a build; its `rules` are what `portnorm.exact` needs to give the
bits of that build on any machine. Standard library only.

`kinds` has the two kinds of reference; `builds` the certified builds, and what each release
changed; `rules` the fields of a rule set. References as text and in files are here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, fields

from portnorm import files
from portnorm.errors import StrictParityError
from portnorm.reference.adoption import Adoption, adoption_from_record, adoption_to_record
from portnorm.reference.builds import (
    CUDA_AS_READ,
    CUDA_DEVICES,
    TORCH_CAPABILITIES,
    Certified,
    certified,
)
from portnorm.reference.kinds import (
    REFERENCES,
    MindSporeReference,
    Reference,
    TorchReference,
    by_framework,
    certified_there,
    current,
    live_mindspore,
    live_torch,
)
from portnorm.reference.live import MACHINES
from portnorm.reference.rules import CudaDevice, CudaRules, MindSporeRules, TorchRules
from portnorm.text import without_repeats

__all__ = [
    "CUDA_AS_READ",
    "CUDA_DEVICES",
    "MACHINES",
    "REFERENCES",
    "TORCH_CAPABILITIES",
    "Adoption",
    "Certified",
    "CudaDevice",
    "CudaRules",
    "MindSporeReference",
    "MindSporeRules",
    "Reference",
    "TorchReference",
    "TorchRules",
    "by_framework",
    "certified",
    "certified_there",
    "current",
    "format_references",
    "is_certified",
    "live_mindspore",
    "live_torch",
    "parse_references",
    "read_references",
    "write_references",
]

_MOST_BYTES = 2**20
"""So many bytes hold any references; a larger file is another one."""


# --- text and files -------------------------------------------------------------------------------


def is_certified(reference: Reference) -> bool:
    """Return whether the bits of a build are promised."""
    try:
        return reference.rules is not None
    except StrictParityError:
        return False


def parse_references(text: str) -> tuple[Reference, ...]:
    """Read a reference, or a list with at most one for each framework, from JSON.

    Raises:
        ValueError: the text is something else.

    >>> parse_references('{"framework": "mindspore", "version": "2.7.0", "machine": "x86_64"}')
    (MindSporeReference(version='2.7.0', machine='x86_64'),)
    """
    found = _load_json(text)
    records = found if isinstance(found, list) else [found]
    if not records:
        raise ValueError("the list holds no reference")
    return tuple(by_framework(map(_from_record, records)).values())


def format_references(references: Iterable[Reference]) -> str:
    """Return a JSON list of references that `parse_references` reads.

    Raises:
        TypeError, ValueError: as `by_framework`.

    >>> parse_references(format_references([MindSporeReference("2.9.0")]))
    (MindSporeReference(version='2.9.0', machine='x86_64'),)
    """
    import json

    return json.dumps([to_record(r) for r in by_framework(references).values()], indent=2)


def read_references(path: str | os.PathLike[str]) -> tuple[Reference, ...]:
    """Read what `write_references` or ``portnorm reference --save`` wrote.

    Raises:
        OSError: the file cannot be read, or is a folder, a device or a pipe.
        ValueError: it holds something else, or more than 1 MiB; the text names the file.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "reference.json")
    ...     write_references(path, [TorchReference(threads=8)])
    ...     read_references(path)
    (TorchReference(version='2.13.0', capability='avx2', threads=8),)
    """
    if found := files.other_than_file(path):
        raise OSError(f"{os.fspath(path)}: expected a file, found {found}")
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"expected at most {_MOST_BYTES} bytes, found more")
        return parse_references(text.decode())
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def write_references(path: str | os.PathLike[str], references: Iterable[Reference]) -> None:
    """Write references to a file, which is never seen half written.

    Raises:
        OSError: the file cannot be written; an old one is as it was then.
        TypeError, ValueError: as `by_framework`.
    """
    text = format_references(references) + "\n"
    files.check_replaceable(path)
    files.write(path, text.encode())


def _load_json(text: str) -> object:
    import json

    if not isinstance(text, str):
        raise TypeError(f"text must be a str, not {type(text).__name__}")
    try:
        return json.loads(text, object_pairs_hook=without_repeats)
    except RecursionError as error:
        raise ValueError("not a reference: nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error


def to_record(reference: Reference) -> dict[str, object]:
    """Return a reference as what JSON has: a CPU build has no device."""
    values = {name: value for name, value in asdict(reference).items() if value is not None}
    record: dict[str, object] = {"framework": reference.framework, **values}
    if reference.adopted:
        record["adopted"] = adoption_to_record(reference.adopted, record)
    return record


def _from_record(record: object) -> Reference:
    if not isinstance(record, dict):
        raise ValueError(f"a reference is a JSON object, not {type(record).__name__}")
    framework = record.get("framework")
    if not isinstance(framework, str) or framework not in REFERENCES:
        raise ValueError(f"its 'framework' must be one of {', '.join(map(repr, REFERENCES))}")
    kind = REFERENCES[framework]
    values = {name: value for name, value in record.items() if name != "framework"}
    _check_names(values, kind, f"a reference of {framework}", optional={"device", "adopted"})
    try:
        if "device" in values:
            values["device"] = _device_from_record(values["device"])
        if "adopted" in values:
            values["adopted"] = adoption_from_record(values["adopted"], record)
        reference = kind(**values)
        if reference.adopted:
            _ = reference.rules  # a portnorm that is older than the one that wrote it may lack them
        return reference
    except (TypeError, StrictParityError) as error:
        raise ValueError(str(error)) from error


def _device_from_record(record: object) -> CudaDevice:
    if not isinstance(record, dict):
        raise ValueError(f"a device is a JSON object, not {type(record).__name__}")
    _check_names(record, CudaDevice, "a device", optional=set())
    return CudaDevice(**record)


def _check_names(
    values: dict[str, object], kind: type[Reference | CudaDevice], what: str, optional: set[str]
) -> None:
    names = {field.name for field in fields(kind)}
    for problem, keys in (
        ("lacks", names - optional - set(values)),
        ("cannot have", set(values) - names),
    ):
        if keys:
            raise ValueError(f"{what} {problem} {', '.join(map(repr, sorted(keys)))}")
