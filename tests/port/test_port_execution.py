"""Original and rewritten code, both run: each on its own framework, with the same numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from portnorm.port import port_source
from tests.conftest import needs_mindspore, needs_torch

pytestmark = [needs_torch, needs_mindspore]

ROWS = np.array(
    [[3, 4, 0], [1e-13, 0, 1e-13], [0, 0, 0], [np.nan, 1, 2], [5e-3, 1e-3, 0], [-1e5, 2, 1e-3]]
)
"""Above and below both floors, between them, zero, NaN."""
FINITE = np.isfinite(ROWS).all(axis=1)

TORCH_CALLS = {
    "F.normalize(x)": ("adapter", "inline"),
    "F.normalize(x, dim=-1)": ("adapter", "inline"),
    "F.normalize(x, 2, 1)": ("adapter", "inline"),
    "F.normalize(x, p=2.0, dim=1, eps=1e-6)": ("adapter", "inline"),
    "F.normalize(x, p=1)": ("adapter",),
    "F.normalize(F.normalize(x * 2), dim=1)": ("adapter", "inline"),
    "partial(F.normalize, dim=-1)(x)": ("adapter",),
    "list(map(partial(F.normalize, dim=1), (x, x)))[1]": ("adapter",),
}
MINDSPORE_CALLS = {
    "ops.L2Normalize(axis=1)(x)": ("adapter", "inline"),
    "ops.L2Normalize(axis=-1, epsilon=1e-12)(x)": ("adapter", "inline"),
    "ops.L2Normalize(1, 1e-6)(x * 2)": ("adapter", "inline"),
    "_get_cache_prim(ops.L2Normalize)(1, 1e-6)(x)": ("adapter", "inline"),
    "(lambda op: op(x))(ops.L2Normalize(axis=1))": ("adapter", "inline"),
}
TORCH_HEAD = "import torch.nn.functional as F\nfrom functools import partial\n"
MINDSPORE_HEAD = (
    "from mindspore import ops\nfrom mindspore.ops._primitive_cache import _get_cache_prim\n"
)


def cases(calls: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(call, style) for call, styles in calls.items() for style in styles]


def function(text: str, folder: Path) -> Any:
    """Run a module that defines f, from a file, which MindSpore's compiler wants to read."""
    path = folder / f"module_{len(list(folder.iterdir()))}.py"
    path.write_text(text)
    names: dict[str, Any] = {"__name__": path.stem}
    exec(compile(text, str(path), "exec"), names)
    return names["f"]


def on_torch(f: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import torch

    leaf = torch.tensor(x, requires_grad=True)
    y = f(leaf)
    y[:, 0].sum().backward()
    return y.detach().numpy(), leaf.grad.numpy()


def on_mindspore(f: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import mindspore

    leaf = mindspore.Tensor(x)
    gradient = mindspore.grad(lambda t: f(t)[:, 0].sum())(leaf)
    return f(leaf).asnumpy(), gradient.asnumpy()


def both(
    head: str, call: str, to: str, style: str, folder: Path
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    text = f"{head}\ndef f(x):\n    return {call}\n"
    ported = port_source(text, to=to, style=style)
    assert ported.rewritten
    x = ROWS.astype("float32")
    here, there = (on_torch, on_mindspore) if to == "mindspore" else (on_mindspore, on_torch)
    return here(function(text, folder), x), there(function(ported.text, folder), x)


@pytest.fixture(autouse=True)
def _allow_every_p() -> Any:
    import portnorm

    with portnorm.set_options(unsupported_p="allow", parity="semantic"):
        yield


@pytest.mark.parametrize(("call", "style"), cases(TORCH_CALLS))
def test_torchs_calls_give_the_same_on_mindspore(call: str, style: str, tmp_path: Path) -> None:
    (y, dx), (ported_y, ported_dx) = both(TORCH_HEAD, call, "mindspore", style, tmp_path)
    np.testing.assert_allclose(ported_y, y, rtol=1e-6)
    np.testing.assert_allclose(ported_dx, dx, rtol=2e-5, atol=1e-7 * np.nanmax(np.abs(dx)))


@pytest.mark.parametrize(("call", "style"), cases(MINDSPORE_CALLS))
def test_mindspores_calls_give_the_same_on_torch(call: str, style: str, tmp_path: Path) -> None:
    (y, dx), (ported_y, ported_dx) = both(MINDSPORE_HEAD, call, "torch", style, tmp_path)
    # NaN selects epsilon in MindSpore; F.normalize makes the whole vector NaN.
    same = slice(None) if style == "adapter" else FINITE
    np.testing.assert_allclose(ported_y[same], y[same], rtol=1e-6)
    # Below the floor MindSpore's own gradient is not that of its values.
    above = FINITE & (np.linalg.norm(ROWS, axis=1) > 0.01)
    np.testing.assert_allclose(ported_dx[above], dx[above], rtol=2e-5, atol=1e-7)


def test_another_epsilon_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from portnorm.port import inline

    monkeypatch.setattr(inline.math, "sqrt", lambda epsilon: epsilon)
    with pytest.raises(AssertionError):
        test_mindspores_calls_give_the_same_on_torch(
            "ops.L2Normalize(axis=1)(x)", "inline", tmp_path
        )


def test_a_command_line_run_writes_a_module_that_imports(tmp_path: Path) -> None:
    from portnorm import cli

    file = tmp_path / "model.py"
    file.write_text(f"{TORCH_HEAD}\ndef f(x):\n    return F.normalize(x)\n")
    assert cli.main(["port", "--to", "mindspore", "--write", str(file)]) == 0
    assert "portnorm.mindspore.normalize(x)" in file.read_text()
    assert cli.main(["port", "--to", "mindspore", "--check", str(file)]) == 0
    sys.path.insert(0, str(tmp_path))
    try:
        __import__("model")
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("model", None)
