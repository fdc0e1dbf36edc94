"""The tables on where epsilon sits: `portnorm.conventions`, measured on both frameworks."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from markdown_table import table

from portnorm.conventions import FORMS

WRITTEN: dict[str, Callable[[Any, Any, float], Any]] = {
    "norm": lambda f, x, e: x / f.norm(x),
    "max_norm": lambda f, x, e: x / f.norm(x).clamp(min=e),
    "max_sum": lambda f, x, e: x / f.sum(x * x).clamp(min=e).sqrt(),
    "sum_plus": lambda f, x, e: x / (f.sum(x * x) + e).sqrt(),
    "norm_plus": lambda f, x, e: x / (f.norm(x) + e),
    "rms": lambda f, x, e: x / (f.mean(x * x) + e).sqrt(),
    "replaced": lambda f, x, e: x / f.where(f.norm(x) > e, f.norm(x), f.ones(f.norm(x))),
}
"""Each form as it is written along the last axis, on `torch_operators` or `mindspore_operators`."""

E = 0.01
NORMS = (0.0, E / 10, E, math.sqrt(E), 1.0)
"""The norms that are measured: zero, below, at and above the floors E and sqrt(E)."""

_AT = [
    ("norm 0", "范数 0"),
    ("0.001", "0.001"),
    ("0.01 = e", "0.01 = e"),
    ("0.1 = sqrt(e)", "0.1 = sqrt(e)"),
    ("1", "1"),
]
_FORM, _NONE = ("form", "形式"), ("none", "无")

_HALVES: list[tuple[tuple[str, str], list[float], float]] = [
    (("`[0, 0]`, e = 1e-12", "`[0, 0]`，e = 1e-12"), [0.0, 0.0], 1e-12),
    (("`[0, 0]`, e = 1e-4", "`[0, 0]`，e = 1e-4"), [0.0, 0.0], 1e-4),
    (("`[300, 300]`, e = 1e-4", "`[300, 300]`，e = 1e-4"), [300.0, 300.0], 1e-4),
    (("100 times 1e-4, e = 1e-7", "100 个 1e-4，e = 1e-7"), [1e-4] * 100, 1e-7),
]
"""Vectors of float16 that show eps rounding to 0, and squares that over- and underflow."""

CONVERSIONS: dict[str, tuple[str, str, tuple[str, str]]] = {
    "norm": (
        "normalize(x, dim=-1, eps=0.0)",
        "",
        ("L2Normalize refuses an epsilon of 0", "L2Normalize 不接受值为 0 的 epsilon"),
    ),
    "max_norm": (
        "normalize(x, dim=-1, eps=e)",
        "l2_normalize(x, axis=-1, epsilon=e ** 2)",
        (
            "the second: [with these exceptions](epsilon.md)",
            "第二种写法有[这些例外](epsilon.zh.md)",
        ),
    ),
    "max_sum": (
        "normalize(x, dim=-1, eps=e ** 0.5)",
        "l2_normalize(x, axis=-1, epsilon=e)",
        ("the first: but for NaN", "第一种写法：NaN 除外"),
    ),
    "sum_plus": (
        "normalize(cat([x, r]), dim=-1, eps=0.0)[..., :-1]",
        "",
        (
            "r is a last column that holds `e ** 0.5`",
            "r 是值为 `e ** 0.5` 的末列",
        ),
    ),
    "norm_plus": ("", "", ("no call; keep the formula", "没有对应的调用；保留原公式")),
    "rms": (
        "n ** 0.5 * normalize(cat([x, r]), dim=-1, eps=0.0)[..., :-1]",
        "",
        (
            "n is the length of the vectors, and r holds `(n * e) ** 0.5`",
            "n 为向量长度，r 的值为 `(n * e) ** 0.5`",
        ),
    ),
    "replaced": (
        "normalize(x, dim=-1, eps=e)",
        "",
        (
            "where no norm lies between 0 and e; the gradient of zeros is 1/e then",
            "仅当没有范数位于 0 与 e 之间时成立；此时零向量的梯度为 1/e",
        ),
    ),
}
"""For each form: a call of torch's function, of MindSpore's, and what to know of them."""


def torch_operators() -> SimpleNamespace:
    """Return what `WRITTEN` asks for, on torch tensors."""
    import torch

    return SimpleNamespace(
        norm=lambda x: x.norm(dim=-1, keepdim=True),
        sum=lambda x: x.sum(-1, keepdim=True),
        mean=lambda x: x.mean(-1, keepdim=True),
        where=torch.where,
        ones=torch.ones_like,
    )


def mindspore_operators() -> SimpleNamespace:
    """Return what `WRITTEN` asks for, on MindSpore tensors."""
    from mindspore import ops

    return SimpleNamespace(
        norm=lambda x: ops.norm(x, dim=-1, keepdim=True),
        sum=lambda x: x.sum(-1, keepdims=True),
        mean=lambda x: x.mean(-1, keep_dims=True),
        where=ops.where,
        ones=ops.ones_like,
    )


def values(name: str, x: list[float], e: float, dtype: str = "float64") -> Any:
    """Return what torch gives for a form that is written by hand, as an array of float64."""
    import torch

    tensor = torch.tensor(x, dtype=getattr(torch, dtype))
    return WRITTEN[name](torch_operators(), tensor, e).double().numpy()


def slope(name: str, norm: float, on: str = "torch") -> float:
    """Return the derivative of the length of a result by the norm of its vector."""
    if on == "torch":
        import torch

        x = torch.tensor([norm, 0.0], dtype=torch.float64, requires_grad=True)
        WRITTEN[name](torch_operators(), x, E)[0].backward()
        assert x.grad is not None
        return float(x.grad[0])
    import mindspore

    operators = mindspore_operators()
    gradient = mindspore.grad(lambda x: WRITTEN[name](operators, x, E)[0])
    return float(gradient(mindspore.Tensor(np.array([norm, 0.0]))).asnumpy()[0])


def _rows(cells: Callable[[str], list[str]]) -> list[list[str]]:
    return [[f"`{form.formula}`", *cells(name)] for name, form in FORMS.items()]


def _forms(language: int) -> str:
    """Where each form is found, and what becomes of a vector of zeros."""
    headings = [
        ("form", "found in", "smallest divisor", "zeros give", "their gradient"),
        ("形式", "使用者", "最小除数", "零向量得到", "零向量的梯度"),
    ][language]

    def cells(name: str) -> list[str]:
        form = FORMS[name]
        bounded = "e" if form.divisor == "norm" else "sqrt(e)"
        smallest = {"none": "0", "threshold": "e"}.get(form.epsilon, bounded)
        found = _CHINESE_FOUND_IN[name] if language else form.found_in
        return [found, smallest, form.value_at_zero, form.gradient_at_zero]

    return table(headings, _rows(cells))


_CHINESE_FOUND_IN = {
    "norm": "多为手写",
    "max_norm": "`torch.nn.functional.normalize`、`mindspore.mint.nn.functional.normalize`、"
    "`paddle.nn.functional.normalize`、`keras.ops.normalize`；"
    "`torch.nn.functional.cosine_similarity` 对两个向量各用一次；手写的 `clamp(norm, min=e)`",
    "max_sum": "`mindspore.ops.L2Normalize`、`tf.math.l2_normalize`、"
    "OpenVINO 的 `NormalizeL2`（`eps_mode` 为 max）",
    "sum_plus": "`paddle.fluid.layers.l2_normalize`、OpenVINO 的 `NormalizeL2`"
    "（`eps_mode` 为 add）、线性注意力",
    "norm_plus": "SSD 检测模型的 `L2Norm` 层；手写",
    "rms": "`torch.nn.RMSNorm`、`mindspore.ops.rms_norm`",
    "replaced": "`sklearn.preprocessing.normalize`（e 为该数据类型 `eps` 的 10 倍）、"
    "`keras.utils.normalize`（e 为 0）",
}


def _lengths(language: int) -> str:
    """How long the results for vectors of some norms are, by e = 0.01."""

    def cells(name: str) -> list[str]:
        found = [np.linalg.norm(values(name, [norm * 0.6, norm * 0.8], E)) for norm in NORMS]
        return [_show(one) for one in found]

    return table([_FORM[language], *(at[language] for at in _AT)], _rows(cells))


def _slopes(language: int) -> str:
    """The gradients at the same norms, along the vector, on torch; at 0 on MindSpore, too."""

    def cells(name: str) -> list[str]:
        return [
            _show(slope(name, 0.0, "mindspore")),
            *(_show(slope(name, norm)) for norm in NORMS),
        ]

    zero = ("norm 0, on MindSpore", "范数 0（MindSpore）")[language]
    return table([_FORM[language], zero, *(at[language] for at in _AT)], _rows(cells))


def _halves(language: int) -> str:
    """How long the results in float16 are, computed by torch on a CPU."""

    def cells(name: str) -> list[str]:
        found = [values(name, x, e, "float16") for _, x, e in _HALVES]
        return [_show(np.linalg.norm(one)) for one in found]

    return table([_FORM[language], *(label[language] for label, _, _ in _HALVES)], _rows(cells))


def _conversions(language: int) -> str:
    """Calls with the numbers of each form, which are checked before they are shown."""
    headings = [
        ("form", "with torch's function", "with MindSpore's function", "to know"),
        ("形式", "用 torch 的函数", "用 MindSpore 的函数", "说明"),
    ][language]

    def cells(name: str) -> list[str]:
        first, second, note = CONVERSIONS[name]
        for call in filter(None, (first, second)):
            check_conversion(name, call)
        return [*(f"`{c}`" if c else _NONE[language] for c in (first, second)), note[language]]

    return table(headings, _rows(cells))


def check_conversion(name: str, call: str) -> None:
    """Raise an AssertionError where a call has other numbers than a form."""
    import torch

    import portnorm.torch

    rows = torch.tensor([[3.0, 4.0, 0.0], [0.3, 0.4, 0.1], [0.0, 0.0, 0.0]], dtype=torch.float64)
    if name != "replaced":
        rows[1] /= 1000
    n = rows.shape[-1]
    r = torch.full((len(rows), 1), (E * (n if name == "rms" else 1)) ** 0.5, dtype=torch.float64)
    names = {
        "normalize": torch.nn.functional.normalize,
        "l2_normalize": portnorm.torch.l2_normalize,
        "cat": functools.partial(torch.cat, dim=-1),
        **{"x": rows, "e": E, "n": n, "r": r},
    }
    found = eval(call, names)
    expected = WRITTEN[name](torch_operators(), rows, E)
    same = torch.allclose(found, expected, rtol=1e-7, atol=0, equal_nan=True)
    assert same, (name, call, found, expected)


def _show(number: float) -> str:
    return "NaN" if math.isnan(number) else f"{number + 0.0:.4g}"


_PARTS = {
    "forms": _forms,
    "form_lengths": _lengths,
    "form_slopes": _slopes,
    "form_halves": _halves,
    "form_conversions": _conversions,
}
TABLES: dict[str, Callable[[], str]] = {
    f"{name}{suffix}": functools.partial(make, language)
    for name, make in _PARTS.items()
    for language, suffix in enumerate(("", "_zh"))
}
