"""`portnorm port`: what is rewritten, what is reported, and what stays as it is."""

from __future__ import annotations

import ast
import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portnorm.port import Ported, Target, port_source
from tests.port.cases import REPORTED, TO_MINDSPORE, TO_TORCH, UNTOUCHED

TARGETS = {"mindspore": TO_MINDSPORE, "torch": TO_TORCH}
REWRITES = [(to, text, new) for to, cases in TARGETS.items() for text, new in cases.items()]
HELPER = "import mindspore\n"


@pytest.mark.parametrize(("to", "text", "new"), REWRITES)
def test_calls_of_public_code_go_to_the_adapter(to: str, text: str, new: str) -> None:
    ported = port_source(text, to=to)
    assert new in ported.text
    assert ported.reported == ()
    assert ported.rewritten == new.count("portnorm.")
    assert ported.text.count(f"import portnorm.{to}\n") == 1
    assert port_source(ported.text, to=to).text == ported.text
    ast.parse(ported.text)


@pytest.mark.parametrize("text", UNTOUCHED)
def test_false_friends_stay_as_they_are(text: str) -> None:
    for to in TARGETS:
        for style in ("adapter", "inline"):
            ported = port_source(text, to=to, style=style, unsafe=True)
            assert (ported.text, ported.rewritten, ported.reported) == (text, 0, ())


@pytest.mark.parametrize("text", REPORTED)
def test_what_is_not_known_to_be_right_is_reported(text: str) -> None:
    to, code = REPORTED[text]
    ported = port_source(text, to=to)
    assert ported.text == text
    assert [reported.code for reported in ported.reported] == [code]
    (reported,) = ported.reported
    assert "ormalize" in text.splitlines()[reported.line - 1][reported.column - 1 :]


def test_there_are_as_many_false_friends_as_rewrites() -> None:
    assert len(UNTOUCHED) >= len(REWRITES)


@pytest.mark.parametrize("text", [t for t in REPORTED if REPORTED[t][1] in ("PN204", "PN205")])
def test_a_guess_is_made_only_when_it_is_asked_for(text: str) -> None:
    to, _ = REPORTED[text]
    ported = port_source(text, to=to, unsafe=True)
    assert ported.rewritten == 1
    assert ported.reported == ()


def test_the_other_direction_is_left_alone() -> None:
    for to, cases in TARGETS.items():
        for text in cases:
            other = "torch" if to == "mindspore" else "mindspore"
            assert port_source(text, to=other).text == text


# --- imports --------------------------------------------------------------------------------------


def test_an_import_goes_only_if_the_edit_left_it_unused() -> None:
    text = (
        "import torch  # framework\n"
        "import torch.nn.functional as F\n"
        "from torch.nn.functional import normalize as n, relu\n"
        "import os\n"
        "y = relu(n(F.normalize(x)))\n"
    )
    assert port_source(text, to="mindspore").text == (
        "import portnorm.mindspore\n"
        "import torch  # framework\n"
        "from torch.nn.functional import relu\n"
        "import os\n"
        "y = relu(portnorm.mindspore.normalize(portnorm.mindspore.normalize(x)))\n"
    )


def test_an_unused_import_of_a_function_goes_but_not_the_last_statement_of_a_block() -> None:
    text = "def f(x):\n    {}import torch.nn.functional as F{}\n    return F.normalize(x)\n"
    ported = port_source(text.format("", ""), to="mindspore").text
    assert ported.startswith("import portnorm.mindspore\ndef f(x):\n    return portnorm.")
    ported = port_source(text.format("# a\n    ", "  # b"), to="mindspore").text
    assert "def f(x):\n    # a\n    # b\n    return portnorm." in ported
    text = "def f(x):\n    if x:\n        import torch.nn.functional as F\n    F.normalize(x)\n"
    assert "import torch" in port_source(text, to="mindspore").text


