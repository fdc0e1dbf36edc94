"""What the rules see of a module: the calls of the two functions, and what is given to them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from portnorm.check.values import Values
from portnorm.conventions import FORMS, Convention
from portnorm.semantics import L2NORMALIZE, NORMALIZE
from portnorm.source.by_hand import ByHand, by_hand
from portnorm.source.names import (
    PARAMETERS,
    Argument,
    Bound,
    Function,
    Module,
    Use,
    arguments,
    bind,
    last_name,
)

ADAPTERS: dict[str, Function] = {
    "portnorm.torch.normalize": "normalize",
    "portnorm.mindspore.normalize": "normalize",
    "portnorm.torch.L2Normalize": "l2_normalize",
    "portnorm.mindspore.L2Normalize": "l2_normalize",
}
"""portnorm's own of the two. They do as they are asked, so that few rules concern them."""


@dataclass(frozen=True)
class Site:
    """A call of one of the functions; of L2Normalize, the call that constructs it.

    Attributes:
        use: where it is named.
        call: the call.
        bound: its arguments.
        native: whether it is the framework's own, and not portnorm's.
    """

    use: Use
    call: ast.Call
    bound: Bound
    native: bool

    def given(self, name: str) -> ast.expr | None:
        """Return the argument for a parameter, None where it is left out."""
        argument = self.bound.arguments.get(name)
        return None if argument is None else argument.value

    @property
    def keywords(self) -> dict[str, Argument]:
        """All that is given by keyword, also what there is no parameter for."""
        return keywords(self.call)

    def leaves_out(self, name: str) -> bool:
        """Return whether an argument is certainly left at its default."""
        return not self.bound.problem and name not in self.bound.arguments


def keywords(call: ast.Call) -> dict[str, Argument]:
    """Return the arguments of a call that are given by keyword."""
    return {one.keyword: one for one in arguments(call) if one.keyword is not None}


class Normalization(NamedTuple):
    """One place that divides vectors by their norm: in which form, and in which line."""

    convention: Convention
    line: int


class View:
    """A module as the rules see it.

    Attributes:
        module: with its names resolved.
        values: what can be told of the values of its expressions.
        original: where the module that this one was ported from divides by norms, if it is given.
    """

    def __init__(self, module: Module, original: Sequence[Normalization] = ()) -> None:
        self.module = module
        self.values = Values(module)
        self.original = original

    @functools.cached_property
    def by_hand(self) -> list[ByHand]:
        """Where normalization is written by hand."""
        return [*by_hand(self.values)]

    @functools.cached_property
    def normalizations(self) -> list[tuple[ast.expr | ast.stmt, Normalization]]:
        """The places that divide vectors by their 2-norms, by calls and by hand, in their order."""
        calls = [(self._convention(site), site.call) for site in self.normalizes]
        calls += [(self._convention(site), site.call) for site in self.working_constructors]
        found: list[tuple[Convention | None, ast.expr | ast.stmt]] = [*calls]
        found += [(one.convention, one.node) for one in self.by_hand]
        span, start = self.module.syntax.span, self.module.syntax.start
        places = [(node, Normalization(c, span(node)[0][0])) for c, node in found if c is not None]
        return sorted(places, key=lambda place: start(place[0]))

    def _convention(self, site: Site) -> Convention | None:
        """Return the form of a call; None for another p, or where arguments are not known."""
        function = NORMALIZE if site.use.function == "normalize" else L2NORMALIZE
        form = FORMS["max_norm" if function is NORMALIZE else "max_sum"]
        p = site.given("p")
        if site.bound.problem or (p is not None and self.values.number(p) != 2):
            return None
        given = site.given(function.parameters[-1 if function is L2NORMALIZE else -2])
        e = function.eps if given is None else self.values.number(given)
        if given is not None and e is None:
            return Convention(form, ast.unparse(given))
        return Convention(FORMS["norm"]) if not e else Convention(form, float(e))

    @functools.cached_property
    def constructors(self) -> list[Site]:
        """The constructors of L2Normalize, MindSpore's and portnorm's."""
        return [site for site in self._sites if site.use.function == "l2_normalize"]

    @functools.cached_property
    def working_constructors(self) -> list[Site]:
        """Those of MindSpore that raise no error; of others, other rules say so."""
        return [
            site
            for site in self.constructors
            if site.native and (site.bound.unknown or not site.bound.problem)
            if not self.is_given_a_tensor(site)
        ]

    @functools.cached_property
    def normalizes(self) -> list[Site]:
        """The calls of normalize, torch's and portnorm's."""
        return [site for site in self._sites if site.use.function == "normalize"]

    @functools.cached_property
    def _sites(self) -> list[Site]:
        native = [_site(use, use.call, True) for use in self.module.uses if use.call is not None]
        sites = [*native, *self._adapters()]
        return sorted(sites, key=lambda site: (site.use.line, site.use.column))

    def _adapters(self) -> Iterator[Site]:
        for call, origin in self.calls_of(ADAPTERS):
            (line, column), _ = self.module.syntax.span(call.func)
            use = Use(ADAPTERS[origin], call.func, call, origin, line, column)
            yield _site(use, call, False)

    def calls_of(self, names: Iterable[str]) -> Iterator[tuple[ast.Call, str]]:
        """Yield the calls of functions, for each with what it is called in full."""
        wanted = frozenset(names)
        if not any(name.partition(".")[0] in self.module.text for name in wanted):
            return
        last = {name.rpartition(".")[2] for name in wanted}
        last |= {new for new, old in self._renamed if old in last}
        for call in self.module.syntax.all_of(ast.Call):
            if last_name(call.func) in last:
                names = self.module.qualified(call.func)
                if len(names) == 1 and names <= wanted:
                    yield call, names.pop()

    @functools.cached_property
    def _renamed(self) -> set[tuple[str, str]]:
        """The names that imports bind, each with the last of what it is called elsewhere."""
        imports = self.module.scopes.imports
        return {(binding.path, binding.origin.rpartition(".")[2]) for binding in imports}

    @property
    def bases(self) -> list[ast.expr]:
        """What the classes of the module derive from."""
        return [base for node in self.module.syntax.all_of(ast.ClassDef) for base in node.bases]

    def is_given_a_tensor(self, site: Site) -> bool:
        """Return whether what a constructor gets first is a tensor rather than an axis.

        It is where the axis is given once more, by keyword, or where it is plain from how it is
        made or used; never where the object is called later, for then it does have an axis.
        """
        first = next(iter(arguments(site.call)), None)
        if first is None or first.keyword is not None or first.star:
            return False
        if {"axis", "dim"} & site.keywords.keys():
            return True
        if self.module.applications(site.use):
            return False
        return self.values.is_tensor(first.value)


def _site(use: Use, call: ast.Call, native: bool) -> Site:
    parameters = PARAMETERS[use.function] + (() if native else ("parity",))
    return Site(use, call, bind(call, parameters), native)
