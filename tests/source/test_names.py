"""What names mean: scopes as Python has them, places in the text, and arguments of calls."""

from __future__ import annotations

import ast
import builtins
import random
import symtable
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from portnorm.port import Target, port_source
from portnorm.source.names import (
    Module,
    NotPythonError,
    Syntax,
    argument_span,
    arguments,
    bind,
    dotted,
    parse,
)
from portnorm.source.names.scopes import Scopes

F = "import torch.nn.functional as F\n"

# --- scopes ---------------------------------------------------------------------------------------

LIBRARY = Path(ast.__file__).parent


def tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from tables(child)


def public(names: Iterable[str]) -> tuple[str, ...]:
    """Names without those that are private to a class, which symtable calls otherwise."""
    return tuple(sorted(name for name in names if not name.startswith(("_", "."))))


def locals_of_python(text: str) -> Counter[tuple[str, ...]]:
    """The names of all functions and classes, as Python has them."""
    found: Counter[tuple[str, ...]] = Counter()
    for table in tables(symtable.symtable(text, "module.py", "exec")):
        comprehension = table.get_name() in ("listcomp", "setcomp", "dictcomp", "genexpr")
        if table.get_type() in ("function", "class") and not comprehension:
            found[public(s.get_name() for s in table.get_symbols() if s.is_local())] += 1
    return found


def locals_of(text: str) -> Counter[tuple[str, ...]]:
    """The names of all functions and classes, as portnorm has them."""
    bindings = Scopes(Syntax(text)).bindings.values()
    scopes = {binding.variable.scope for same in bindings for binding in same}
    kept = [scope for scope in scopes if scope.kind in ("function", "class")]
    return Counter(public(scope.variables) for scope in kept)


def test_scopes_are_those_of_symtable(rng: np.random.Generator) -> None:
    draw = random.Random(int(rng.integers(2**32)))
    for path in draw.sample(sorted(LIBRARY.glob("*.py")), 12):
        text = path.read_text(encoding="utf-8")
        python, mine = locals_of_python(text), locals_of(text)
        del python[()], mine[()]
        assert mine == python, path


def test_a_scope_that_misses_a_name_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def f(a):\n    with a as b:\n        return b\n"
    assert locals_of(text) == locals_of_python(text)
    monkeypatch.setattr(Scopes, "_note_name", lambda *arguments: None)
    assert locals_of(text) != locals_of_python(text)


SCOPES = {
    # text -> whether its `normalize` is torch's
    F + "def f(x):\n    return F.normalize(x)\n": True,
    F + "class A:\n    F = 1\n    def f(self, x):\n        return F.normalize(x)\n": True,
    F + "class A:\n    F = 1\n    y = F.normalize(x)\n": False,
    F + "y = [F.normalize(x) for x in z]\n": True,
    F + "y = [F.normalize(x) for F in z]\n": False,
    F + "y = [x for x in F.normalize(z)]\n": True,
    F + "y = [x for F in F.normalize(z) for x in F]\n": True,
    F + "y = {F.normalize(k): v for k, v in z if k}\n": True,
    F + "y = {k: F.normalize(v) for k, F in z}\n": False,
    F + "f = lambda F: F.normalize(1)\n": False,
    F + "f = lambda x=F.normalize(1), F=2: x\n": True,
    F + "def f(F=F.normalize(x)): pass\n": True,
    F + "@g(F.normalize)\ndef f(F): pass\n": True,
    F + "@g(F.normalize)\nclass A:\n    F = 1\n": True,
    F + "class A(B, key=F.normalize):\n    F = 1\n": True,
    F + "def f(*F):\n    F.normalize(x)\n": False,
    F + "def f(**F):\n    F.normalize(x)\n": False,
    F + "def f(*, F):\n    F.normalize(x)\n": False,
    F + "def f(F, /):\n    F.normalize(x)\n": False,
    F + "def f() -> F.normalize: pass\n": True,
    F + "def f():\n    F = 1\n    def g():\n        F.normalize(x)\n": False,
    F + "def f():\n    for F in z:\n        F.normalize(x)\n": False,
    F + "def f():\n    with z as F:\n        F.normalize(x)\n": False,
    F + "def f():\n    try:\n        pass\n    except E as F:\n        F.normalize(x)\n": False,
    F + "def f():\n    import other as F\n    F.normalize(x)\n": False,
    F + "def f():\n    if (F := z):\n        F.normalize(x)\n": False,
    F + "def f():\n    [(F := z) for z in y]\n    F.normalize(x)\n": False,
    F + "def f():\n    match z:\n        case [F]:\n            F.normalize(x)\n": False,
    F + "def f():\n    match z:\n        case [*F]:\n            F.normalize(x)\n": False,
    F + "def f():\n    match z:\n        case {**F}:\n            F.normalize(x)\n": False,
    F + "def f():\n    def F(): pass\n    F.normalize(x)\n": False,
    F + "def f():\n    class F: pass\n    F.normalize(x)\n": False,
    F + "async def f():\n    async for F in z:\n        F.normalize(x)\n": False,
    F + "async def f():\n    async with z as F:\n        F.normalize(x)\n": False,
    F + "async def f(x):\n    return F.normalize(x)\n": True,
    "def f():\n    global F\n    import torch.nn.functional as F\nF.normalize(x)\n": True,
    "def f():\n    global F\n    import torch.nn.functional as F\n    F.normalize(x)\n": True,
    "def f():\n    F = 1\n    def g():\n        nonlocal F\n        F.normalize(x)\n" + F: False,
    "import torch\ndef f(torch):\n    return torch.nn.functional.normalize(x)\n": False,
    "import torch.nn.functional\ndef f(torch):\n    torch.nn.functional.normalize(x)\n": False,
    "import torch.nn.functional\ntorch = 1\ntorch.nn.functional.normalize(x)\n": True,
    "from torch import *\nimport torch.nn.functional as F\nF.normalize(x)\n": True,
    "from torch.nn.functional import normalize\ny = normalize(x)\nnormalize = 1\n": True,
    "from torch.nn.functional import normalize\nnormalize = normalize\n": True,
    "from torch.nn.functional import normalize\ndef f(x):\n    normalize = normalize(x)\n": True,
    "from torch.nn.functional import normalize\nfor normalize in normalize(x):\n    pass\n": False,
    F + "y = f(x)(F.normalize(x)).normalize(x)\n": True,
    F + "y = f'{F.normalize(x)} é {F.normalize(y):>{F.normalize(z)}}'\n": True,
}


