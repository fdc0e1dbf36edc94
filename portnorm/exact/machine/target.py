"""What Numba knows where it compiles kernels: numbers, tuples, ranges, arrays, `instruction`s.

For functions of a user Numba makes ready all that it can compile, and of other packages what they
offer it, SciPy's linear algebra among that. It takes longer than compiling a kernel. A target of
their own also keeps kernels from what other packages teach Numba, and those from our instructions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import types
from numba.core.compiler import CompilerBase
from numba.core.cpu import CPUContext, CPUTargetOptions
from numba.core.descriptors import TargetDescriptor
from numba.core.dispatcher import Dispatcher
from numba.core.imputils import Registry as Implementations
from numba.core.typing import templates
from numba.core.typing.context import BaseContext

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OPTIONS = {
    "nopython": True,
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}
"""No lock of the interpreter is held, arithmetic is that of IEEE 754, division by zero too, and
no references are counted: a kernel makes no arrays, and its caller holds those that it gets. C
does not call it."""

_signatures = templates.Registry()
_implementations = Implementations("portnorm")


class _Types(BaseContext):
    """Which types operations take and return."""

    def refresh(self) -> None:
        self.install_registry(_signatures_of_numba())
        self.install_registry(_signatures)


@functools.cache
def _signatures_of_numba() -> templates.Registry:
    """Return what Numba has for numbers, tuples, ranges and arrays."""
    from numba.core.typing import arraydecl  # noqa: F401
    from numba.cpython import builtins, numbers, rangeobj, tupleobj  # noqa: F401
    from numba.np import arrayobj  # noqa: F401

    known, own = templates.builtin_registry, templates.Registry()
    for kind in ("functions", "attributes"):
        getattr(own, kind).extend(_not_in_python(getattr(known, kind)))
    own.globals += known.globals
    return own


def _not_in_python(found: list[Any]) -> list[Any]:
    """Leave out what Numba would make all of itself ready for: functions of Python, to compile."""
    return [template for template in found if "metadata" not in vars(template)]


class _Code(CPUContext):
    """The instructions of operations."""

    def load_additional_registries(self) -> None:
        from numba.cpython import mathimpl

        self.install_registry(mathimpl.registry)
        self.install_registry(_implementations)

    def post_lowering(self, mod: Any, library: Any) -> None:
        """Add nothing: Numba would link its counting of references."""


class _Target(TargetDescriptor):
    options = CPUTargetOptions

    @functools.cached_property
    def typing_context(self) -> _Types:
        return _Types()

    @functools.cached_property
    def target_context(self) -> _Code:
        return _Code(self.typing_context, "cpu")


class _Dispatcher(Dispatcher):
    targetdescr = _Target("cpu")


def compile_for_kernels(
    function: _Function, compiler: type[CompilerBase], **options: bool
) -> _Function:
    """Return a function that is compiled when it is called; where Numba is switched off, itself.

    Args:
        function: what it does.
        compiler: Numba's passes.
        options: more of Numba's options.
    """
    if numba.config.DISABLE_JIT:
        return function
    compiled = _Dispatcher(function, targetoptions=_OPTIONS | options, pipeline_class=compiler)
    return cast(_Function, compiled)


def instruction(function: Callable[..., Any]) -> Callable[[_Function], _Function]:
    """Let compiled code run generated instructions where Python calls `function`.

    The decorated function takes the types of the arguments. It returns the signature and what
    generates the instructions, from Numba's context, a builder and the values of the arguments; or
    None for types that it leaves to others.
    """

    def register(describe: _Function) -> _Function:
        def find_signature(template: Any) -> Callable[..., Any]:
            @functools.wraps(describe)
            def signature_for(*arguments: Any) -> Any:
                described = describe(*arguments)
                return described and described[0]

            return signature_for

        attributes = {"key": function, "generic": find_signature}
        template = type(function.__name__, (templates.CallableTemplate,), attributes)
        _signatures.register(template)
        _signatures.register_global(function, types.Function(template))

        @_implementations.lower(function, types.VarArg(types.Any))
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return describe(*signature.args)[1](context, builder, arguments)

        return describe

    return register
