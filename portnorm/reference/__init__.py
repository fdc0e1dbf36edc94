"""Builds of the two frameworks, and the rules of arithmetic that hold for each.

The bits of a result belong to a build: framework, version, CPU capability, number of threads. A
reference names a build; its `rules` are what `portnorm.exact` needs to give the bits of that
build on any machine. Standard library only.

`builds` has the certified builds, and what each release changed; `rules` the fields of a rule set.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from portnorm import files
from portnorm.errors import StrictParityError
from portnorm.reference.builds import (
    MINDSPORE,
    TORCH,
    TORCH_BUILDS,
    Certified,
    certified,
)
from portnorm.reference.live import (
    MACHINES,
    machine_of,
    reported_capability,
    torch_capability,
    warn_where_it_flushes,
)
from portnorm.reference.rules import MindSporeRules, TorchRules
from portnorm.text import without_repeats

__all__ = [
    "MACHINES",
    "REFERENCES",
    "TORCH_CAPABILITIES",
    "Certified",
    "MindSporeReference",
    "MindSporeRules",
    "Reference",
    "TorchReference",
    "TorchRules",
    "by_framework",
    "certified",
    "format_references",
    "parse_references",
    "read_references",
    "write_references",
]

_MOST_BYTES = 2**20
"""So many bytes hold any references; a larger file is another one."""

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+_-]*", re.ASCII)

_R = TypeVar("_R", bound="_Reference")


@dataclass(frozen=True)
class _Reference:
    """What both kinds of reference have."""

    framework: ClassVar[str]
    version: str

    def to_json(self) -> str:
        """Return the reference as a JSON object, which `from_json` reads."""
        import json

        return json.dumps(_to_record(self))

    @classmethod
    def from_json(cls: type[_R], text: str) -> _R:
        """Return the reference of this kind that a JSON text holds.

        Args:
            text: what `to_json` returns, or what ``portnorm reference`` prints.

        Raises:
            ValueError: it is neither, or holds no reference of this kind.
        """
        for reference in parse_references(text):
            if isinstance(reference, cls):
                return reference
        raise ValueError(f"the text holds no reference of {cls.framework}")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """A copy looks its rules up anew, so that it has the shared instance too."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class TorchReference(_Reference):
    """A build of torch for the CPU, whose bits ``parity="strict"`` gives.

    Any machine can give the bits of any build.

    Args:
        version: as ``torch.__version__`` has it. What follows a ``+`` does not count.
        capability: what the build uses of the CPU: ``"avx2"``, ``"avx512"`` or ``"default"`` on
            x86-64, ``"neon"`` or ``"sve256"`` on aarch64. At p = 0, 1, 2 and the infinities
            ``"avx2"`` and ``"avx512"`` give the same bits, except in torch 2.0.
        threads: as ``torch.get_num_threads()`` has it. It matters from 32768 elements on.

    Raises:
        TypeError: an argument has another type.
        ValueError: no such capability, no such version number, or fewer threads than one.

    >>> from portnorm import TorchReference
    >>> TorchReference(capability="neon").to_json()
    '{"framework": "torch", "version": "2.13.0", "capability": "neon", "threads": 1}'
    >>> TorchReference.from_json(_) == TorchReference("2.13.0", "neon")
    True
    """

    framework: ClassVar[str] = "torch"
    version: str = "2.13.0"
    capability: str = "avx2"
    threads: int = 1

    def __post_init__(self) -> None:
        _check_version(self)
        _check_choice("capability", self.capability, TORCH_CAPABILITIES)
        if not isinstance(self.threads, int) or isinstance(self.threads, bool):
            raise TypeError(f"threads must be an int, not {type(self.threads).__name__}")
        if self.threads < 1:
            raise ValueError("threads must be 1 or more")

    @functools.cached_property
    def rules(self) -> TorchRules:
        """The rules of this build.

        Raises:
            StrictParityError: the build is not certified.

        >>> TorchReference("2.15.0+cpu").rules is TorchReference("2.14.1").rules
        False
        >>> TorchReference("2.14.1+cpu").rules is TorchReference("2.14.1", "avx512").rules
        True
        """
        rules = TORCH.get((_release(self.version), self.capability))
        if rules is None:
            raise _not_certified(self, f"torch {self.version} with capability {self.capability!r}")
        return rules

    @classmethod
    def current(cls) -> TorchReference:
        """Return the reference of the torch that is installed, as it is set up now.

        Warns:
            PortnormWarning: torch flushes subnormal numbers, after
                ``torch.set_flush_denormal(True)``, so that its bits are others.

        Raises:
            ModuleNotFoundError: torch is not installed.
            StrictParityError: a system or a CPU for which nothing is certified.
        """
        torch: Any = importlib.import_module("torch")
        warn_where_it_flushes(torch)
        machine = machine_of(cls.framework)
        capability = torch_capability(machine, reported_capability(torch))
        return cls(str(torch.__version__), capability, torch.get_num_threads())