@pytest.mark.parametrize("text", SCOPES)
def test_a_name_means_what_its_scope_binds(text: str) -> None:
    compile(text, "module.py", "exec")
    uses = Module(text).uses
    assert (len(uses) > 0) == SCOPES[text]
    assert all(text.splitlines()[use.line - 1][use.column - 1 :][:1] in "Fnt" for use in uses)


def test_a_name_that_may_be_several_things_is_told_with_all_of_them() -> None:
    text = (
        "def f(c):\n    if c:\n        from torch.nn.functional import normalize\n    else:\n"
        "        from other import normalize\n    return [normalize(x) for x in c]\n"
    )
    (one,) = Module(text).unresolved
    assert (one.code, one.message) == ("PN203", "it may also mean other.normalize here")
    for local, name in [
        ("normalize = 1", "f.<locals>.normalize"),
        ("def normalize(): pass", "f.<locals>.normalize"),
    ]:
        text = "def f():\n    from torch.nn.functional import normalize\n"
        text += f"    {local}\n    normalize()\n"
        (one,) = Module(text).unresolved
        assert one.message == f"it may also mean {name} here"


def test_builtins_and_unknown_names_have_no_origin() -> None:
    module = Module("y = float(x)\nz = unknown\nw = float.fromhex(x)\n")
    calls = sorted(module.syntax.all_of(ast.Call), key=lambda call: call.lineno)
    assert module.qualified(calls[0].func) == {".builtins.float"}
    assert module.qualified(calls[1].func) == set()
    assert {*map(str, dir(builtins))} >= {"float"}
    assert module.qualified(ast.Constant(1)) == set()


# --- places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", ["", "\t", "é = 'ü😀'; ", "\x0c", "'日本' + "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_places_count_characters(lead: str, end: str) -> None:
    indent = "if x:\n" if lead == "\t" else ""
    text = f"# ß{end}{indent}{lead}F.normalize('é', x)  # ö{end}z = 1{end}".replace("\n\n", "\n")
    syntax = Syntax(text)
    (call,) = syntax.all_of(ast.Call)
    line = 3 if indent else 2
    column = len(lead) + 1
    assert syntax.span(call) == ((line, column), (line, column + len("F.normalize('é', x)")))
    assert syntax.source(call) == "F.normalize('é', x)"
    assert syntax.line(line).startswith(f"{lead}F.")
    assert syntax.place(syntax.start(call)) == (line, column)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("x = 1\nprint 'x'\n", 2, 1, "Missing parentheses"),
        ("x = (\n", 1, 5, "never closed"),
        ("x = " + "(" * 3000 + ")" * 3000, 1, 205, "too many nested parentheses"),
        ("x = " + "[" * 3000 + "]" * 3000, 1, 205, "too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1", 1, 1, "nested too deeply"),
        ("x = 1\0", 1, 1, "null bytes"),
    ],
)
def test_what_the_parser_does_not_take_is_refused_at_once(
    text: str, line: int, column: int, words: str
) -> None:
    start = time.process_time()
    with pytest.raises(NotPythonError) as caught:
        parse(text)
    assert time.process_time() - start < 5
    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("type X = int", (3, 12)),
        ("def f[T](x: T): pass", (3, 12)),
        ("class A[T]: pass", (3, 12)),
        ("x = f'{a['b']}'", (3, 12)),
        ("x = t'{a}'", (3, 14)),
        ("try: pass\nexcept* E: pass", (3, 11)),
    ],
)
def test_the_version_that_newer_syntax_needs_is_named(line: str, version: tuple[int, int]) -> None:
    if sys.version_info >= version:
        ast.parse(line)
        return
    with pytest.raises(NotPythonError) as caught:
        parse(f"{line}\n")
    assert "it may need Python {}.{}".format(*version) in caught.value.message
    assert f"Python 3.{sys.version_info[1]} stops in this line" in caught.value.message