def test_other_calls_of_these_names_are_counted() -> None:
    text = (
        "from torchvision.transforms.functional import normalize\n"
        "import torch.nn.functional as F\nfrom mindspore import ops\n"
        "F.normalize(normalize(x).normalize())\nops.L2Normalize()\nsorted(x, key=normalize)\n"
    )
    ported = port_source(text, to="mindspore")
    assert (ported.rewritten, ported.untouched) == (1, 3)
    assert port_source("import torch\nx.normalize()\n", to="mindspore").untouched == 1


def test_the_comment_of_an_import_that_goes_is_kept() -> None:
    text = "# above\nimport torch.nn.functional as F  # beside # it\ny = F.normalize(x)\n"
    ported = port_source(text, to="mindspore").text
    assert "# above\n" in ported
    assert "\n# beside # it\n" in ported
    assert "functional" not in ported


@pytest.mark.parametrize(
    "text",
    [
        "import torch.nn.functional as F\n__all__ = ['F']\ny = F.normalize(x)\n",
        "try:\n    import torch.nn.functional as F\nfinally:\n    pass\ny = F.normalize(x)\n",
        "import torch.nn.functional as F\ny = F.normalize(x)\nz = F.relu(x)\n",
        "import torch.nn.functional as F\ny = F.normalize(x)\ndef f(x):\n    return F.relu(x)\n",
        "import torch.nn.functional as F\ny = F.normalize(x)\ndef f(x: 'F.Any'):\n    return x\n",
    ],
)
def test_an_import_that_may_be_needed_stays(text: str) -> None:
    ported = port_source(text, to="mindspore")
    assert ported.rewritten == 1
    assert "import torch.nn.functional as F\n" in ported.text


@pytest.mark.parametrize(
    "head",
    [
        '"""Doc."""\nfrom __future__ import annotations\n',
        "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n",
        '"""Doc."""\n\nimport os\n',
    ],
)
def test_the_new_import_stands_where_python_takes_it(head: str) -> None:
    text = f"{head}\n\ndef f(x):\n    import torch.nn.functional as F\n    return F.normalize(x)\n"
    ported = port_source(text, to="mindspore").text
    compile(ported, "ported.py", "exec")
    assert ported.startswith(head.rpartition("import os")[0])
    assert ported.index("import portnorm.mindspore") < ported.index("def f")


def test_a_comment_leaves_a_call_alone() -> None:
    for comment in ("portnorm: ignore", "portnorm: ignore[PN205]"):
        text = f"import torch.nn.functional as F\ny = F.normalize(x, out=y)  # {comment}\n"
        ported = port_source(text, to="mindspore")
        assert (ported.text, ported.ignored, ported.reported) == (text, 1, ())


KEPT = {
    "one of several at the end": (
        "from torch.nn.functional import relu, normalize as m, normalize as n\nrelu(m(n(x)))\n",
        "from torch.nn.functional import relu\n",
    ),
    "one of several in the middle": (
        "from torch.nn.functional import relu, normalize, gelu\ngelu(relu(normalize(x)))\n",
        "from torch.nn.functional import relu, gelu\n",
    ),
    "on several lines": (
        "from torch.nn.functional import (\n    normalize,\n    relu,\n)\nrelu(normalize(x))\n",
        "from torch.nn.functional import (\n    normalize,\n    relu,\n)\n",
    ),
    "beside another statement": (
        "import torch.nn.functional as F; z = 1\nF.normalize(x)\n",
        "import torch.nn.functional as F; z = 1\n",
    ),
    "behind another statement": (
        "z = 1; import torch.nn.functional as F\nF.normalize(x)\n",
        "z = 1; import torch.nn.functional as F\n",
    ),
    "before a lone semicolon": (
        "import torch.nn.functional as F;\nF.normalize(x)\n",
        "import torch.nn.functional as F;\n",
    ),
    "that nothing read": (
        "import torch.nn as nn\nimport torch.nn.functional as F\nF.normalize(x)\n",
        "import torch.nn as nn\n",
    ),
    "less special than another": (
        "import torch\nimport torch.nn\ntorch.nn.functional.normalize(x)\n",
        "import torch\ny",
    ),
    "read as a type": (
        "import torch.nn.functional as F\nF.normalize(x)\ncast('F.T', x)\n",
        "import torch.nn.functional as F\n",
    ),
    "in __all__ under its name": (
        "from torch.nn.functional import normalize\n__all__ = [*a, 'normalize']\nnormalize(x)\n",
        "from torch.nn.functional import normalize\n",
    ),
    "in a return type": (
        "import torch.nn.functional as F\ndef f() -> 'F.T':\n    F.normalize(x)\n",
        "import torch.nn.functional as F\n",
    ),
    "of a function on one line": (
        "def f(x): import torch.nn.functional as F; return F.normalize(x)\n",
        "def f(x): import torch.nn.functional as F; return",
    ),
    "of a class": (
        "class A:\n    import torch.nn.functional as F\n    y = F.normalize(x)\n",
        "    import torch.nn.functional as F\n",
    ),
}


