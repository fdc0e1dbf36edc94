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
from typing import Any, NamedTuple

from portnorm.reference.rules import MindSporeRules, Tail, TorchRules


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
    bfloat16_sum_in_bfloat16=True,
    rounds_inner_sums=True,
    single_element_squared=True,
    half_name="at::Half",
    integer_error="RuntimeError",
)

_TORCH_HISTORY: dict[str, dict[str, Any]] = {
    "2.0.1": {},
    "2.1.2": {"float16": True, "bfloat16_sum_in_bfloat16": False},
    "2.2.2": {},
    "2.3.1": {"rounds_inner_sums": False},
    "2.4.1": {"single_element_squared": False},
    "2.5.1": {},
    "2.6.0": {},
    "2.7.1": {"tail": _tail("mod4", "fused", "fused")},
    "2.8.0": {
        "lanes_fused": False,
        "slow_fused": False,
        "tail": _tail("mod4", "fused", "plain"),
    },
    "2.9.1": {},
    "2.10.0": {"half_name": "c10::Half"},
    "2.11.0": {},
    "2.12.1": {},
    "2.13.0": {},
    "2.14.1": {"gradient_passes_at_floor": False},
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
    _TorchBuilds("x86_64", "avx512", _X86[:1], {"lanes": 16, "sum_lanes": 16}),
    _TorchBuilds("x86_64", "avx512", _X86[1:], {}),
    _TorchBuilds("x86_64", "default", _X86, _NOTHING_FUSED),
    _TorchBuilds("aarch64", "neon", ("2.5.1",), _ALL_FUSED),
    _TorchBuilds(
        "aarch64",
        "neon",
        ("2.9.1", "2.10.0", "2.13.0"),
        {**_ALL_FUSED, "lanes": 4, "sum_lanes": 4},
    ),
    _TorchBuilds("aarch64", "sve256", ("2.9.1", "2.13.0"), {**_NOTHING_FUSED, "slow_fused": True}),
)
"""The certified builds. Source: tests/golden, and the wheel of 2.5.1 for aarch64."""

MINDSPORE_BUILDS = (
    (
        "x86_64",
        ("2.0.0", "2.7.0", "2.7.1", "2.7.2", "2.8.0", "2.9.0", "2.10.0"),
        MindSporeRules(False, False, False),
    ),
    ("aarch64", ("2.7.1", "2.9.0"), MindSporeRules(True, True, True)),
)
"""The certified builds: machine, versions, rules."""


def _torch_history() -> dict[str, TorchRules]:
    rules, history = _FIRST_TORCH_RULES, {}
    for version, changes in _TORCH_HISTORY.items():
        rules = history[version] = replace(rules, **changes)
    return history


def _torch_table() -> dict[tuple[str, str], TorchRules]:
    """Return the rules by version and capability; equal rules are one instance."""
    history, table = _torch_history(), {}
    shared: dict[str, TorchRules] = {}
    for _, capability, versions, instead in TORCH_BUILDS:
        for version in versions:
            rules = replace(history[version], **instead)
            table[version, capability] = shared.setdefault(repr(rules), rules)
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
        machine: ``"x86_64"`` or ``"aarch64"``.
        capability: the CPU capability that torch uses there; ``""`` for MindSpore.
        versions: the releases, oldest first.
    """

    framework: str
    machine: str
    capability: str
    versions: tuple[str, ...]


def certified() -> tuple[Certified, ...]:
    """Return the builds whose bits are promised.

    >>> for row in certified():
    ...     print(row.framework, row.machine, row.capability, *row.versions[-2:])
    torch x86_64 avx2 2.14.1 2.15.0
    torch x86_64 avx512 2.14.1 2.15.0
    torch x86_64 default 2.14.1 2.15.0
    torch aarch64 neon 2.10.0 2.13.0
    torch aarch64 sve256 2.9.1 2.13.0
    mindspore x86_64  2.9.0 2.10.0
    mindspore aarch64  2.7.1 2.9.0
    """
    torch: dict[tuple[str, str], tuple[str, ...]] = {}
    for machine, capability, versions, _ in TORCH_BUILDS:
        torch[machine, capability] = torch.get((machine, capability), ()) + versions
    return (
        *(Certified("torch", *build, versions) for build, versions in torch.items()),
        *(
            Certified("mindspore", machine, "", versions)
            for machine, versions, _ in MINDSPORE_BUILDS
        ),
    )
