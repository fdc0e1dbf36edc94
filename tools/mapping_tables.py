"""The tables of the mapping pages, from migration_guide/data/mapping.json, in two languages."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markdown_table import table

from portnorm.semantics import L2NORMALIZE, NORMALIZE, Function

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
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
    "dims": ("`[[1, 2], [3, 4]]`, dims `(0, 1)`", "`[[1, 2], [3, 4]]`，维度 `(0, 1)`"),
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

ARGUMENTS = {
    "input": "x",
    "p": None,
    "dim": "axis",
    "eps": "epsilon",
    "out": None,
}
"""Each argument of `F.normalize`, and what `ops.L2Normalize` calls it; None where it has none."""

CATEGORIES = {
    "same": ("the same", "相同", "nothing is to be done", "无需改动"),
    "name": (
        "other name",
        "参数名不同",
        "rename it where it is given by name",
        "以关键字传入时需改名",
    ),
    "place": (
        "other place",
        "传入位置不同",
        "one function takes it in the call, the other in the constructor, or in another order",
        "一方在调用时传入，另一方在构造时传入，或顺序不同",
    ),
    "default": (
        "other default",
        "默认值不同",
        "a call that leaves it out has to give it",
        "省略该参数的调用必须显式给出",
    ),
    "meaning": (
        "other meaning",
        "含义不同",
        "the same number says something else, and has to be converted",
        "同一个数值表示不同的含义，需要换算",
    ),
    "types": (
        "fewer types",
        "类型更少",
        "values of some types are refused",
        "部分类型的值会被拒绝",
    ),
    "missing": (
        "missing",
        "无此参数",
        "one function has no such argument, and behaves as if it had one value",
        "其中一方没有该参数，其行为相当于固定取某个值",
    ),
}
"""The fixed vocabulary: for each category its name, and what it asks for, in two languages."""

_BY_HAND = {
    "normalize": {
        "input": ("`L2Normalize(...)(x)`", "`L2Normalize(...)(x)`"),
        "p": ("keep 2; no other has a counterpart", "只能为 2；其他值没有对应写法"),
        "dim": ("give `axis=1` where `dim` is left out", "省略 `dim` 时须写 `axis=1`"),
        "eps": (
            "`epsilon = eps ** 2`, [with exceptions](explanation/epsilon.md)",
            "`epsilon = eps ** 2`，[有例外](explanation/epsilon.zh.md)",
        ),
        "out": ("assign the result", "改为赋值"),
    },
    "l2normalize": {
        "input": ("`normalize(x, ...)`", "`normalize(x, ...)`"),
        "p": ("leave it at 2", "保持为 2"),
        "dim": ("give `dim=0` where `axis` is left out", "省略 `axis` 时须写 `dim=0`"),
        "eps": (
            "`eps = epsilon ** 0.5`, so 0.01 where it is left out",
            "`eps = epsilon ** 0.5`，省略时为 0.01",
        ),
        "out": ("leave it out", "不使用"),
    },
}

DOCUMENTATION = {
    "torch.nn.functional.normalize": (
        "https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.normalize.html",
    )
    * 2,
    "mindspore.ops.L2Normalize": (
        "https://www.mindspore.cn/docs/en/master/api_python/ops/mindspore.ops.L2Normalize.html",
        "https://www.mindspore.cn/docs/zh-CN/master/api_python/ops/mindspore.ops.L2Normalize.html",
    ),
}
"""The official page of each function, in both languages."""

FIRST = {
    "torch": ("0.2", "0.2"),
    "mindspore": ("1.5 or before, float64 since 2.0", "1.5 或更早（2.0 起支持 float64）"),
}
"""The first release that has, or documents, the function."""

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


def _parameters(function: Function) -> dict[str, tuple[str, int, int]]:
    """Return for each argument its default as it is written, the call that takes it, its place."""
    call = ast.parse(function.signature, mode="eval").body
    written = functools.partial(ast.get_source_segment, function.signature)
    calls = []
    while isinstance(call, ast.Call):
        calls.insert(0, call)
        call = call.func
    return {
        name: (default, number, place)
        for number, call in enumerate(calls)
        for place, (name, default) in enumerate(
            [(ast.unparse(one), "") for one in call.args]
            + [(str(one.arg), written(one.value)) for one in call.keywords]
        )
    }


def categories(argument: str) -> list[str]:
    """Return the categories of an argument of `F.normalize`, from `portnorm.semantics`.

    >>> categories("dim")
    ['name', 'place', 'default', 'types']
    """
    of_torch, of_mindspore = map(_parameters, (NORMALIZE, L2NORMALIZE))
    other = ARGUMENTS[argument]
    if other is None:
        return ["missing"]
    (default, *place), (other_default, *other_place) = of_torch[argument], of_mindspore[other]
    differs = {
        "name": argument != other,
        "place": place != other_place,
        "default": default != other_default,
        "meaning": argument == "eps" and NORMALIZE.eps_on != L2NORMALIZE.eps_on,
        "types": argument in ("input", "dim"),  # dtypes, and several dims
    }
    return [name for name, found in differs.items() if found] or ["same"]


def _arguments(page: str, language: int) -> str:
    """Each argument of both functions, what differs, and what a port without portnorm does."""
    of_torch, of_mindspore = map(_parameters, (NORMALIZE, L2NORMALIZE))
    if ARGUMENTS.keys() != of_torch.keys() or set(ARGUMENTS.values()) - {None} != set(of_mindspore):
        raise KeyError("ARGUMENTS and the signatures in portnorm.semantics differ")
    rows = []
    for name, other in ARGUMENTS.items():
        cells = [_written(name, of_torch), _written(other, of_mindspore)]
        found = [CATEGORIES[category][language] for category in categories(name)]
        by_hand = _BY_HAND[page][name][language]
        rows.append([*cells[:: 1 if page == "normalize" else -1], ", ".join(found), by_hand])
    frameworks = ["PyTorch", "MindSpore"][:: 1 if page == "normalize" else -1]
    headings = [("category", "without portnorm"), ("差异类别", "不使用 portnorm 时")][language]
    return table([*frameworks, *headings], rows)


def _written(name: str | None, parameters: dict[str, tuple[str, int, int]]) -> str:
    if name is None:
        return "-"
    default = parameters[name][0]
    return f"`{name}={default}`" if default else f"`{name}`"


def _categories(language: int) -> str:
    """The vocabulary, with what each word asks for."""
    headings = [("category", "it means"), ("差异类别", "含义")][language]
    return table(headings, [one[language::2] for one in CATEGORIES.values()])


def _signatures(page: str, language: int) -> str:
    """Both functions and the adapter, with the official page and the version of each."""
    first, second = (NORMALIZE, L2NORMALIZE)[:: 1 if page == "normalize" else -1]
    frameworks = {"torch": "PyTorch", "mindspore": "MindSpore"}
    rows = []
    for function in (first, second):
        module, package = function.name.rpartition(".")[0], function.name.partition(".")[0]
        link = f"[`{module}.{function.signature}`]({DOCUMENTATION[function.name][language]})"
        rows.append([frameworks[package], link, _since(package, language)])
    host = second.name.partition(".")[0]
    signature = first.signature.replace(")", ", *, parity=None)", 1)
    on = (f"portnorm, on {frameworks[host]}", f"portnorm（{frameworks[host]}）")[language]
    link = f"[`portnorm.{host}.{signature}`](reference/api.md)"
    rows.append([on, link, "portnorm 0.1.0"])
    headings = [
        ("", "signature, and its official page", "since"),
        ("", "签名（官方页面）", "起始版本"),
    ]
    return table(headings[language], rows)


def _since(package: str, language: int) -> str:
    """The oldest release that portnorm takes, as pyproject.toml has it."""
    wanted = re.search(rf'^{package} = \["{package}>=([\d.]+)', PYPROJECT.read_text(), re.M)
    assert wanted is not None
    framework = {"torch": "PyTorch", "mindspore": "MindSpore"}[package]
    older = (
        f"{FIRST[package][0]}; portnorm takes {wanted[1]} and later",
        f"{FIRST[package][1]}；portnorm 支持 {wanted[1]} 及以上",
    )
    return f"{framework} {older[language]}"


def _tables() -> dict[str, Callable[[], str]]:
    tables: dict[str, Callable[[], str]] = {}
    for language, suffix in enumerate(("", "_zh")):
        tables[f"categories{suffix}"] = functools.partial(_categories, language)
        tables[f"measured_with{suffix}"] = functools.partial(_measured_with, language)
        for page in PAGES:
            tables[f"{page}_arguments{suffix}"] = functools.partial(_arguments, page, language)
            tables[f"{page}_signatures{suffix}"] = functools.partial(_signatures, page, language)
            for part, labels in (("rows", QUESTIONS), ("errors", ERRORS)):
                name = f"{page}_{part}{suffix}"
                tables[name] = functools.partial(_table, page, part, labels, language)
    return tables


TABLES = _tables()
