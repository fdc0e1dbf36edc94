"""`torch.nn.functional.normalize` and its vector-Jacobian product, bit for bit, on NumPy arrays.

    norm = vector_norm(x, p, dim)               rounded to the dtype
    d    = eps if norm < eps else norm          a NaN norm stays NaN
    y    = x / d

What a call does: arguments are checked and turned into a plan, once for each layout; the plan says
in which order elements are visited and what the rules of the build make of them; the kernels in
`torch_kernels` do the work. Source of the rules: measured on torch 2.0 to 2.15, see
`portnorm.reference`.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np

from portnorm import semantics
from portnorm.exact import torch_kernels as kernels
from portnorm.exact.machine import threads
from portnorm.exact.machine.arrays import NAMES, Array, Empty, check, empty, laid_out, memory
from portnorm.exact.torch_cascade import SUM_BLOCK
from portnorm.exact.torch_gradient import fill_gradient, gradient_layout
from portnorm.exact.torch_plans import (
    LONG_ROW,
    Plan,
    SumPlan,
    check_arguments,
    plan_for,
    sum_plan,
)
from portnorm.reference import TorchReference, TorchRules


def normalize(
    x: Array,
    p: Any = 2.0,
    dim: Any = 1,
    eps: Any = 1e-12,
    reference: TorchReference | None = None,
    new: Empty | None = None,
) -> Array:
    """Return the bits of `torch.nn.functional.normalize` on a CPU.

    Args:
        x: array of any shape and of any strides that a tensor can have: float16, float32,
            float64, or uint16 for the bits of bfloat16.
        p: order of the norm. Orders other than 0, 1, 2, inf and -inf need glibc.
        dim: an int, a tuple or list of ints, or None or () for all dims.
        eps: lower bound of the norm, rounded to the dtype.
        reference: the build of torch; None is ``TorchReference()``.
        new: makes the array that is returned, of a shape, strides in elements (None where they
            are those of a C array), and a dtype; None for ``numpy.empty``.

    Returns:
        Array of the shape and dtype of ``x``, in the layout that torch gives the result.

    Raises:
        IndexError, NotImplementedError, RuntimeError, TypeError: what torch raises for the same
            arguments.
        ValueError: strides or a byte order that no tensor has.
        StrictParityError: the bits cannot be promised.

    >>> import numpy as np
    >>> normalize(np.array([[3, 4]], np.float32))
    array([[0.6, 0.8]], dtype=float32)
    """
    reference = reference or _DEFAULT_REFERENCE
    plan = _plan_of(x, p, dim, eps, reference)
    new = new or empty
    y = (new if plan.copy_strides is None else empty)(x.shape, plan.y_strides, x.dtype)
    if x.size == 0:
        return y
    if plan.units < threads.cores() and x.size >= threads.SMALLEST_WORK:
        divide(memory(y), memory(x), _norms(memory(x), plan), plan)
    else:
        _divide_or_norm(memory(x), plan, memory(y), _NO_NORMS[plan.scratch[1]])
    return y if plan.copy_strides is None else laid_out(y, plan.copy_strides, new)


def _plan_of(x: Array, p: Any, dim: Any, eps: Any, reference: TorchReference) -> Plan:
    check(x)
    rules = _rules_of(reference)
    dtype = NAMES.get(x.dtype.char) or refuse_dtype(x, rules.integer_error)
    if type(dim) is not int or type(p) not in _NUMBERS or type(eps) not in _NUMBERS:
        # Keys of the cache must not compare equal where they mean different things, as True and 1.
        arguments = check_arguments(x.shape, dtype, p, dim, eps, rules)
        dim = arguments.dims if x.ndim else semantics.dim_of_scalar(dim)
        p, eps = arguments.p, float(eps)
    # Rules are compared by identity, which takes less time than comparing references.
    return plan_for(x.shape, x.strides, dtype, p, dim, eps, rules, reference.threads)


def _rules_of(reference: TorchReference) -> TorchRules:
    rules = reference.rules
    if isinstance(rules, TorchRules):
        return rules
    raise ValueError("the reference is a CUDA device, whose bits portnorm.exact.torch_cuda has")


def refuse_dtype(x: Array, integer_error: str) -> NoReturn:
    """Refuse an array of another dtype; `integer_error` is the type of torch's error for ints."""
    if x.dtype.kind == "c":
        raise semantics.dtype_is_not_promised(x.dtype)
    try:
        semantics.normalize_arguments(x.shape, x.dtype.name, 2.0, None, 1e-12)
    except RuntimeError as error:
        if integer_error == "NotImplementedError":
            raise NotImplementedError(str(error)) from None
        raise
    raise TypeError(f"unsupported dtype {x.dtype}")


