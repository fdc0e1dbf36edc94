"""What becomes of watched calls when they are ported with the other function's default."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from portnorm import semantics
from portnorm.semantics import L2NORMALIZE, NORMALIZE
from portnorm.text import counted, literal
from portnorm.watch.records import FUNCTIONS, MINT, Record

_PLACE = {"torch": "mindspore", "mindspore": "torch"}


class Port(NamedTuple):
    """What to know before a call is ported.

    Attributes:
        status: "at risk"; "agrees": on what was seen, the other function with its default eps
            gives the same numbers; "unknown": no values were seen; "portable": it is a call of
            portnorm, which the other framework has, too.
        reasons: why, a few words each.
        argument: the eps or epsilon that puts the other function's floor where this one's is, as
            source code; "" where there is none.
        use: the call of portnorm that gives the same numbers on the other framework.
    """

    status: str
    reasons: tuple[str, ...]
    argument: str
    use: str


def port(record: Record) -> Port:
    """Say what becomes of the calls of a record on the other framework."""
    package, _, name = record.call.function.rpartition(".")
    if package.startswith("portnorm."):
        other = f"portnorm.{_PLACE[package.removeprefix('portnorm.')]}"
        return Port("portable", (), "", f"{other}.{name}(x, {_given(record)})")
    reasons = (*_refusals(record), *_differences(record))
    status = "at risk" if reasons else "agrees" if record.vectors else "unknown"
    return Port(status, reasons, _argument(record), _use(record))


# --- the call -------------------------------------------------------------------------------------


def _is_normalize(record: Record) -> bool:
    return FUNCTIONS[record.call.function] is NORMALIZE


def _use(record: Record) -> str:
    if _is_normalize(record):
        to = "torch" if record.call.function == MINT else "mindspore"
        return f"portnorm.{to}.normalize(x, {_given(record)})"
    return f"portnorm.torch.L2Normalize({_given(record)})(x)"


def _given(record: Record) -> str:
    """Return the arguments of a call as source code."""
    call, p = record.call, []
    if _is_normalize(record):
        names, defaults = ("dim", "eps"), NORMALIZE
        p = [f"p={literal(call.p)}"] if call.p not in (2, None) else []
    else:
        names, defaults = ("axis", "epsilon"), L2NORMALIZE
    eps = [f"{names[1]}={literal(call.eps)}"] if call.eps != defaults.eps else []
    return ", ".join([*p, f"{names[0]}={dim_as_source(call.dim)}", *eps])


def dim_as_source(dim: Any) -> str:
    """Return dim or axis as source code."""
    return str(dim[0]) if isinstance(dim, tuple) and len(dim) == 1 else repr(dim)


def _argument(record: Record) -> str:
    """Return the argument that puts the floor of the other function where this one's is."""
    if record.floors is None:
        return ""
    if not _is_normalize(record):
        return f"eps={record.floors[1]:.6g}"
    epsilon = record.floors[0] ** 2
    if record.call.dtype not in L2NORMALIZE.dtypes or epsilon == 0:
        return ""
    try:
        semantics.round_epsilon(epsilon, record.call.dtype)
    except RuntimeError:
        return ""
    return f"epsilon={epsilon:.6g}"


def confused(record: Record) -> bool:
    """Return whether MindSpore may take the epsilon of another call for that of `argument`."""
    if not _is_normalize(record) or record.floors is None:
        return False
    return record.floors[0] ** 2 <= semantics.LARGEST_CONFUSED_EPSILON


# --- reasons --------------------------------------------------------------------------------------


def _refusals(record: Record) -> Iterator[str]:
    """Yield what the other function does not do at all."""
    call = record.call
    if not _is_normalize(record):
        return
    order = semantics.normalize_order(call.p, call.ndim, call.dim)
    if order != 2:
        yield f"L2Normalize has p=2 only, not {call.p}"
    dims = semantics.normalize_dims(call.dim, call.ndim)
    if len(dims) != 1:
        yield f"L2Normalize takes one axis, not {len(dims)}"
    if call.dtype not in L2NORMALIZE.dtypes:
        yield f"L2Normalize does not take {call.dtype}"


def _differences(record: Record) -> Iterator[str]:
    """Yield how values or gradients of the vectors that were seen differ."""
    if record.floors is None:
        yield "eps is no number, so no norm was compared with it"
        return
    counts = record.counts
    seen = {name: counted(count, "vector") for name, count in counts.items()}
    low, high = sorted(record.floors)
    if counts["between"]:
        yield (f"{seen['between']} between the floors {low:.3g} and {high:.3g}: values differ")
    if counts["below_both"]:
        same = math.isclose(low, high, rel_tol=1e-6)
        what = "gradients" if same else "values"
        yield f"{seen['below_both']} below both floors: {what} differ"
    if counts["zero"]:
        what = "gradients" if record.floors[0] else "values (NaN in torch)"
        yield f"{seen['zero']} zero: {what} differ"
    if counts["not_finite"]:
        yield f"{seen['not_finite']} not finite: L2Normalize takes NaN for epsilon"
    if record.call.dtype == "float16" and (record.maximum or 0) ** 2 > _LARGEST_HALF:
        yield f"norms up to {record.maximum:.3g}: L2Normalize's sum of squares overflows"


_LARGEST_HALF = semantics.LARGEST["float16"]
