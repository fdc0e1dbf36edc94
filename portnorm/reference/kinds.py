"""The two kinds of reference: what names a build of torch, and one of MindSpore."""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar, cast

from portnorm.errors import StrictParityError
from portnorm.reference.adoption import Adoption
from portnorm.reference.builds import (
    CUDA_DEVICES,
    DIFFERENT,
    MINDSPORE,
    TORCH,
    TORCH_CAPABILITIES,
    certified,
)
from portnorm.reference.live import (
    MACHINES,
    live_device,
    machine_of,
    reported_capability,
    torch_capability,
    warn_where_it_flushes,
)
from portnorm.reference.rules import CudaDevice, CudaRules, MindSporeRules, TorchRules

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

        from portnorm.reference import to_record

        return json.dumps(to_record(cast("Reference", self)))

    @classmethod
    def from_json(cls: type[_R], text: str) -> _R:
        """Return the reference of this kind that a JSON text holds.

        Args:
            text: what `to_json` returns, or what ``portnorm reference`` prints.

        Raises:
            ValueError: it is neither, or holds no reference of this kind.
        """
        from portnorm.reference import parse_references

        for reference in parse_references(text):
            if isinstance(reference, cls):
                return reference
        raise ValueError(f"the text holds no reference of {cls.framework}")

    def __repr__(self) -> str:
        """Leave out what a build does not have: a device, and that it was adopted."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        shown = (f"{name}={value!r}" for name, value in values if value is not None)
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """A copy looks its rules up anew, so that it has the shared instance too."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, repr=False)
class TorchReference(_Reference):
    """A build of torch, for a CPU or a CUDA device, whose bits ``parity="strict"`` gives.

    Any machine can give the bits of any build.

    Args:
        version: as ``torch.__version__`` has it. What follows a ``+`` does not count.
        capability: what the build uses of the CPU: ``"avx2"``, ``"avx512"`` or ``"default"`` on
            x86-64, ``"neon"`` or ``"sve256"`` on aarch64. At p = 0, 1, 2 and the infinities
            ``"avx2"`` and ``"avx512"`` give the same bits, except in torch 2.0. Or ``"cuda"``.
        threads: as ``torch.get_num_threads()`` has it. It matters from 32768 elements on, and not
            on a CUDA device.
        device: the CUDA device; None is an H100 SXM where the capability is ``"cuda"``.
            ``CudaDevice.named`` knows the common ones.
        adopted: what ``portnorm certify --adopt`` found of a build that is not certified.

    Raises:
        TypeError: an argument has another type.
        ValueError: no such capability, no such version number, fewer threads than one, or a device
            for a CPU.

    >>> from portnorm import TorchReference
    >>> TorchReference(capability="neon").to_json()
    '{"framework": "torch", "version": "2.13.0", "capability": "neon", "threads": 1}'
    >>> TorchReference.from_json(_) == TorchReference("2.13.0", "neon")
    True
    >>> TorchReference("2.11.0", "cuda").device
    CudaDevice(multiprocessors=132, threads_per_multiprocessor=2048, name='H100 SXM')
    """

    framework: ClassVar[str] = "torch"
    version: str = "2.13.0"
    capability: str = "avx2"
    threads: int = 1
    device: CudaDevice | None = None
    adopted: Adoption | None = None

    def __post_init__(self) -> None:
        _check_version(self)
        _check_choice("capability", self.capability, TORCH_CAPABILITIES)
        self._check_device()
        if not isinstance(self.threads, int) or isinstance(self.threads, bool):
            raise TypeError(f"threads must be an int, not {type(self.threads).__name__}")
        if self.threads < 1:
            raise ValueError("threads must be 1 or more")

    def _check_device(self) -> None:
        if self.device is not None and not isinstance(self.device, CudaDevice):
            raise TypeError(f"device must be a CudaDevice, not {type(self.device).__name__}")
        if self.device is not None and not self.is_cuda:
            raise ValueError("device is for the capability 'cuda', which has one")
        if self.is_cuda and self.device is None:
            object.__setattr__(self, "device", CUDA_DEVICES["H100 SXM"])

    @property
    def is_cuda(self) -> bool:
        """Whether it is a build on a CUDA device."""
        return self.capability == "cuda"

    def is_same_build(self, other: TorchReference) -> bool:
        """Return whether two have the same release, the same capability and the same device.

        >>> TorchReference("2.11.0+cu130", "cuda").is_same_build(TorchReference("2.11.0", "cuda"))
        True
        """
        here, there = (
            (_release(build.version), build.capability, build.device) for build in (self, other)
        )
        return here == there

    @functools.cached_property
    def rules(self) -> TorchRules | CudaRules:
        """The rules of this build.

        Raises:
            StrictParityError: the build is not certified.

        >>> TorchReference("2.15.0+cpu").rules is TorchReference("2.14.1").rules
        False
        >>> TorchReference("2.14.1+cpu").rules is TorchReference("2.14.1", "avx512").rules
        True
        """
        rules = TORCH.get((_rules_of(self), self.capability))
        if rules is None:
            raise _not_certified(self, f"torch {self.version} with capability {self.capability!r}")
        return rules

    @classmethod
    def current(cls, device: str = "cpu") -> TorchReference:
        """Return the reference of the torch that is installed, as it is set up now.

        Args:
            device: ``"cpu"``, or a CUDA device as torch names it: ``"cuda"``, ``"cuda:1"``.

        Warns:
            PortnormWarning: torch flushes subnormal numbers of the CPU, after
                ``torch.set_flush_denormal(True)``, so that its bits are others.

        Raises:
            ModuleNotFoundError: torch is not installed.
            StrictParityError: a system or a CPU for which nothing is certified, or no such device.
            ValueError: another kind of device.
        """
        _check_choice("device", str(device).partition(":")[0], ("cpu", "cuda"))
        torch: Any = importlib.import_module("torch")
        if str(device) != "cpu":
            return cls(str(torch.__version__), "cuda", device=live_device(torch, device))
        warn_where_it_flushes(torch)
        return _torch_on_cpu(torch, torch.get_num_threads())


