"""`torch.nn.functional.normalize` and its vector-Jacobian product on a CUDA device, bit for bit.

The arithmetic is that of `torch_cpu` but for the order of sums, which is in `cuda_kernels`, and for
the floor, which may be larger than float16 can hold. No GPU is needed. Source of the rules:
measured on an H100 with torch 2.11, which is what tests/golden/cuda has; see
`portnorm.reference` for other versions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from portnorm.exact import cuda_kernels
from portnorm.exact import torch_kernels as kernels
from portnorm.exact.cuda_plans import Plan, Step, SumPlan, plan_of, plan_of_gradient, rules_of
from portnorm.exact.machine import threads
from portnorm.exact.machine.arrays import NAMES, Array, Empty, empty, memory
from portnorm.exact.torch_cpu import check_cotangent, divide
from portnorm.exact.torch_gradient import fill_gradient, gradient_layout
from portnorm.exact.torch_walks import keepdim_shape
from portnorm.reference import TorchReference


def normalize(
    x: Array,
    p: Any = 2.0,
    dim: Any = 1,
    eps: Any = 1e-12,
    reference: TorchReference | None = None,
    new: Empty | None = None,
    offset: int | None = None,
) -> Array:
    """Return the bits of `torch.nn.functional.normalize` on a CUDA device.

    Args:
        x: array of any shape and of any strides that a tensor can have: float16, float32,
            float64, or uint16 for the bits of bfloat16.
        p: order of the norm: 0, 1, 2, inf or -inf.
        dim: an int, a tuple or list of ints, or None or () for all dims.
        eps: lower bound of the norm, rounded to the dtype.
        reference: the build of torch and the device; None is torch 2.11.0 on an H100 SXM.
        new: makes the array that is returned, of a shape, strides in elements (None where they
            are those of a C array), and a dtype; None for ``numpy.empty``.
        offset: elements before the first one in the memory that torch gave to the tensor, as
            ``Tensor.storage_offset`` has it; None for those in the array of which ``x`` is a
            view. Rows are read in aligned vectors, so that it matters to the bits.

    Returns:
        Array of the shape and dtype of ``x``, in the layout that torch gives the result.

    Raises:
        IndexError, RuntimeError, TypeError: what torch raises for the same arguments.
        ValueError: strides or a byte order that no tensor has, or a reference of a CPU.
        StrictParityError: the bits cannot be promised.

    >>> import numpy as np
    >>> normalize(np.array([[3, 4]], np.float32))
    array([[0.6, 0.8]], dtype=float32)
    """
    plan = plan_of(x, p, dim, eps, reference or _DEFAULT_REFERENCE, offset)
    y = (new or empty)(x.shape, plan.strides, x.dtype)
    if x.size == 0:
        return y
    target, source = memory(y), memory(x)
    if plan.norms.divides and _keeps_cores_busy(plan.norms.steps[0], x.size):
        _run(plan.norms.steps[0], source, target, np.empty(0, plan.accumulator), plan.eps)
    else:
        divide(target, source, _norms(source, plan), plan)
    return y


def normalize_vjp(
    x: Array,
    g: Array,
    p: Any = 2.0,
    dim: Any = 1,
    eps: Any = 1e-12,
    reference: TorchReference | None = None,
    new: Empty | None = None,
    offset: int | None = None,
) -> Array:
    """Return the bits of the gradient that torch computes for `normalize` on a CUDA device.

    Args:
        x: as for `normalize`.
        g: the cotangent, of the shape and dtype of ``x``; its strides matter to the bits, too.
        p: as for `normalize`.
        dim: as for `normalize`.
        eps: as for `normalize`.
        reference: as for `normalize`.
        new: as for `normalize`.
        offset: as for `normalize`.

    Returns:
        Array of the shape and dtype of ``x``, in the layout that torch gives the gradient.

    Raises:
        IndexError, RuntimeError, TypeError: what torch raises for the same arguments.
        ValueError: strides or a byte order that no tensor has, another shape or dtype of g, or a
            reference of a CPU.
        StrictParityError: the bits cannot be promised.

    >>> import numpy as np
    >>> x, g = np.array([[3, 4]], np.float32), np.array([[1, 0]], np.float32)
    >>> normalize_vjp(x, g)
    array([[ 0.12799999, -0.09600001]], dtype=float32)
    """
    reference = reference or _DEFAULT_REFERENCE
    check_cotangent(x, g)
    rules = rules_of(reference)
    plan = plan_of(x, p, dim, eps, reference, offset)
    dtype = NAMES[x.dtype.char]
    layout = gradient_layout(x.shape, x.strides, g.strides, dtype, plan.dims, plan.p)
    gradient = (new or empty)(x.shape, layout.strides, x.dtype)
    if x.size:
        sums = plan_of_gradient(x, layout.weighted, plan.dims, rules, plan.device)
        source = memory(x)
        given = memory(gradient), source, memory(g), _norms(source, plan), layout, plan.p, plan.eps
        passes = rules.gradient_passes_at_floor
        fill_gradient(*given, passes, True, lambda into, of: _fill_sums(into, of, sums))
    return gradient


def norms(
    x: Array,
    p: Any = 2.0,
    dim: Any = 1,
    reference: TorchReference | None = None,
    offset: int | None = None,
) -> Array:
    """Return the bits of `torch.linalg.vector_norm` on a CUDA device, with the reduced dims kept.

    Args:
        x, p, dim, reference, offset: as for `normalize`.

    Returns:
        C-contiguous array of the norms, rounded to the dtype of ``x``; for the 16-bit dtypes they
        are held as float32.

    Raises:
        IndexError, RuntimeError, TypeError, ValueError, StrictParityError: as `normalize` does.

    >>> import numpy as np
    >>> norms(np.array([[3, 4]], np.float32))
    array([[5.]], dtype=float32)
    """
    plan = plan_of(x, p, dim, 0.0, reference or _DEFAULT_REFERENCE, offset)
    shape = keepdim_shape(x.shape, plan.dims)
    if not x.size:
        return np.full(shape, 0, plan.accumulator)
    return _norms(memory(x), plan).reshape(shape)


_DEFAULT_REFERENCE = TorchReference("2.11.0", "cuda")


# --- sums ----------------------------------------------------------------------------------------


def _norms(x: Array, plan: Plan) -> Array:
    """Return the norms of memory, rounded to its dtype."""
    norms = np.empty(plan.norms.sums, plan.accumulator)
    _fill_sums(norms, x, plan.norms)
    return norms


def _fill_sums(sums: Array, x: Array, plan: SumPlan) -> None:
    for step in plan.steps:
        _run(step, x[step.start :], None, sums[step.to :], 0.0)
    if not plan.steps:
        kernels.copy_to_sums(sums, x, plan.kept, False)
    cuda_kernels.finish(sums, plan.sums, plan.kind, x)


def _keeps_cores_busy(step: Step, elements: int) -> bool:
    return step.units >= threads.cores() or elements < threads.SMALLEST_WORK


def _run(step: Step, x: Array, y: Array | None, sums: Array, eps: float) -> None:
    """Write the quotients to y, or, where there is none, the sums."""
    outputs = x if y is None else y, sums, y is not None
    scratch = step.scratch, sums.dtype
    rest = *step.tables, eps, *step.rest
    threads.run(step.kernel, step.units, x.size, scratch, *step.sizes, *outputs, x, *rest)
