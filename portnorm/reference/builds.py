"""The certified builds, and what each release of a framework changed.

Sources: the builds below are wheels for Linux from PyPI. For torch on x86-64 and aarch64 their
outputs are stored in tests/golden, which describes how they were made; MindSpore's were compared
on both machines with a model of its kernels. A build is certified, which means that it has rules
here, only where no result was found that the rules do not give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from portnorm.reference.rules import CudaDevice, CudaRules, MindSporeRules, Tail, TorchRules


def _tail(float32: Tail, float64: Tail, bfloat16: Tail) -> Mapping[str, Tail]:
    return MappingProxyType({"float32": float32, "float64": float64, "bfloat16": bfloat16})


_NOTHING_FUSED = {
    "lanes_fused": False,
    "slow_fused": False,
    "tail": _tail("plain", "plain", "plain"),
}
_ALL_FUSED = {"lanes_fused": True, "slow_fused": True, "tail": _tail("fused", "fused", "fused")}

_FIRST_TORCH_RULES = TorchRules(
    lanes=8,
    lanes_fused=True,
    tail=_tail("fused", "fused", "fused"),
    slow_fused=True,
    gradient_passes_at_floor=True,
    sum_lanes=8,
    float16=False,
    order_in_float32=True,
    bfloat16_sum_in_bfloat16=True,
    rounds_inner_sums=True,
    float16_adds_neighbours=True,
    rounds_single_count=True,
    single_element_squared=True,
    half_name="at::Half",
    integer_error="RuntimeError",
)

_TORCH_HISTORY: dict[str, dict[str, Any]] = {
    "2.0.0": {},
    "2.0.1": {},
    "2.1.0": {
        "float16": True,
        "order_in_float32": False,
        "bfloat16_sum_in_bfloat16": False,
        "rounds_single_count": False,
    },
    "2.1.1": {},
    "2.1.2": {},
    "2.2.0": {},
    "2.2.1": {},
    "2.2.2": {},
    "2.3.0": {"rounds_inner_sums": False, "float16_adds_neighbours": False},
    "2.3.1": {},
    "2.4.0": {"single_element_squared": False},
    "2.4.1": {},
    "2.5.0": {},
    "2.5.1": {},
    "2.6.0": {},
    "2.7.0": {"tail": _tail("mod4", "fused", "fused")},
    "2.7.1": {},
    "2.8.0": {
        "lanes_fused": False,
        "slow_fused": False,
        "tail": _tail("mod4", "fused", "plain"),
    },
    "2.9.0": {},
    "2.9.1": {},
    "2.10.0": {"half_name": "c10::Half"},
    "2.11.0": {},
    "2.12.0": {},
    "2.12.1": {},
    "2.13.0": {},
    "2.14.0": {"gradient_passes_at_floor": False},
    "2.14.1": {},
    "2.15.0": {"integer_error": "NotImplementedError"},
}
"""What each release of torch changed from the one above, on x86-64 with AVX2.

Source: tests/golden/rules.json, and behaviour.json beside it for the texts and types of errors.
"""

_X86 = tuple(_TORCH_HISTORY)


class _TorchBuilds(NamedTuple):
    """Releases of torch that do at this capability as with AVX2, but for some rules."""

    machine: str
    capability: str
    versions: tuple[str, ...]
    instead: dict[str, Any]


TORCH_BUILDS = (
    _TorchBuilds("x86_64", "avx2", _X86, {}),
    _TorchBuilds("x86_64", "avx512", _X86[:2], {"lanes": 16, "sum_lanes": 16}),
    _TorchBuilds("x86_64", "avx512", _X86[2:], {}),
    _TorchBuilds("x86_64", "default", _X86, _NOTHING_FUSED),
    _TorchBuilds("aarch64", "neon", ("2.5.1",), _ALL_FUSED),
    _TorchBuilds(
        "aarch64",
        "neon",
        ("2.9.1", "2.10.0", "2.13.0", "2.14.1"),
        {**_ALL_FUSED, "lanes": 4, "sum_lanes": 4},
    ),
    _TorchBuilds(
        "aarch64",
        "sve256",
        ("2.9.1", "2.13.0", "2.14.1", "2.15.0"),
        {**_NOTHING_FUSED, "slow_fused": True},
    ),
)
"""The certified builds. Source: tests/golden, and the wheel of 2.5.1 for aarch64."""

DIFFERENT = {
    ("2.15.0", "neon"): "its sums are in an order of their own, of which a part is not known",
}
"""Builds that were compared and have no rules, for some bits differ from all that are known."""

_CUDA_HISTORY: dict[str, dict[str, Any]] = {
    "2.5.1": {},
    "2.8.0": {},
    "2.9.1": {},
    "2.10.0": {
        "shuffles_fall": True,
        "x_before_y": True,
        "vector_from": 128,
        "half_sum_vector": 8,
    },
    "2.11.0": {},
    "2.12.1": {},
    "2.13.0": {},
    "2.14.1": {"gradient_passes_at_floor": False},
}
"""What each release of torch changed from the one above, on CUDA devices.

