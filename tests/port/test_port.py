"""`portnorm port`: what is rewritten, what is reported, and what stays as it is."""

from __future__ import annotations

import ast
import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portnorm.port import port_source
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
    text = "# above\nimport torch.nn.functional as F  # beside\ny = F.normalize(x)\n"
    ported = port_source(text, to="mindspore").text
    assert "# above\n" in ported
    assert "# beside\n" in ported
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
        ("mindspore", "import torch.nn.functional as F\ny = F.normalize(x, eps=1e-30)\n"),
        ("mindspore", "import torch.nn.functional as F\ny = f(F.normalize)\n"),
        ("mindspore", "import torch.nn.functional as F\n_normalize = 1\ny = F.normalize(x)\n"),
    ],
)
def test_inline_is_refused_where_no_form_is_right(to: str, text: str) -> None:
    ported = port_source(text, to=to, style="inline")
    assert ported.text == text
    assert [reported.code for reported in ported.reported] in (["PN207"], ["PN203"])


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


def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from portnorm.port import file
    from portnorm.source.files import SourceFile

    broken = file.Ported("y = (\n", 1)
    monkeypatch.setattr(file, "port_source", lambda *a, **k: broken)
    source = SourceFile.parse("a.py", b"import torch\ntorch.nn.functional.normalize(x)\n")
    result = file.port_file(source, to="mindspore", style="adapter", unsafe=False)
    assert result.new == result.old == source.text
    assert [finding.code for finding in result.findings] == ["PN209"]
