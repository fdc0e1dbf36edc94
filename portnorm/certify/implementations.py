"""The two functions as a framework computes them, and as `portnorm.exact` does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from portnorm.certify.cases import Case, View
from portnorm.certify.encodings import Array
from portnorm.errors import StrictParityError
from portnorm.exact import mindspore_cpu, torch_cpu, torch_cuda
from portnorm.reference import (
    CUDA_AS_READ,
    CudaDevice,
    CudaRules,
    MindSporeReference,
    Reference,
    TorchReference,
)


@dataclass(frozen=True)
class Outcome:
    """What an implementation makes of a case.

    Attributes:
        forward: the result, or the type of the error that it raises.
        gradient: likewise, None if the case has no cotangent.
    """

    forward: Array | type[Exception]
    gradient: Array | type[Exception] | None = None


Implementation = Callable[[Case], Outcome]

_ERRORS = (IndexError, RuntimeError, TypeError, ValueError, StrictParityError)
"""What the two functions raise for arguments that they do not take, and what portnorm refuses."""


def framework(name: str, device: str = "cpu") -> Implementation:
    """Return the function as the framework of this name has it; torch also on a CUDA device.

    Raises:
        ImportError: it cannot be imported.
    """
    return _torch(device) if name == "torch" else _mindspore()


def exact(reference: Reference) -> Implementation:
    """Return the function as `portnorm.exact` has it, with the bits of this build.

    Those of a release on CUDA devices that was never compared are such as its headers say.
    """
    if isinstance(reference, TorchReference) and reference.is_cuda:
        return _exact_cuda(reference)
    if isinstance(reference, TorchReference):
        return _exact_torch(reference)
    return _exact_mindspore(reference)


def _outcome(
    case: Case, forward: Callable[[], Array], gradient: Callable[[Array], Array]
) -> Outcome:
    """Run what gives the result, and what gives the gradient from it."""
    result = _result(forward)
    if case.g is None:
        return Outcome(result)
    if isinstance(result, type):
        return Outcome(result, result)
    return Outcome(result, _result(lambda: gradient(result)))


def _result(function: Callable[[], Array]) -> Array | type[Exception]:
    try:
        return function()
    except _ERRORS as error:
        return type(error)


# --- portnorm -------------------------------------------------------------------------------------


def _exact_torch(reference: TorchReference) -> Implementation:
    with_threads = functools.lru_cache(lambda threads: replace(reference, threads=threads))

    def run(case: Case) -> Outcome:
        build, x = with_threads(case.threads), case.x.array
        arguments = (case.p, case.dim, case.eps, build)
        return _outcome(
            case,
            lambda: torch_cpu.normalize(x, *arguments),
            lambda _: torch_cpu.normalize_vjp(x, _cotangent(case).array, *arguments),
        )

    return run


class AsRead(NamedTuple):
    """A build on a CUDA device whose rules were read in headers: what `torch_cuda` needs of it."""

    rules: CudaRules
    device: CudaDevice | None


def as_read(reference: TorchReference) -> Any:
    """Return a build, with the rules in its headers if it is one on a CUDA device."""
    rules = CUDA_AS_READ.get(reference.version.partition("+")[0])
    if rules is None or not reference.is_cuda:
        return reference
    return AsRead(rules, reference.device)


def _exact_cuda(reference: TorchReference) -> Implementation:
    build = as_read(reference)

    def run(case: Case) -> Outcome:
        x = case.x.array
        arguments = (case.p, case.dim, case.eps, build)
        return _outcome(
            case,
            lambda: torch_cuda.normalize(x, *arguments),
            lambda _: torch_cuda.normalize_vjp(x, _cotangent(case).array, *arguments),
        )

    return run


def _exact_mindspore(reference: MindSporeReference) -> Implementation:
    def run(case: Case) -> Outcome:
        x = case.x.array
        arguments = (case.dim, case.eps, reference)
        return _outcome(
            case,
            lambda: mindspore_cpu.l2_normalize(x, *arguments),
            lambda y: mindspore_cpu.l2_normalize_vjp(x, y, _cotangent(case).array, *arguments),
        )

    return run


def _cotangent(case: Case) -> View:
    assert case.g is not None
    return case.g


# --- torch ----------------------------------------------------------------------------------------


def _torch(device: str) -> Implementation:
    import torch
    import torch.nn.functional as F

    def run(case: Case) -> Outcome:
        if torch.get_num_threads() != case.threads:
            torch.set_num_threads(case.threads)
        x = _torch_tensor(case.x, device).requires_grad_(case.g is not None)
        y: Any = None

        def forward() -> Array:
            nonlocal y
            y = F.normalize(x, case.p, case.dim, case.eps)  # type: ignore[arg-type]
            return _torch_words(y.detach())

        def gradient(_: Array) -> Array:
            (result,) = torch.autograd.grad(y, x, _torch_tensor(_cotangent(case), device))
            return _torch_words(result)

        return _outcome(case, forward, gradient)

    return run


def _torch_tensor(view: View, device: str) -> Any:
    import torch

    if view.form.dtype == "bfloat16":
        buffer = torch.from_numpy(view.buffer.view(np.int16)).view(torch.bfloat16)
    else:
        buffer = torch.from_numpy(view.buffer.view(view.form.numpy))
    return buffer.to(device).as_strided(view.shape, view.strides, view.offset)


def _torch_words(tensor: Any) -> Array:
    import torch

    tensor = tensor.cpu()
    if tensor.dtype == torch.bfloat16:
        words: Array = tensor.view(torch.int16).numpy()
        return words.view(np.uint16)
    result: Array = tensor.numpy()
    return result


# --- MindSpore ------------------------------------------------------------------------------------


def _mindspore() -> Implementation:
    import mindspore
    from mindspore import ops

    mindspore.runtime.launch_blocking()  # small operators take much longer without it

    def run(case: Case) -> Outcome:
        function = ops.L2Normalize(case.dim, case.eps)
        vjp = ops.GradOperation(sens_param=True)(lambda x: function(x))
        x = _mindspore_tensor(case.x)
        return _outcome(
            case,
            lambda: function(x).asnumpy(),
            lambda _: vjp(x, _mindspore_tensor(_cotangent(case))).asnumpy(),
        )

    return run


def _mindspore_tensor(view: View) -> Any:
    from mindspore import Tensor

    array = view.array
    if array.flags.c_contiguous:
        return Tensor.from_numpy(array)
    order = sorted(range(array.ndim), key=lambda d: -view.strides[d])
    inverse = [order.index(d) for d in range(array.ndim)]
    return Tensor.from_numpy(np.ascontiguousarray(array.transpose(order))).permute(*inverse)