def test_a_plain_mistake_names_no_version() -> None:
    with pytest.raises(NotPythonError) as caught:
        parse("x = = 1\ny = f'{a}'\n")
    assert "may need" not in caught.value.message


# --- arguments ------------------------------------------------------------------------------------

CALLS = [
    "f(«x», «y»)",
    "f( «(x)» , «( (y) )» ,)",
    "(f)(  # a, (b\n  «x»  # c)\n , «y»)",
    "f(«(\n x # (,\n )», «k=(1)», «*(a)», «**b»)",
    "f(«x»)",
    "f(«(x,)», «(y for y in z)»)",
    "f[0]( «'é'», «(1)» \\\n)",
    "f(x)(«y»)",
]


@pytest.mark.parametrize("marked", CALLS)
def test_arguments_are_found_with_their_parentheses(marked: str) -> None:
    text = marked.replace("«", "").replace("»", "")
    syntax = Syntax(text)
    call = max(syntax.all_of(ast.Call), key=syntax.end)
    spans = [argument_span(syntax, call, n) for n in range(len(arguments(call)))]
    for start, end in sorted(spans, reverse=True):
        text = f"{text[:start]}«{text[start:end]}»{text[end:]}"
    assert text == marked


@pytest.mark.parametrize(
    ("call", "names", "problem", "unknown"),
    [
        ("f(1, b=2)", ["a", "b"], "", False),
        ("f(1, 2, 3)", ["a", "b"], "3 positional arguments", False),
        ("f(c=1)", [], "no parameter is called 'c'", False),
        ("f(1, a=2)", ["a"], "'a' is given twice", False),
        ("f(1, *b, a=2)", ["a"], "* hides arguments", True),
        ("f(b=1, **c)", ["b"], "** hides arguments", True),
    ],
)
def test_arguments_have_the_names_of_parameters(
    call: str, names: list[str], problem: str, unknown: bool
) -> None:
    (node,) = Syntax(call).all_of(ast.Call)
    bound = bind(node, ("a", "b"))
    assert (list(bound.arguments), bound.problem, bound.unknown) == (names, problem, unknown)


def test_only_names_are_dotted() -> None:
    for text, name in [("a.b", "a.b"), ("a().b", ""), ("a[0].b", ""), ("a", "a"), ("1", "")]:
        assert dotted(ast.parse(text, mode="eval").body) == name


# --- size -----------------------------------------------------------------------------------------


def seconds(text: str, to: Target = "mindspore") -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        port_source(text, to=to)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize(
    "call",
    ["y{0} = F.normalize(x{0}, p=2, dim=1)", "x = F.normalize(x, 2, 1)", "x = x.normalize(F)"],
)
def test_time_is_in_proportion_to_the_number_of_calls(call: str) -> None:
    few, many = (F + "".join(f"{call.format(n)}\n" for n in range(count)) for count in (250, 2000))
    assert seconds(many) < 20 * seconds(few) + 0.05  # in proportion it is 8; squared it is 64


OPS = "from mindspore import ops\n"
IN_CLASSES = """class A{0}:
    def __init__(self):
        self.f = {1}
    def g(self, x):
        return self.f{2}(x)
"""


@pytest.mark.parametrize(
    ("head", "part", "to"),
    [
        (OPS, "y = ops.L2Normalize(axis=1)(x)\n", "torch"),
        (OPS, IN_CLASSES.format("{0}", "ops.L2Normalize(axis=1)", ""), "torch"),
        (F, IN_CLASSES.format("{0}", "F", ".normalize"), "mindspore"),
        (F + "import config\n", "config.F = F\ny = config.F.normalize(x)\n", "mindspore"),
    ],
    ids=["operators", "operators in classes", "modules in classes", "modules in an object"],
)
def test_time_is_in_proportion_to_what_is_followed(head: str, part: str, to: Target) -> None:
    few, many = (head + "".join(part.format(n) for n in range(count)) for count in (125, 1000))
    assert seconds(many, to) < 20 * seconds(few, to) + 0.05  # in proportion it is 8


DEEP = {
    "sum": "x = 1" + " + 1" * 1000,
    "string in parts": "x = (\n" + "'a'\n" * 1000 + ")",
    "elif": "if x:\n pass\n" + "elif x:\n pass\n" * 900,
    "eps": "y = F.normalize(x, 2, 1, 1" + " * 1" * 900 + ")",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_long_generated_code_is_read(text: str) -> None:
    assert (
        port_source(f"{F}{text}\nF.normalize(x)\n", to="mindspore", style="inline").rewritten >= 1
    )