Source: the headers of ATen in the releases. Outputs were compared of `_CUDA_COMPARED` only.
"""

_FIRST_CUDA_RULES = CudaRules(
    shuffles_fall=False,
    x_before_y=False,
    vector_from=129,
    half_sum_vector=4,
    gradient_passes_at_floor=True,
)

_CUDA_COMPARED = ("2.11.0",)
"""Releases whose outputs were compared, so that they are certified. Source: tests/golden/cuda."""

CUDA_DEVICES = {
    name: CudaDevice(multiprocessors, threads, name)
    for threads, devices in {
        2048: {
            "H100 SXM": 132,
            "H100 PCIe": 114,
            "H200": 132,
            "B200": 148,
            "A100": 108,
            "A30": 56,
            "V100": 80,
        },
        1536: {
            "L40S": 142,
            "L40": 142,
            "L4": 58,
            "A40": 84,
            "A10": 72,
            "RTX 5090": 170,
            "RTX 5080": 84,
            "RTX 4090": 128,
            "RTX 4080": 76,
            "RTX 3090": 82,
            "RTX 3080": 68,
            "RTX 6000 Ada": 142,
            "RTX A6000": 84,
        },
        1024: {"T4": 40},
    }.items()
    for name, multiprocessors in devices.items()
}
"""Common devices by name.

Source: multiprocessors from NVIDIA's architecture papers and data sheets; the threads that each
holds from the table of compute capabilities in the CUDA C++ programming guide.
"""

MINDSPORE_BUILDS = (
    (
        "x86_64",
        ("2.0.0", "2.7.0", "2.7.1", "2.7.1.post1", "2.7.2", "2.8.0", "2.9.0", "2.10.0"),
        MindSporeRules(False, False, False),
    ),
    ("aarch64", ("2.7.1", "2.9.0"), MindSporeRules(True, True, True)),
)
"""The certified builds: machine, versions, rules."""


_AnyRules = TypeVar("_AnyRules", TorchRules, CudaRules)


def _by_version(rules: _AnyRules, history: dict[str, dict[str, Any]]) -> dict[str, _AnyRules]:
    """Return the rules of each release; where one changed nothing, they are one instance."""
    found = {}
    for version, changes in history.items():
        rules = found[version] = replace(rules, **changes) if changes else rules
    return found


CUDA_AS_READ = _by_version(_FIRST_CUDA_RULES, _CUDA_HISTORY)
"""The rules of releases on CUDA devices, most of them as read in headers and never compared."""


def _torch_table() -> dict[tuple[str, str], TorchRules | CudaRules]:
    """Return the rules by version and capability; equal rules are one instance."""
    history = _by_version(_FIRST_TORCH_RULES, _TORCH_HISTORY)
    table: dict[tuple[str, str], TorchRules | CudaRules] = {}
    shared: dict[str, TorchRules] = {}
    for _, capability, versions, instead in TORCH_BUILDS:
        for version in versions:
            rules = replace(history[version], **instead)
            table[version, capability] = shared.setdefault(repr(rules), rules)
    for version in _CUDA_COMPARED:
        table[version, "cuda"] = CUDA_AS_READ[version]
    return table


TORCH = _torch_table()
MINDSPORE = {
    (version, machine): rules
    for machine, versions, rules in MINDSPORE_BUILDS
    for version in versions
}


class Certified(NamedTuple):
    """Versions of a framework whose bits are promised on one machine and capability.

    Attributes:
        framework: ``"torch"`` or ``"mindspore"``.
        machine: ``"x86_64"`` or ``"aarch64"``; ``"any"`` for CUDA devices, whatever the CPU.
        capability: the CPU capability that torch uses there, or ``"cuda"``; ``""`` for MindSpore.
        versions: the releases, oldest first.
    """

    framework: str
    machine: str
    capability: str
    versions: tuple[str, ...]


TORCH_CAPABILITIES = (*dict.fromkeys(builds.capability for builds in TORCH_BUILDS), "cuda")


def certified() -> tuple[Certified, ...]:
    """Return the builds whose bits are promised.

    >>> for row in certified():
    ...     print(row.framework, row.machine, row.capability, *row.versions[-2:])
    torch x86_64 avx2 2.14.1 2.15.0
    torch x86_64 avx512 2.14.1 2.15.0
    torch x86_64 default 2.14.1 2.15.0
    torch aarch64 neon 2.13.0 2.14.1
    torch aarch64 sve256 2.14.1 2.15.0
    torch any cuda 2.11.0
    mindspore x86_64  2.9.0 2.10.0
    mindspore aarch64  2.7.1 2.9.0
    """
    torch: dict[tuple[str, str], tuple[str, ...]] = {}
    for machine, capability, versions, _ in TORCH_BUILDS:
        torch[machine, capability] = torch.get((machine, capability), ()) + versions
    return (
        *(Certified("torch", *build, versions) for build, versions in torch.items()),
        Certified("torch", "any", "cuda", _CUDA_COMPARED),
        *(
            Certified("mindspore", machine, "", versions)
            for machine, versions, _ in MINDSPORE_BUILDS
        ),
    )