@pytest.mark.parametrize(("text", "kept"), KEPT.values(), ids=KEPT)
def test_of_imports_only_what_is_unused_goes(text: str, kept: str) -> None:
    ported = port_source(text, to="mindspore")
    assert ported.rewritten
    assert ported.text.startswith("import portnorm.mindspore\n") or "z = 1" in text
    assert kept in ported.text.replace("\nportnorm", "\ny")
    compile(ported.text, "ported.py", "exec")


def test_an_import_that_hands_its_name_on_keeps_no_other() -> None:
    text = (
        "from torch.nn.functional import normalize as normalize\n"
        "import torch.nn.functional as F\nnormalize(x)\nF.normalize(x)\n"
    )
    assert port_source(text, to="mindspore").text == (
        "import portnorm.mindspore\nfrom torch.nn.functional import normalize as normalize\n"
        "portnorm.mindspore.normalize(x)\nportnorm.mindspore.normalize(x)\n"
    )


def test_where_no_import_is_left_one_comes_behind_the_docstring() -> None:
    text = (
        "'Doc.'\n\n# About f.\ndef f(x):\n    import torch.nn.functional as F\n"
        "    return F.normalize(x)\n"
    )
    assert port_source(text, to="mindspore").text == (
        "'Doc.'\nimport portnorm.mindspore\n\n# About f.\ndef f(x):\n"
        "    return portnorm.mindspore.normalize(x)\n"
    )


def test_an_import_at_the_end_of_a_file_goes_without_a_line_end() -> None:
    text = "def f(x):\n    return F.normalize(x)\nimport torch.nn.functional as F"
    assert port_source(text, to="mindspore").text == (
        "def f(x):\n    return portnorm.mindspore.normalize(x)\nimport portnorm.mindspore\n"
    )


@pytest.mark.parametrize(
    ("text", "new"),
    [
        (
            "import torch.nn.functional as F  # c\rF.normalize(x)\r",
            "import portnorm.mindspore\r# c\r",
        ),
        (
            "x = 1\nfrom . import *\nimport torch\ntorch.nn.functional.normalize(x)\n",
            "x = 1\nimport portnorm.mindspore\nfrom . import *\n",
        ),
        (
            "import portnorm.mindspore\nimport torch as t\nt.nn.functional.normalize(x)\n",
            "import portnorm.mindspore\nportnorm",
        ),
        (
            "import portnorm.mindspore as m\nimport torch as t\nt.nn.functional.normalize(x)\n",
            "import portnorm.mindspore\nimport portnorm.mindspore as m\nportnorm",
        ),
        (
            "from __future__ import annotations; import torch\n\n"
            "torch.nn.functional.normalize(x)\n",
            "from __future__ import annotations; import portnorm.mindspore; import torch\n",
        ),
    ],
)
def test_new_imports_stand_before_the_first(text: str, new: str) -> None:
    assert port_source(text, to="mindspore").text.startswith(new)


def test_ignored_places_are_counted_one_by_one() -> None:
    calls = "F.normalize(x)  # portnorm: ignore\nF.normalize(x, out=x)  # portnorm: ignore\n"
    unresolved = "getattr(F, 'normalize')  # portnorm: ignore[PN201]\n"
    text = f"import torch.nn.functional as F\n{calls}{unresolved}"
    ported = port_source(text, to="mindspore")
    assert (ported.text, ported.rewritten, ported.ignored) == (text, 0, 3)


