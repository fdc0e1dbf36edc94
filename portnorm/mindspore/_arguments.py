"""What a call is given, looked at in Python: also while a graph is compiled, as constants."""

from __future__ import annotations

import functools
from typing import Any, NoReturn

from mindspore import Tensor, context, ops

from portnorm import observe, semantics
from portnorm.errors import PortnormError

try:
    from mindspore.graph.api import _pynative_executor
except ImportError:  # before MindSpore 2.9
    from mindspore.common.api import _pynative_executor


pynative_executor: Any = _pynative_executor


class Constant(ops.PrimitiveWithInfer):  # type: ignore[misc]
    """Inferred by the graph compiler it is a constant; what it is when called, a subclass says."""

    in_graphs: bool

    def __init__(self) -> None:
        super().__init__(f"portnorm{type(self).__name__.lower()}")
        self.set_const_prim(True)
        self.add_prim_attr("constexpr_prim", True)

    def __infer__(self) -> dict[str, Any]:
        return {"dtype": None, "shape": None, "value": self.in_graphs}


class _Compiling(Constant):
    in_graphs = True

    def __call__(self) -> bool:
        return False


class _Observed(Constant):
    """Whether anybody is to be told of calls; of those in graphs nobody is."""

    in_graphs = False

    def __call__(self) -> bool:
        return bool(observe.observers)


compiling = _Compiling()
observed = _Observed()


def records_gradient() -> bool:
    """Return whether what is computed now, in PyNative, may be differentiated."""
    return bool(pynative_executor.requires_grad())


def target() -> str:
    """Return the device, as `mindspore.get_context` does, which takes longer than all checks."""
    return str(context._context().get_param(context.ms_ctx_param.device_target))


@functools.lru_cache(maxsize=64)
def dtype_name(dtype: Any) -> str:
    return str(dtype).lower()


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def tell(function: str, x: Any, p: Any, dim: Any, eps: Any) -> None:
    observe.tell(function, x, p, dim, eps)


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def raise_no_tensor(value: Any) -> NoReturn:
    raise semantics.input_is_no_tensor(value, "mindspore")


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def raise_no_l2_tensor(value: Any) -> NoReturn:
    raise semantics.l2_normalize_input_is_no_tensor(value, "mindspore")


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def item(value: Any, name: str, compiling: bool) -> Any:
    if compiling:
        raise PortnormError(
            f"normalize(): {name} must be a Python number in a compiled graph, not a tensor"
        )
    return value.item() if value.ndim == 0 else value


@ops.constexpr(reuse_result=False, check=False)  # type: ignore[untyped-decorator]
def check_out(input: Any, out: Any, compiling: bool) -> None:
    """Apply torch's rules for out=, and the one that a graph adds."""
    if compiling:
        raise PortnormError(
            "normalize(): out= cannot be filled in place in a compiled graph; "
            "use the returned tensor"
        )
    if not isinstance(out, Tensor):
        raise semantics.out_is_no_tensor(out)
    semantics.check_out_dtype(dtype_name(input.dtype), dtype_name(out.dtype))
    if records_gradient() and any(
        getattr(tensor, "_requires_grad", True) for tensor in (input, out)
    ):
        raise RuntimeError(semantics.OUT_WITH_GRADIENT)
