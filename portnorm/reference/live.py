"""What the framework in this process runs on: the machine, and the capability of its CPU."""

from __future__ import annotations

import re
import sys
from typing import Any

from portnorm.errors import PortnormWarning, StrictParityError, warn_at_user_line
from portnorm.reference.builds import MINDSPORE_BUILDS
from portnorm.reference.rules import CudaDevice

MACHINES = tuple(machine for machine, _, _ in MINDSPORE_BUILDS)
"""Those of the certified builds."""

_REPORTED_BY_TORCH = {
    "x86_64": {"AVX512": "avx512", "AVX2": "avx2", "DEFAULT": "default", "NO AVX": "default"},
    "aarch64": {"SVE256": "sve256", "DEFAULT": "neon", "NO AVX": "neon"},
}


def machine_of(framework: str) -> str:
    """Return the kind of CPU.

    Raises:
        StrictParityError: not Linux, for which the certified builds were made, or another CPU.
    """
    import platform

    machine = platform.machine()
    if sys.platform != "linux" or machine not in MACHINES:
        raise StrictParityError(
            f"no build of {framework} for {sys.platform} on {machine} is certified, only builds "
            f"for linux on {' and '.join(MACHINES)}"
        )
    return machine


def reported_capability(torch: Any) -> str:
    """Return the capability of the CPU as the live torch names it."""
    if hasattr(torch.backends, "cpu"):
        return str(torch.backends.cpu.get_cpu_capability())
    # torch 2.0 has it in a text only.
    found = re.search(r"CPU capability usage: (.*)", torch.__config__.show())
    return found[1] if found else "unknown"


def warn_where_it_flushes(torch: Any) -> None:
    """Warn if torch takes subnormal numbers for zero in this thread."""
    smallest = torch.full((1,), 2.0**-149, dtype=torch.float32, device="cpu")
    if not (smallest * 1).item():
        warn_at_user_line(
            "torch flushes subnormal numbers to zero in this thread, and strict parity gives the "
            "bits of a torch that keeps them; torch.set_flush_denormal(False) makes it keep them",
            PortnormWarning,
        )


def torch_capability(machine: str, reported: str) -> str:
    """Return what a reference calls the capability that torch reports.

    Raises:
        StrictParityError: no build for it is certified.
    """
    names = _REPORTED_BY_TORCH[machine]
    if reported not in names:
        raise StrictParityError(
            f"torch reports the CPU capability {reported!r}, which is not certified on {machine}. "
            "The environment variable ATEN_CPU_CAPABILITY makes torch use another."
        )
    return names[reported]


def live_device(torch: Any, device: Any) -> CudaDevice:
    """Return what of a CUDA device the live torch sees.

    Raises:
        StrictParityError: it sees none, or is a build for ROCm, whose devices it calls so, too.
    """
    if getattr(getattr(torch, "version", None), "hip", None):
        raise StrictParityError(
            "the bits of torch for ROCm are not promised: only those on CUDA devices of NVIDIA are "
            "known"
        )
    try:
        found = torch.cuda.get_device_properties(device)
    except (AssertionError, RuntimeError) as error:
        # torch goes on about where to get it, or about its own source code.
        reason = str(error).strip().partition("\n")[0]
        raise StrictParityError(f"torch sees no CUDA device {str(device)!r}: {reason}") from error
    threads = found.max_threads_per_multi_processor
    return CudaDevice(found.multi_processor_count, threads, found.name)