def test_what_is_reported_has_its_lines() -> None:
    text = "import torch.nn.functional as F\n\nif x:\n  F.normalize(x,\n    out=x)\n"
    (one,) = port_source(text, to="mindspore").reported
    assert (one.line, one.column, one.end[0]) == (4, 3, 5)


@pytest.mark.parametrize(
    ("call", "codes"),
    [
        ("ops.L2Normalize(n)", ["PN206"]),
        ("n = ops.L2Normalize(n)", ["PN206"]),
        ("return_ = lambda n: ops.L2Normalize(n)", ["PN206"]),
        ("ops.L2Normalize(True)", ["PN206"]),
        ("ops.L2Normalize(axis=n)", []),
        ("ops.L2Normalize(-1)", []),
        ("ops.L2Normalize(1)", []),
        ("ops.L2Normalize((1,))", []),
        ("self.n = ops.L2Normalize(n)", []),
        ("f(ops.L2Normalize(n))", []),
        ("f(k=ops.L2Normalize(n))", []),
        ("[ops.L2Normalize(n)]", []),
        ("(ops.L2Normalize(n),)", []),
        ("ops.L2Normalize(n)(x)", []),
        ("ops.L2Normalize(1)(x, y)", ["PN206"]),
        ("ops.L2Normalize(1)(x=y)", ["PN206"]),
        ("ops.L2Normalize(1)(*x)", ["PN206"]),
        ("ops.L2Normalize(1)()", ["PN206"]),
        ("n = ops.L2Normalize(1)\nn = z\nn(x, y)", []),
        (
            "class A:\n    def f(self, x):\n        self.n = ops.L2Normalize(1)\n"
            "        self.n = z\n        return self.n(x, y)",
            [],
        ),
    ],
)
def test_operators_that_seem_to_be_misused_are_left_to_people(call: str, codes: list[str]) -> None:
    ported = port_source(f"from mindspore import ops\n{call}\n", to="torch")
    assert [one.code for one in ported.reported] == codes
    assert ported.rewritten == 1 - len(codes)
    assert all("line 2" in one.message for one in ported.reported if "tensor, and" in one.message)


# --- inline ---------------------------------------------------------------------------------------

INLINE = {
    "y = ops.L2Normalize(axis=1)(x)\n": "torch.nn.functional.normalize(x, dim=1, eps=0.01)",
    "y = ops.L2Normalize()(f(x))\n": "torch.nn.functional.normalize(f(x), dim=0, eps=0.01)",
    "y = ops.L2Normalize(axis=(2,), epsilon=1e-12)(x)\n": (
        "torch.nn.functional.normalize(x, dim=2, eps=1e-06)"
    ),
    "n = ops.L2Normalize(axis=1)\n": (
        "functools.partial(torch.nn.functional.normalize, dim=1, eps=0.01)"
    ),
}


INLINE_FOR_MINDSPORE = {
    "F.normalize(x)": "_normalize(x)",
    "F.normalize(x, p=2)": "_normalize(x)",
    "F.normalize(x, 2)": "_normalize(x)",
    "F.normalize(x, 2, 1)": "_normalize(x, dim=1)",
    "F.normalize(x, 2.0, (-1), 1e-6)": "_normalize(x, dim=(-1), eps=1e-6)",
    "F.normalize(x, p=2, dim=0)": "_normalize(x, dim=0)",
    "F.normalize(x, 2, eps=1e-9)": "_normalize(x, eps=1e-9)",
    "F.normalize(p=2, input=x)": "_normalize(x=x)",
    "F.normalize((x), (2), 1)": "_normalize((x), dim=1)",
    "F.normalize(x, eps=1e-18)": "_normalize(x, eps=1e-18)",
}