def divide(y: Array, x: Array, norms: Array, plan: Any) -> None:
    """Divide memory by norms that are known, which several cores can where only one can sum.

    Args:
        y: memory of the result.
        x: memory of the input.
        norms: what the vectors are divided by, or eps.
        plan: of this module or of `torch_cuda`: what has ``elements``, ``rows`` and ``eps``.
    """
    scratch = kernels.DIVIDE_ROWS * LONG_ROW, norms.dtype
    arguments = LONG_ROW, y, x, norms, plan.elements, plan.eps
    threads.run(kernels.divide_elements, plan.rows, len(x), scratch, *arguments)


def _norms(x: Array, plan: Plan) -> Array:
    """Return the norms of memory."""
    norms = np.empty(plan.norms, plan.scratch[1])
    _divide_or_norm(x, plan, None, norms)
    return norms


def _divide_or_norm(x: Array, plan: Plan, y: Array | None, norms: Array) -> None:
    """Write the quotients to y, or, where there is none, the norms."""
    outputs = x if y is None else y, norms, y is not None
    threads.run(plan.kernel, plan.units, x.size, plan.scratch, *plan.sizes, *outputs, x, *plan.rest)


_NO_NORMS = {kind: np.empty(0, kind) for kind in (np.float32, np.float64)}


_DEFAULT_REFERENCE = TorchReference()
_NUMBERS = (float, int)


def normalize_vjp(
    x: Array,
    g: Array,
    p: Any = 2.0,
    dim: Any = 1,
    eps: Any = 1e-12,
    reference: TorchReference | None = None,
    new: Empty | None = None,
) -> Array:
    """Return the bits of the gradient that torch computes for `normalize` on a CPU.

    Args:
        x: as for `normalize`.
        g: the cotangent, of the shape and dtype of ``x``; its strides matter to the bits, too.
        p: 0, 1, 2, inf or -inf.
        dim: as for `normalize`.
        eps: as for `normalize`.
        reference: as for `normalize`.
        new: as for `normalize`.

    Returns:
        Array of the shape and dtype of ``x``, in the layout that torch gives the gradient.

    Raises:
        IndexError, NotImplementedError, RuntimeError, TypeError: what torch raises for the same
            arguments.
        ValueError: strides or a byte order that no tensor has, or another shape or dtype of g.
        StrictParityError: the bits cannot be promised.

    >>> import numpy as np
    >>> x, g = np.array([[3, 4]], np.float32), np.array([[1, 0]], np.float32)
    >>> normalize_vjp(x, g)
    array([[ 0.12799999, -0.09600001]], dtype=float32)
    """
    reference = reference or _DEFAULT_REFERENCE
    check_cotangent(x, g)
    plan = _plan_of(x, p, dim, eps, reference)
    if plan.p not in semantics.GRADIENT_ORDERS:
        raise semantics.gradient_is_not_promised(plan.p)
    dtype, rules = NAMES[x.dtype.char], _rules_of(reference)
    layout = gradient_layout(x.shape, x.strides, g.strides, dtype, plan.dims, plan.p)
    sums = sum_plan(x.shape, layout.weighted, plan.dims, dtype, rules, reference.threads)
    gradient = (new or empty)(x.shape, layout.strides, x.dtype)
    if x.size:
        mine = memory(x)
        given = memory(gradient), mine, memory(g), _norms(mine, plan), layout, plan.p, plan.eps
        builds = rules.gradient_passes_at_floor, rules.rounds_single_count
        fill_gradient(*given, *builds, lambda into, of: _fill_sums(into, of, sums))
    return gradient


def check_cotangent(x: Array, g: Array) -> None:
    """Refuse what is no cotangent of x.

    Raises:
        ValueError: another shape or dtype, or what no tensor is.
    """
    if g.shape != x.shape or g.dtype != x.dtype:
        raise ValueError(
            f"expected a cotangent of shape {x.shape} and dtype {x.dtype}, "
            f"not {g.shape} and {g.dtype}"
        )
    check(g)


def _fill_sums(sums: Array, weighted: Array, plan: SumPlan) -> None:
    scratch = kernels.SUM_ROWS * SUM_BLOCK + plan.threads, sums.dtype
    if len(plan.reduced) == 0:
        kernels.copy_to_sums(sums, weighted, plan.tables[1], plan.from_zero)
    elif plan.blocks is not None:
        units = math.prod(plan.kept[1:, 0].tolist()) * len(plan.blocks)
        kernel = kernels.fill_sums(plan.order, plan.lanes, plan.paired)
        arguments = sums, weighted, *plan.tables, plan.blocks.reshape(-1), len(plan.blocks)
        threads.run(kernel, units, weighted.size, scratch, *arguments)
    else:
        kernel = kernels.fill_sums_of_several_dims(plan.lanes, plan.paired, plan.in_steps)
        given = sums, weighted, *plan.tables, plan.chunk, plan.threads
        threads.run(kernel, len(sums), weighted.size, scratch, *given)
