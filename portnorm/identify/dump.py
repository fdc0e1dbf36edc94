"""The calls in a dump of msprobe, whose tensors tell what was computed."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from portnorm.identify.search import identify
from portnorm.readers import Arrays, Dump, DumpedCall, DumpedTensor, UnreadableError, whole

_FORM = "max_sum"
"""That of L2Normalize."""


class Tensors(NamedTuple):
    """What `identify` takes: the input, the output or gradient, and for that the cotangent."""

    x: NDArray[Any]
    y: NDArray[Any]
    cotangent: NDArray[Any] | None


def read(arrays: Arrays, key: str) -> NDArray[Any]:
    """Return all of an array; bfloat16 comes as float32, which holds it exactly."""
    with arrays.open(key) as source:
        return source.read(whole(source), "float32" if source.dtype == "bfloat16" else source.dtype)


def tensors_of(dump: Dump, call: DumpedCall) -> Tensors:
    """Return the tensors of a call, forward or backward.

    Raises:
        UnreadableError: the dump did not keep them, or not the gradient of the input.
    """
    given = _first_tensor(dump, call, call.arguments, "input")
    if call.is_forward:
        return Tensors(given, _first_tensor(dump, call, call.outputs, "output"), None)
    if len(call.outputs) != 1:
        raise UnreadableError(
            f"{dump.path}[{call.name}]: expected one gradient, found {len(call.outputs)}: they are "
            "those of the last operation inside the function, not of its input"
        )
    name = call.name.removesuffix("backward") + "forward"
    forward = next((one for one in dump.calls if one.name == name), None)
    if forward is None:
        raise UnreadableError(f"{dump.path}[{call.name}]: expected its call {name} in the dump")
    x = _first_tensor(dump, forward, forward.arguments, "input")
    return Tensors(x, _first_tensor(dump, call, call.outputs, "gradient"), given)


def _first_tensor(dump: Dump, call: DumpedCall, values: tuple[Any, ...], what: str) -> NDArray[Any]:
    for value in values:
        if isinstance(value, DumpedTensor):
            if value.key:
                return read(dump, value.key)
            raise UnreadableError(
                f"{dump.path}[{call.name}]: expected the values of its {what}; let msprobe dump "
                'with "task": "tensor"'
            )
    raise UnreadableError(f"{dump.path}[{call.name}]: expected a tensor as {what}, found none")


def attributes_of(dump: Dump, call: DumpedCall) -> tuple[int, float] | None:
    """Return the axis and the epsilon that the tensors of a call of L2Normalize imply.

    None where they were not kept, or where they do not tell one axis.
    """
    try:
        found = identify(*tensors_of(dump, call)[:2])
    except (TypeError, UnreadableError, ValueError):
        return None
    fits = [one.candidate for one in found.explanations if one.candidate.form.name == _FORM]
    axes = {one.layout.axes for one in fits}
    if len(axes) != 1 or len(fits[0].layout.axes) != 1:
        return None
    return fits[0].layout.axes[0], fits[0].e