@pytest.mark.parametrize("call", INLINE_FOR_MINDSPORE)
def test_inline_for_mindspore_leaves_out_p(call: str) -> None:
    text = f"import torch.nn.functional as F\ny = {call}\n"
    ported = port_source(text, to="mindspore", style="inline")
    assert f"y = {INLINE_FOR_MINDSPORE[call]}\n" in ported.text
    assert ported.text.startswith("import mindspore\n\n\ndef _normalize(x, dim=1, eps=1e-12):\n")
    assert port_source(ported.text, to="mindspore", style="inline").text == ported.text


@pytest.mark.parametrize(
    ("given", "dim"),
    [("a", "a"), ("axis=a", "a"), ("axis = (a + 1)", "(a + 1)"), ("(a)", "(a)"), ("a.b", "a.b")],
)
def test_an_axis_that_is_not_known_is_taken_over_when_it_is_asked_for(given: str, dim: str) -> None:
    text = f"from mindspore import ops\ny = ops.L2Normalize({given})(x)\n"
    assert port_source(text, to="torch", style="inline").text == text
    ported = port_source(text, to="torch", style="inline", unsafe=True).text
    assert f"y = torch.nn.functional.normalize(x, dim={dim}, eps=0.01)\n" in ported
    text = text.replace(f"({given})(x)", "((0, 1))(x)")
    assert port_source(text, to="torch", style="inline", unsafe=True).text == text


def test_the_helper_stands_after_the_first_block_of_imports() -> None:
    text = "import os\nimport torch\nx = 1\nimport sys\ntorch.nn.functional.normalize(x, p=2)\n"
    ported = port_source(text, to="mindspore", style="inline").text
    assert ported.startswith("import mindspore\nimport os\n\n\ndef _normalize(")
    assert "\nx = 1\nimport sys\n_normalize(x)\n" in ported


@pytest.mark.parametrize("text", INLINE)
def test_inline_for_torch_takes_the_root_of_epsilon(text: str) -> None:
    ported = port_source(f"from mindspore import ops\n{text}", to="torch", style="inline")
    assert INLINE[text] in ported.text
    assert "mindspore" not in ported.text
    assert port_source(ported.text, to="torch", style="inline").text == ported.text


@pytest.mark.parametrize(
    ("to", "text"),
    [
        ("torch", "from mindspore import ops\ny = ops.L2Normalize(axis=a)(x)\n"),
        ("torch", "from mindspore import ops\ny = ops.L2Normalize(1, epsilon=e)(x)\n"),
        ("torch", "from mindspore import ops\ny = ops.L2Normalize(1, epsilon=0.0)(x)\n"),
        ("torch", "from mindspore import ops\ny = ops.L2Normalize\n"),
        ("torch", "from mindspore import ops\ny = ops.L2Normalize(\n  1  # one\n)(x)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(x, p=1)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(x, dim=d)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(x, eps=0)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(x, eps=1)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(x, eps=9.9e-19)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(x, p=True)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(x, 2, out=None)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(dim=1)\n"),
        ("torch", "from mindspore import ops\ny = ops.L2Normalize(True)(x)\n"),
        ("torch", "from mindspore import ops\ny = ops.L2Normalize((0, 1))(x)\n"),
        ("torch", "from mindspore import ops\ny = ops.L2Normalize(1, 1)(x)\n"),
        ("torch", "from mindspore import ops\ny = ops.L2Normalize(1, 1e999)(x)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(x, eps=1e-30)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = f(F.normalize)\n"),
        ("mindspore", "import torch.nn.functional as F\n_normalize = 1\ny = F.normalize(x)\n"),
    ],
)
def test_inline_is_refused_where_no_form_is_right(to: str, text: str) -> None:
    ported = port_source(text, to=to, style="inline")
    assert ported.text == text
    codes = [reported.code for reported in ported.reported]
    assert codes in (["PN207"], ["PN203"], ["PN205"])


# --- generated modules ----------------------------------------------------------------------------

