"""The calls in a dump of msprobe, whose tensors tell what was computed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from portnorm.identify.attempts import identify
from portnorm.readers import Dump, DumpedCall, DumpedTensor, Source, UnreadableError

_FORM = "max_sum"
"""That of L2Normalize."""


class Tensors(NamedTuple):
    """What `identify` takes: the input, the output or gradient, and for that the cotangent."""

    x: Source
    y: Source
    cotangent: Source | None


@contextlib.contextmanager
def open_tensors(dump: Dump, call: DumpedCall) -> Iterator[Tensors]:
    """Open the tensors of a call, forward or backward.

    Raises:
        UnreadableError: the dump did not keep them, or not the gradient of the input.
    """
    names = _names(dump, call)
    with contextlib.ExitStack() as stack:
        x, y, *g = (stack.enter_context(dump.open(name)) for name in names)
        yield Tensors(x, y, g[0] if g else None)


def _names(dump: Dump, call: DumpedCall) -> Iterator[str]:
    """Yield the names of the input, of the output or gradient, and of the cotangent."""
    if call.is_forward:
        yield _first_tensor(dump, call, call.arguments, "input")
        yield _first_tensor(dump, call, call.outputs, "output")
        return
    if len(call.outputs) != 1:
        raise UnreadableError(
            f"{dump.path}[{call.name}]: expected one gradient, found {len(call.outputs)}: they are "
            "those of the last operation inside the function, not of its input"
        )
    name = call.name.removesuffix("backward") + "forward"
    forward = next((one for one in dump.calls if one.name == name), None)
    if forward is None:
        raise UnreadableError(f"{dump.path}[{call.name}]: expected its call {name} in the dump")
    yield _first_tensor(dump, forward, forward.arguments, "input")
    yield _first_tensor(dump, call, call.outputs, "gradient")
    yield _first_tensor(dump, call, call.arguments, "cotangent")


def _first_tensor(dump: Dump, call: DumpedCall, values: tuple[Any, ...], what: str) -> str:
    for value in values:
        if isinstance(value, DumpedTensor):
            if value.key:
                return value.key
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
        with open_tensors(dump, call) as (x, y, _):
            found = identify(x, y)
    except (TypeError, UnreadableError, ValueError):
        return None
    fits = [one.candidate for one in found.explanations if one.candidate.form.name == _FORM]
    axes = {one.layout.axes for one in fits}
    if len(axes) != 1 or len(fits[0].layout.axes) != 1:
        return None
    return fits[0].layout.axes[0], fits[0].e
