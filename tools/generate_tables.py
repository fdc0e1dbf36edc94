"""Fill in the tables of README.md and the migration guide, from the code and both frameworks.

Pages in Chinese get the code of the English pages, too.

    python tools/generate_tables.py           writes them
    python tools/generate_tables.py --check   exits 1 where a page is out of date

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``; NAME is that of a
function below.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import chinese_pages
import form_tables
import mapping_tables
import numpy as np
import peer_tables
import reference_tables
from markdown_table import table
from numpy.typing import NDArray

from portnorm import files, reference, semantics
from portnorm.errors import StrictParityError
from portnorm.exact import torch_cpu

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "migration_guide").rglob("*.md"))]
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def what_goes_wrong() -> str:
    """The same data through torch's function, MindSpore's, and portnorm's on MindSpore."""
    headings = [
        "float32 data, unless noted",
        "PyTorch: `F.normalize(x, dim=0)`",
        "MindSpore: `ops.L2Normalize()(x)`",
        "MindSpore: `portnorm.mindspore.normalize(x, dim=0)`",
    ]
    rows = [
        _values("[1, 2, 3]", [1, 2, 3]),
        _values("[1e-10, 2e-10, 3e-10]", [1e-10, 2e-10, 3e-10]),
        _values("[nan, 1, 2]", [np.nan, 1, 2]),
        _values("float16 [300, 300, 300]", [300, 300, 300], "float16"),
        _gradients("[0, 0, 0], gradient of the sum", [0, 0, 0]),
        _embeddings(),
    ]
    return table(headings, rows)


def signatures() -> str:
    """What `portnorm.semantics` holds about the two functions."""
    functions = (semantics.NORMALIZE, semantics.L2NORMALIZE)
    facts: list[tuple[str, Callable[[semantics.Function], str]]] = [
        ("call", lambda f: f"`{f.signature}`"),
        ("default axis", lambda f: str(f.axis)),
        ("eps is a lower bound of the", lambda f: f.eps_on),
        ("default eps", lambda f: f"{f.eps:g}"),
        ("which bounds the norm by", lambda f: f"{f.floor():g}"),
        ("dtypes", lambda f: ", ".join(sorted(f.dtypes, key=_by_width))),
    ]
    headings = ["", *(f"`{f.name}`" for f in functions)]
    return table(headings, [[name, *map(show, functions)] for name, show in facts])


def certified() -> str:
    """The builds for which `portnorm.reference` has rules."""
    headings = ["framework", "machine", "capability", "versions"]
    rows = [[*row[:3], ", ".join(row.versions)] for row in reference.certified()]
    return table(headings, rows)


def promised() -> str:
    """Where `portnorm.exact` gives bits, and where it refuses, found out by asking it."""
    return _promised(["p of `normalize`", "dtype", "values", "gradient"], {})


def promised_zh() -> str:
    """The same in Chinese."""
    words = {"any other": "其他", "the bits": "逐位相同", "refused": "拒绝"}
    return _promised(["`normalize` 的 p", "数据类型", "数值", "梯度"], words)


def _promised(headings: list[str], words: dict[str, str]) -> str:
    orders = {"0, 1, 2, inf, -inf": (0, 1, 2, np.inf, -np.inf), "any other": (0.5, 2.2, 3, -1)}
    dtypes = {np.dtype(np.uint16): "bfloat16"}
    rows = []
    for label, ps in orders.items():
        for dtype in map(np.dtype, ("float16", np.uint16, "float32", "float64", "complex64")):
            x = np.ones((0, 2), dtype)  # for which nothing is compiled
            answers = [
                {_bits(lambda p=p, x=x: torch_cpu.normalize(x, p)) for p in ps},
                {_bits(lambda p=p, x=x: torch_cpu.normalize_vjp(x, x, p)) for p in ps},
            ]
            cells = [label, dtypes.get(dtype, str(dtype)), *map("".join, answers)]
            rows.append([words.get(cell, cell) for cell in cells])
    return table(headings, rows)


def _bits(call: Callable[[], object]) -> str:
    try:
        call()
    except StrictParityError:
        return "refused"
    return "the bits"


TABLES: dict[str, Callable[[], str]] = {
    **{
        make.__name__: make
        for make in (what_goes_wrong, signatures, certified, promised, promised_zh)
    },
    **form_tables.TABLES,
    **mapping_tables.TABLES,
    **peer_tables.TABLES,
    **reference_tables.TABLES,
}


def _values(label: str, values: Sequence[float], dtype: str = "float32") -> list[str]:
    array = np.array(values, dtype)
    return [label, *(_show(f(array)) for f in _functions())]


def _gradients(label: str, values: Sequence[float]) -> list[str]:
    array = np.array(values, "float32")
    return [label, *(_show(f(array)) for f in _function_gradients())]


def _embeddings() -> list[str]:
    """How many columns of the sample matrix come out differently than in torch."""
    array = np.load(ROOT / "portnorm/compare/samples/sentence_embeddings.npy", allow_pickle=False)
    expected, *others = (f(array).astype("float64") for f in _functions())
    label = f"{array.shape[0]} sentence embeddings, {array.shape[1]} columns"
    cells = [label, "the reference"]
    for result in others:
        difference = np.abs(result - expected).max(axis=0)
        changed = int((difference > 1e-5 * np.abs(expected).max(axis=0)).sum())
        cells.append(f"{changed} columns differ" if changed else "same")
    return cells


def _functions() -> list[Callable[[NDArray[Any]], NDArray[Any]]]:
    import torch.nn.functional as F
    from mindspore import Tensor, ops
    from torch import from_numpy

    import portnorm.mindspore

    return [
        lambda a: F.normalize(from_numpy(a), dim=0).numpy(),
        lambda a: ops.L2Normalize()(Tensor(a)).asnumpy(),
        lambda a: portnorm.mindspore.normalize(Tensor(a), dim=0).asnumpy(),
    ]


def _function_gradients() -> list[Callable[[NDArray[Any]], NDArray[Any]]]:
    import mindspore
    import torch
    import torch.nn.functional as F
    from mindspore import Tensor, ops

    import portnorm.mindspore

    def of_torch(a: NDArray[Any]) -> NDArray[Any]:
        x = torch.from_numpy(a).requires_grad_()
        F.normalize(x, dim=0).sum().backward()
        return x.grad.numpy()

    def of_mindspore(function: Callable[[Any], Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
        return lambda a: mindspore.grad(lambda x: function(x).sum())(Tensor(a)).asnumpy()

    ported = of_mindspore(lambda x: portnorm.mindspore.normalize(x, dim=0))
    return [of_torch, of_mindspore(ops.L2Normalize()), ported]


def _show(array: NDArray[Any]) -> str:
    return "[" + " ".join(f"{value:.4g}" for value in array) + "]"


def _by_width(dtype: str) -> tuple[bool, int, str]:
    return dtype.startswith("complex"), int(re.sub(r"\D", "", dtype)), dtype


def filled(text: str) -> str:
    """Return the text of a page with its tables made afresh."""

    def fill(match: re.Match[str]) -> str:
        return match[1] + TABLES[match[2]]() + match[3]

    return _TABLE.sub(fill, text)


def main() -> int:
    """Write or check every page; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    check = parser.parse_args().check
    stale = []
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        if page.name.endswith(".zh.md"):
            english = page.with_name(page.name.replace(".zh.md", ".md"))
            new = chinese_pages.with_code_of(filled(english.read_text(encoding="utf-8")), new)
        if new != old:
            stale.append(page.relative_to(ROOT))
            if not check:
                files.write(page, new.encode())
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