NAMES = {
    "F": "import torch.nn.functional as F",
    "torch.nn.functional": "import torch",
    "nn.functional": "from torch import nn",
    "fn": "from torch.nn import functional as fn",
}
SPACES = st.sampled_from(["", " ", "  ", "\t", "  # c\n        ", "\n\n    "])
LINE_ENDS = st.sampled_from(["\n", "\r\n"])


@st.composite
def calls(draw: st.DrawFn, depth: int = 2) -> str:
    """A call of torch's function in odd formatting, maybe with another one within."""
    name = draw(st.sampled_from(sorted(NAMES)))
    inner = draw(calls(depth - 1)) if depth and draw(st.booleans()) else draw(SPACES) + "x"
    more = draw(st.sampled_from(["", ", dim=-1", ", 2, 1", ", p=2.0,dim = 0", ",dim=(0,1) ,"]))
    return f"{name}.normalize({draw(SPACES)}{inner}{draw(SPACES)}{more}{draw(SPACES)})"


@st.composite
def modules(draw: st.DrawFn) -> tuple[str, int]:
    """A module, and the number of calls in it."""
    lines = ["# é"] * draw(st.integers(0, 2))
    lines += ['"""Doc."""'] * draw(st.integers(0, 1))
    lines += draw(st.permutations(sorted(NAMES.values())))
    total = 0
    for number in range(draw(st.integers(1, 4))):
        call = draw(calls())
        total += call.count("normalize")
        lines.append(
            draw(st.sampled_from(["y = ({})", "def f{n}(x):\n    return ({})  # c", "{}"]))
        )
        lines[-1] = lines[-1].replace("{n}", str(number)).replace("{}", call)
        lines += [""] * draw(st.integers(0, 2))
    return draw(LINE_ENDS).join("\n".join(lines).split("\n")), total


@given(modules())
def test_everything_outside_the_edits_is_byte_for_byte_the_same(module: tuple[str, int]) -> None:
    text, calls_in_it = module
    compile(text, "module.py", "exec")
    ported = port_source(text, to="mindspore")
    assert ported.rewritten == calls_in_it
    compile(ported.text, "ported.py", "exec")
    assert port_source(ported.text, to="mindspore").text == ported.text
    back = ported.text
    for name in NAMES:
        back = back.replace("portnorm.mindspore.normalize", f"{name}.normalize", 1)
    old, new = (t.replace("portnorm.mindspore", "N") for t in (text, ported.text))
    for name in sorted(NAMES, key=len, reverse=True):
        old = old.replace(f"{name}.normalize", "N.normalize")
    gone = [
        line
        for line in difflib.ndiff(old.splitlines(True), new.splitlines(True))
        if line[0] in "+-"
    ]
    assert all("import " in line for line in gone), gone


