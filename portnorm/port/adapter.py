"""The call goes to portnorm's adapter, which has the signature of the function."""

from __future__ import annotations

from portnorm.port.rewrite import Refused, Rewrite, Target
from portnorm.source.edits import Edit
from portnorm.source.names import PARAMETERS, Module, Use, bind

_ADAPTERS = {"normalize": "normalize", "l2_normalize": "L2Normalize"}


def rewrite(module: Module, use: Use, to: Target, unsafe: bool) -> Rewrite | Refused:
    """Put the adapter's name where the function's was; arguments stay as they are."""
    given = bind(use.call, PARAMETERS[use.function]).arguments if use.call is not None else {}
    if "out" in given and not unsafe:
        return Refused("PN205", "out= works in PyNative mode only (rewritten with --unsafe)")
    name = f"portnorm.{to}"
    if module.means_something_else("portnorm"):
        return Refused("PN203", "the name portnorm means something else in this module")
    node = use.node
    if use.cached and use.call is not None:
        node = use.call.func  # `_get_cache_prim` is for operators of MindSpore
    edit = Edit(*module.syntax.span(node), f"{name}.{_ADAPTERS[use.function]}")
    return Rewrite((edit,), (name,), gone=(node,))