@dataclass(frozen=True)
class MindSporeReference(_Reference):
    """A build of MindSpore for the CPU, whose bits ``parity="strict"`` gives.

    Any machine can give the bits of any build. The number of threads does not matter.

    Args:
        version: as ``mindspore.__version__`` has it. What follows a ``+`` does not count.
        machine: ``"x86_64"`` or ``"aarch64"``.

    Raises:
        TypeError: an argument has another type.
        ValueError: no such machine or version number.

    >>> from portnorm import MindSporeReference
    >>> MindSporeReference("2.9.0", "aarch64").to_json()
    '{"framework": "mindspore", "version": "2.9.0", "machine": "aarch64"}'
    >>> MindSporeReference.from_json(_) == MindSporeReference("2.9.0", "aarch64")
    True
    """

    framework: ClassVar[str] = "mindspore"
    version: str = "2.10.0"
    machine: str = "x86_64"

    def __post_init__(self) -> None:
        _check_version(self)
        _check_choice("machine", self.machine, MACHINES)

    @functools.cached_property
    def rules(self) -> MindSporeRules:
        """The rules of this build.

        Raises:
            StrictParityError: the build is not certified.

        >>> MindSporeReference("2.9.0", "aarch64").rules
        MindSporeRules(fused=True, flushes_subnormals=True, gradient_fused=True)
        """
        rules = MINDSPORE.get((_release(self.version), self.machine))
        if rules is None:
            raise _not_certified(self, f"MindSpore {self.version} on {self.machine}")
        return rules

    @classmethod
    def current(cls) -> MindSporeReference:
        """Return the reference of the MindSpore that is installed.

        Raises:
            ModuleNotFoundError: MindSpore is not installed.
            StrictParityError: a system or a CPU for which nothing is certified.
        """
        mindspore: Any = importlib.import_module("mindspore")
        return cls(str(mindspore.__version__), machine_of(cls.framework))


Reference = TorchReference | MindSporeReference

REFERENCES: dict[str, type[TorchReference] | type[MindSporeReference]] = {
    kind.framework: kind for kind in (TorchReference, MindSporeReference)
}
"""The kinds of reference, by framework."""

TORCH_CAPABILITIES = tuple(dict.fromkeys(builds.capability for builds in TORCH_BUILDS))


def by_framework(references: Iterable[Reference]) -> dict[str, Reference]:
    """Return references by the name of their framework.

    Raises:
        TypeError: something is not a reference.
        ValueError: two are of the same framework.

    >>> by_framework([TorchReference("2.4.1")])
    {'torch': TorchReference(version='2.4.1', capability='avx2', threads=1)}
    """
    found: dict[str, Reference] = {}
    for reference in references:
        if not isinstance(reference, Reference):
            kind = type(reference).__name__
            raise TypeError(
                f"reference must be a TorchReference or a MindSporeReference, not {kind}"
            )
        if reference.framework in found:
            raise ValueError(f"there are two references of {reference.framework}")
        found[reference.framework] = reference
    return found


def _check_version(reference: _Reference) -> None:
    if not isinstance(reference.version, str):
        raise TypeError(f"version must be a str, not {type(reference.version).__name__}")
    if not _VERSION.fullmatch(reference.version):
        raise ValueError(f"version must be a number such as '2.10.0', not {reference.version!r}")
    # torch's own class of versions is a str that compares as a number.
    object.__setattr__(reference, "version", str(reference.version))


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def _release(version: str) -> str:
    return version.partition("+")[0]


def _not_certified(reference: _Reference, name: str) -> StrictParityError:
    rows = [row for row in certified() if row.framework == reference.framework]
    known = "; ".join(f"{row.capability or row.machine}: {', '.join(row.versions)}" for row in rows)
    return StrictParityError(
        f"the bits of {name} are not promised, because they were never compared with portnorm's. "
        f"Certified are {known}. Choose one of these as the reference, or see with "
        "`portnorm certify` how far the bits of an installed build agree."
    )


# --- text and files -------------------------------------------------------------------------------


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

    return json.dumps([_to_record(r) for r in by_framework(references).values()], indent=2)


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


def _to_record(reference: _Reference) -> dict[str, object]:
    values = {field.name: getattr(reference, field.name) for field in fields(reference)}
    return {"framework": reference.framework, **values}


def _from_record(record: object) -> Reference:
    if not isinstance(record, dict):
        raise ValueError(f"a reference is a JSON object, not {type(record).__name__}")
    framework = record.get("framework")
    if not isinstance(framework, str) or framework not in REFERENCES:
        raise ValueError(f"its 'framework' must be one of {', '.join(map(repr, REFERENCES))}")
    kind = REFERENCES[framework]
    names = {field.name for field in fields(kind)}
    values = {name: value for name, value in record.items() if name != "framework"}
    for problem, keys in (("lacks", names - set(values)), ("cannot have", set(values) - names)):
        if keys:
            raise ValueError(
                f"a reference of {framework} {problem} {', '.join(map(repr, sorted(keys)))}"
            )
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(str(error)) from error