@pytest.mark.parametrize(
    ("head", "broken", "wrong"),
    [
        ("", "y = (\n", "what came out is not Python"),
        ("# coding: latin-1\n", "# coding: latin-1\ny = '\u0394'\n", "latin-1"),
        ("", "{}1\n", "a second run would change it again"),
        ("", "import os, portnorm.gone\n", "it would import portnorm.gone, which does not exist"),
    ],
)
def test_a_planted_fault_is_found(
    head: str, broken: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portnorm.port import file
    from portnorm.source.files import SourceFile

    def port(text: str, **_: object) -> Ported:
        return Ported(broken.format(text), 1)

    monkeypatch.setattr(file, "port_source", port)
    text = f"{head}import torch\ntorch.nn.functional.normalize(x)\n"
    source = SourceFile.parse("a.py", text.encode())
    result = file.port_file(
        source, to="mindspore", style="adapter", unsafe=False, hand_written=False
    )
    assert result.new == result.old == source.text
    (finding,) = result.findings
    assert (finding.code, finding.line, finding.column) == ("PN209", 1, 1)
    assert finding.message.startswith("the file is left as it is: ")
    assert wrong in finding.message


@pytest.mark.parametrize("style", ["adapter", "inline"])
@pytest.mark.parametrize(
    "text",
    [
        "from __future__ import annotations; import torch\ntorch.nn.functional.normalize(y)\n",
        "from __future__ import annotations; import torch.nn.functional as F; F.normalize(y)\n",
        '"""Doc."""; from torch.nn.functional import normalize\nnormalize(y)\n',
        '"""Doc."""; from __future__ import annotations; import torch.nn.functional as F\n'
        "F.normalize(y)\n",
        "import torch.nn.functional as F\nF.normalize(y)\n",
        "import torch.nn.functional as F; F.normalize(y)\n",
        '"""Doc."""; import torch.nn.functional as F; F.normalize(y)\nz = 1\n',
        '"""Doc."""; z = 1\nimport torch.nn.functional as F; F.normalize(y)\n',
        "import os\nimport torch.nn.functional as F; F.normalize(y)\nz = 1\n",
        "if z:\n    import torch.nn.functional as F\n    F.normalize(y)\nimport os\n",
        "import torch.nn.functional as F\nF.normalize(y)\nimport mindspore\n",
        "@z\ndef f(y):\n    import torch.nn.functional as F\n    F.normalize(y)\n",
    ],
)
def test_what_a_call_needs_comes_before_it(text: str, style: str) -> None:
    ported = port_source(text, to="mindspore", style=style)
    before, after = ast.parse(text), ast.parse(ported.text)
    assert ported.rewritten == 1
    assert ast.get_docstring(after) == ast.get_docstring(before)
    compile(ported.text, "ported", "exec")  # an import from __future__ has to be the first
    wanted = ["import mindspore"] if style == "inline" else ["import portnorm.mindspore"]
    wanted += ["def _normalize"] * (style == "inline")
    parts = [ast.unparse(statement) for statement in after.body]
    needed = [next(k for k, part in enumerate(parts) if part.startswith(name)) for name in wanted]
    calls = [k for k, part in enumerate(parts) if "normalize(y" in part]
    assert needed == sorted(needed)
    assert [*needed, *calls] == sorted([*needed, *calls]), ported.text


def test_a_helper_stands_on_lines_of_its_own() -> None:
    text = '"""Doc."""; import torch.nn.functional as F; F.normalize(y)\nz = 1\n'
    ported = port_source(text, to="mindspore", style="inline").text
    assert ported.startswith('"""Doc."""; import mindspore\n\n\ndef _normalize(')
    assert ported.endswith("\n\n\nimport torch.nn.functional as F; _normalize(y)\nz = 1\n")


MINT = "from mindspore import mint\n"


@pytest.mark.parametrize(
    ("text", "to", "style", "new"),
    [
        (MINT + "y = mint.nn.functional.normalize(x, 2.0, -1)\n", "torch", "adapter", "portnorm."),
        (MINT + "y = mint.nn.functional.normalize(x, 2.0, -1)\n", "torch", "inline", ""),
        ("import torch.nn.functional as F\ny = F.normalize(x, 2.0, -1)\n", "mindspore", "mint", ""),
    ],
)
def test_mint_is_taken_both_ways(text: str, to: str, style: str, new: str) -> None:
    ported = port_source(text, to=to, style=style)  # type: ignore[arg-type]
    module = {
        "adapter": "portnorm.torch",
        "inline": "torch.nn.functional",
        "mint": "mindspore.mint.nn.functional",
    }[style]
    assert ported.text == f"import {module}\ny = {module}.normalize(x, 2.0, -1)\n"
    assert new in ported.text


def test_mint_has_no_out() -> None:
    text = MINT + "y = mint.nn.functional.normalize(x, out=y)\n"
    ported = port_source(text, to="torch")
    assert (ported.text, [one.code for one in ported.reported]) == (text, ["PN206"])
    text = "import torch.nn.functional as F\ny = F.normalize(x, out=y)\n"
    ported = port_source(text, to="mindspore", style="mint")
    assert (ported.text, [one.code for one in ported.reported]) == (text, ["PN205"])


def test_mint_is_of_mindspore_already() -> None:
    text = MINT + "y = mint.nn.functional.normalize(x)\n"
    ported = port_source(text, to="mindspore")
    assert (ported.text, ported.reported, ported.untouched) == (text, (), 1)
    assert ported.places[0].reason == "it is mindspore.mint.nn.functional.normalize already"


@pytest.mark.parametrize(
    "text",
    [
        "import torch.nn.functional as F  # noqa\ny = F.normalize(x)\n",
        "from torch.nn.functional import (\n    normalize,  # noqa: F401\n)\ny = normalize(x)\n",
        "import torch.nn.functional as F  # pylint: disable=unused-import\ny = F.normalize(x)\n",
        "import torch.nn.functional as F\n__all__ = ['a']\n__all__ += ['F']\ny = F.normalize(x)\n",
        "import torch.nn.functional as F\n__all__: list[str] = ['F']\ny = F.normalize(x)\n",
        "import torch.nn.functional as F\n__all__ = []\n__all__.append('F')\ny = F.normalize(x)\n",
        "from torch.nn import functional as functional\ny = functional.normalize(x)\n",
    ],
)
def test_imports_that_people_want_to_keep_stay(text: str) -> None:
    ported = port_source(text, to="mindspore")
    assert ported.rewritten == 1
    assert [line for line in text.splitlines() if line not in ported.text] == text.splitlines()[-1:]


def test_the_imports_that_a_cached_operator_needed_go() -> None:
    text = (
        "from mindspore import ops\nfrom mindspore.ops._primitive_cache import _get_cache_prim\n"
        "y = _get_cache_prim(ops.L2Normalize)(axis=1)(x)\n"
    )
    ported = port_source(text, to="torch")
    assert ported.text == "import portnorm.torch\ny = portnorm.torch.L2Normalize(axis=1)(x)\n"


def test_a_tensor_by_keyword_is_one_tensor() -> None:
    text = "from mindspore import ops\ny = ops.L2Normalize(1)(input_x=x)\n"
    (reported,) = port_source(text, to="torch").reported
    assert reported.message == (
        "the operator takes one tensor by position, and line 2 gives input_x by keyword"
    )


@pytest.mark.parametrize("name", ["p", "eps", "epsilon"])
def test_a_number_that_is_not_written_in_the_call_is_named(name: str) -> None:
    text = f"import torch.nn.functional as F\ny = F.normalize(x, {name}=number)\n"
    to: Target = "mindspore"
    if name == "epsilon":
        text, to = "from mindspore import ops\ny = ops.L2Normalize(1, number)(x)\n", "torch"
    (reported,) = port_source(text, to=to, style="inline").reported
    assert reported.message == (
        f"no inline form for a value of {name} that is not written as a number in the call"
    )


@pytest.mark.parametrize(
    "patch",
    [
        "F.normalize = safe\n",
        "setattr(F, 'normalize', safe)\n",
        "mock.patch.object(F, 'normalize', safe).start()\n",
        "def test(monkeypatch):\n    monkeypatch.setattr(F, 'normalize', safe)\n",
        "def test(mocker):\n    mocker.spy(F, 'normalize')\n",
        "mock.patch('torch.nn.functional.normalize').start()\n",
        "mock.patch.multiple(F, normalize=safe).start()\n",
    ],
)
def test_calls_of_a_function_that_the_module_replaces_are_left_to_people(patch: str) -> None:
    text = f"import torch.nn.functional as F\n{patch}y = F.normalize(x)\n"
    ported = port_source(text, to="mindspore")
    assert (ported.text, len(ported.reported)) == (text, 2)
    assert "may put another function in the place of" in ported.reported[1].message


@pytest.mark.parametrize(
    "look",
    [
        "y = getattr(F, 'normalize')(x)\n",
        "hasattr(F, 'normalize')\n",
        "y = vars(F)['normalize'](x)\n",
        "f('torch.nn.functional.normalize')\n",
        "y = eval('F.normalize(x)')\n",
    ],
)
def test_looking_the_function_up_replaces_nothing(look: str) -> None:
    text = f"import torch.nn.functional as F\n{look}y = F.normalize(x)\n"
    ported = port_source(text, to="mindspore")
    assert (ported.rewritten, [one.code for one in ported.reported]) == (1, ["PN201"])