@dataclass(frozen=True, repr=False)
class MindSporeReference(_Reference):
    """A build of MindSpore for the CPU, whose bits ``parity="strict"`` gives.

    Any machine can give the bits of any build. The number of threads does not matter.

    Args:
        version: as ``mindspore.__version__`` has it. What follows a ``+`` does not count.
        machine: ``"x86_64"`` or ``"aarch64"``.
        adopted: as for `TorchReference`.

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
    adopted: Adoption | None = None

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
        rules = MINDSPORE.get((_rules_of(self), self.machine))
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


def current(framework: str, device: str = "cpu") -> Reference:
    """Return the reference of a framework that is installed; of torch also on a CUDA device.

    Raises:
        ModuleNotFoundError: it is not installed.
        StrictParityError: a system or a CPU for which nothing is certified, or no such device.
    """
    if framework == "torch":
        return TorchReference.current(device)
    return REFERENCES[framework].current()


def live_torch() -> TorchReference:
    """Return the reference of the torch that is imported: the default of torch's own function.

    It is kept for each number of threads, so that a call takes a fraction of a microsecond.

    Raises:
        StrictParityError: its bits are not promised.
    """
    torch: Any = sys.modules["torch"]
    return _live_torch(torch.get_num_threads())


@functools.lru_cache(maxsize=64)
def _live_torch(threads: int) -> TorchReference:
    # Without the check of `current`, which computes: graphs are made of what is computed.
    return _promised(lambda: _torch_on_cpu(sys.modules["torch"], threads), TorchReference())


def _torch_on_cpu(torch: Any, threads: int) -> TorchReference:
    capability = torch_capability(machine_of("torch"), reported_capability(torch))
    return TorchReference(str(torch.__version__), capability, threads)


@functools.cache
def live_mindspore() -> MindSporeReference:
    """Return the reference of the MindSpore that is installed.

    Raises:
        StrictParityError: its bits are not promised.
    """
    return _promised(MindSporeReference.current, MindSporeReference())


def _promised(find: Callable[[], _R], instead: Reference) -> _R:
    try:
        found = find()
        _ = cast("Reference", found).rules
        return found
    except StrictParityError as error:
        name = type(instead).__name__
        raise StrictParityError(
            f"no reference is set, so that parity='strict' takes the installed "
            f"{instead.framework}: {error} set_options(reference={name}()) takes {instead!r}, "
            "which is the default on the other framework."
        ) from None


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


def _rules_of(reference: TorchReference | MindSporeReference) -> str:
    """Return the release whose rules a build has."""
    return reference.adopted.rules if reference.adopted else _release(reference.version)


def certified_there(reference: Reference) -> tuple[str, ...]:
    """Return the certified releases of a framework with this capability, or on this machine.

    >>> certified_there(MindSporeReference("2.10.0", "aarch64"))
    ('2.7.1', '2.9.0')
    """
    place = _place(reference)
    for row in certified():
        if row.framework == reference.framework and place in (row.capability, row.machine):
            return row.versions
    raise AssertionError(f"no build is certified like {reference}")


def _place(reference: Reference) -> str:
    """Return what builds of a framework differ in but for their release."""
    return reference.capability if isinstance(reference, TorchReference) else reference.machine


_ADOPT = " `portnorm certify --adopt FILE` takes it where every bit agrees."


def _not_certified(reference: Reference, name: str) -> StrictParityError:
    is_cuda = isinstance(reference, TorchReference) and reference.is_cuda
    never = "they were never compared with portnorm's"
    reason = DIFFERENT.get((_release(reference.version), _place(reference)), never)
    return StrictParityError(
        f"the bits of {name} are not promised, because {reason}. "
        f"Certified there are {', '.join(certified_there(reference))}; `portnorm reference "
        "--certified` shows all. Choose one of these as the reference, or see with `portnorm "
        f"certify{' --device cuda' if is_cuda else ''}` how far the bits of an installed build "
        f"agree.{'' if is_cuda else _ADOPT}"
    )
