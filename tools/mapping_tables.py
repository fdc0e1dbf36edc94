"""The tables of the mapping pages, from migration_guide/data/mapping.json, in two languages."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markdown_table import table

DATA = Path(__file__).parent.parent / "migration_guide" / "data" / "mapping.json"

PAGES = {
    "normalize": ("F.normalize", "ops.L2Normalize", "portnorm.mindspore.normalize"),
    "l2normalize": ("ops.L2Normalize", "F.normalize", "portnorm.torch.L2Normalize"),
}
"""For each page: the function that the code calls, the one that looks like it, the adapter."""

QUESTIONS = {
    "axis": ("default axis", "默认轴"),
    "orders": ("`p` that it takes", "支持的 `p`"),
    "floor": ("divisor of a vector near 0, by default", "默认参数下，接近 0 的向量的除数"),
    "place": ("the same with eps = 0.25", "同上，eps = 0.25"),
    "unit": ("`[1, 2, 3]`",) * 2,
    "small": ("`[1e-10, 2e-10, 3e-10]`",) * 2,
    "zero": ("`[0, 0]`",) * 2,
    "nan": ("`[nan, 1, 2]`",) * 2,
    "infinity": ("`[inf, 1, 2]`",) * 2,
    "overflow": ("`[1e30, 1e30]`",) * 2,
    "overflow16": ("float16 `[300, 300, 300]`",) * 2,
    "zero16": ("float16 `[0, 0]`",) * 2,
    "eps16": ("float16 `[0, 0]`, eps = 1e-12 given", "float16 `[0, 0]`，显式给出 eps = 1e-12"),
    "dtypes": ("dtypes", "数据类型"),
    "dims": ("dims `(0, 1)` of a 2x2 tensor of ones", "全 1 的 2x2 张量，维度 `(0, 1)`"),
    "scalar": ("0-d tensor 3, axis 0", "0 维张量 3，轴 0"),
    "out": ("`out=`",) * 2,
    "gradient_above": ("gradient at `[3, 4]`", "`[3, 4]` 处的梯度"),
    "gradient_zero": ("gradient at `[0, 0]`", "`[0, 0]` 处的梯度"),
    "gradient_below": (
        "gradient at `[3e-4, 4e-4]`, eps = 0.01",
        "`[3e-4, 4e-4]` 处的梯度，eps = 0.01",
    ),
    "gradient_at": (
        "gradient at `[0.25, 0]`, eps = 0.25 (norm = eps)",
        "`[0.25, 0]` 处的梯度，eps = 0.25（范数 = eps）",
    ),
    "gradient_at_root": (
        "gradient at `[0.5, 0]`, eps = 0.25 (sum of squares = eps)",
        "`[0.5, 0]` 处的梯度，eps = 0.25（平方和 = eps）",
    ),
    "gradient_one": ("gradient at `[2]`, a vector of one element", "`[2]`（单元素向量）处的梯度"),
    "graph": (
        "graph: `torch.compile(fullgraph=True)`, `mindspore.jit`",
        "图模式：`torch.compile(fullgraph=True)`、`mindspore.jit`",
    ),
    "devices": ("measured on", "测量设备"),
}

ERRORS = {
    "axis_out_of_range": ("axis 2 of a matrix", "矩阵的轴 2"),
    "default_axis_of_a_vector": ("a vector, axis not given", "向量，未给出轴"),
    "axis_twice": ("axes `(0, 0)`", "轴 `(0, 0)`"),
    "axis_float": ("axis `1.0`", "轴 `1.0`"),
    "integers": ("tensor of int32", "int32 张量"),
    "eps_zero": ("eps `0.0`", "eps `0.0`"),
    "eps_int": ("eps `1`, an int", "eps `1`（整数）"),
    "eps_huge": ("eps `1e5`, float16", "eps `1e5`，float16"),
    "no_tensor": ("a list as input", "输入为列表"),
}

CHINESE = {
    "filled, and returned": "写入并返回",
    "none": "不支持",
    "compiles": "可编译",
    "no error": "不报错",
}


def _table(page: str, part: str, labels: dict[str, tuple[str, ...]], language: int) -> str:
    data: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    subjects = PAGES[page] if part == "rows" else PAGES[page][::2]
    if data[part].keys() != labels.keys():
        raise KeyError(f"labels and data differ: {data[part].keys() ^ labels.keys()}")
    rows = []
    for key, label in labels.items():
        cells = [data[part][key][subject].replace("|", "\\|") for subject in subjects]
        rows.append([label[language], *(CHINESE.get(c, c) if language else c for c in cells)])
    return table(["", *(f"`{subject}`" for subject in subjects)], rows)


def _measured_with(language: int) -> str:
    versions = json.loads(DATA.read_text(encoding="utf-8"))["versions"]
    found = f"torch {versions['torch']}, MindSpore {versions['mindspore']}, CPU, x86-64"
    return f"测量环境：{found}。\n" if language else f"Measured with {found}.\n"


def _tables() -> dict[str, Callable[[], str]]:
    tables: dict[str, Callable[[], str]] = {}
    for language, suffix in enumerate(("", "_zh")):
        tables[f"measured_with{suffix}"] = functools.partial(_measured_with, language)
        for page in PAGES:
            for part, labels in (("rows", QUESTIONS), ("errors", ERRORS)):
                name = f"{page}_{part}{suffix}"
                tables[name] = functools.partial(_table, page, part, labels, language)
    return tables


TABLES = _tables()
