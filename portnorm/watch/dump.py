"""The calls in a dump of msprobe, as if a watch had seen them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from portnorm.readers import Dump, DumpedCall, DumpedTensor, UnreadableError, held_dtype, whole
from portnorm.semantics import L2NORMALIZE, NORMALIZE
from portnorm.terminal import Progress
from portnorm.watch import Watch
from portnorm.watch.arrays import norms_of_array
from portnorm.watch.log import describe_at
from portnorm.watch.records import FUNCTIONS, MINT, Call, Norms

_PARAMETERS = {
    "normalize": (("p", 2.0), ("dim", NORMALIZE.axis), ("eps", NORMALIZE.eps)),
    "l2_normalize": (("axis", L2NORMALIZE.axis), ("epsilon", L2NORMALIZE.eps)),
}
_NAMES = {"Functional.normalize": NORMALIZE.name, "MintFunctional.normalize": MINT}
_OPERATOR = ".L2Normalize"

Attributes = Callable[[DumpedCall], "tuple[int, float] | None"]
"""Finds the axis and the epsilon of a call of L2Normalize, which msprobe does not keep."""


def function_of(call: DumpedCall) -> str:
    """Return the watched function of a forward call, one of `FUNCTIONS`; "" for any other."""
    if not call.is_forward or not call.arguments or not isinstance(call.arguments[0], DumpedTensor):
        return ""
    if call.function.endswith(_OPERATOR):
        return L2NORMALIZE.name
    name = _NAMES.get(call.function, call.function)
    return name if name in FUNCTIONS else ""


def watch_dump(dump: Dump, attributes: Attributes, progress: Progress) -> Watch:
    """Return the watch that a program would have had whose dump this is.

    Args:
        dump: of the program.
        attributes: see `Attributes`.
        progress: called with what is being done, how many calls are done, and of how many.
    """
    watched = Watch([])
    unknown: list[str] = []
    for rank, call in enumerate(dump.calls):
        progress("calls", rank, len(dump.calls))
        function = function_of(call)
        if function and not _add(watched, dump, call, function, attributes):
            unknown.append(call.name)
    watched.not_seen = tuple(_not_seen(unknown))
    return watched


def _not_seen(unknown: list[str]) -> Iterator[str]:
    yield "what the dump does not hold, such as calls in compiled graphs and other steps"
    for name in unknown:
        yield f"{name}: msprobe keeps no axis of it, and its tensors do not tell"


def _add(
    watched: Watch, dump: Dump, call: DumpedCall, function: str, attributes: Attributes
) -> bool:
    """Count a call; return whether its arguments are known."""
    x: DumpedTensor = call.arguments[0]
    if function == L2NORMALIZE.name:
        found = attributes(call)
        if found is None:
            return False
        given: tuple[Any, Any, Any] = 2.0, (found[0],), found[1]
    else:
        given = _given(call, function)
    described = describe_at((call.file, call.line), function, x.dtype, len(x.shape), *given)
    watched.add(described, x, lambda tensor, one: _norms(dump, tensor, one))
    return True


def _given(call: DumpedCall, function: str) -> tuple[Any, Any, Any]:
    """Return p, dim and eps of a call with the arguments of one of the two functions."""
    name = "normalize" if FUNCTIONS[function] is NORMALIZE else "l2_normalize"
    found = dict(_PARAMETERS[name])
    found.update(zip(found, call.arguments[1:], strict=False))
    found.update({key: value for key, value in call.keywords.items() if key in found})
    if name == "normalize":
        return found["p"], found["dim"], found["eps"]
    return 2.0, found["axis"], found["epsilon"]


def _norms(dump: Dump, x: DumpedTensor, call: Call) -> Norms | None:
    """Return the norms of a tensor; None where its values were not kept."""
    if not x.key:
        return None
    with dump.open(x.key) as source:
        if source.shape != x.shape:
            raise UnreadableError(f"{source.name}: expected shape {x.shape}, found {source.shape}")
        return norms_of_array(source.read(whole(source), held_dtype(source.dtype)), call)
