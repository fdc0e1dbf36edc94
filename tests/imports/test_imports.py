"""What an import of portnorm loads, needs and leaves alone; each in an interpreter of its own."""

from __future__ import annotations

import json
import sys

import pytest

from tests.conftest import needs_mindspore, needs_torch
from tests.imports.blocked import run_python

USE_TORCH = """
import torch, portnorm.torch as ops
print(ops.L2Normalize()(torch.tensor([3.0, 4.0])).tolist())
print(ops.normalize(torch.tensor([[3.0, 4.0]])).tolist())
"""
USE_MINDSPORE = """
import mindspore, portnorm.mindspore as F
print(F.L2Normalize()(mindspore.Tensor([3.0, 4.0])).asnumpy().tolist())
print(F.normalize(mindspore.Tensor([[3.0, 4.0]])).asnumpy().tolist())
"""
RESULTS = ["[0.6000000238418579, 0.800000011920929]", "[[0.6000000238418579, 0.800000011920929]]"]


# --- what is loaded -------------------------------------------------------------------------------

LOADED_AT_MOST = 60
"""Measured on Python 3.11: portnorm 49, most of them for dataclasses; asyncio 103, numpy 184."""


def loaded_by(statement: str) -> set[str]:
    """Return the names of the modules that a bare interpreter loads for a statement."""
    return set(
        run_python(
            "import sys; before = set(sys.modules)\n"
            f"{statement}\n"
            "print(*(set(sys.modules) - before), sep='\\n')"
        ).split()
    )


def not_of_python(modules: set[str]) -> set[str]:
    return {m.partition(".")[0] for m in modules} - set(sys.stdlib_module_names) - {"portnorm"}


def test_portnorm_loads_only_a_few_modules_of_the_standard_library() -> None:
    modules = loaded_by("import portnorm")
    assert "portnorm.options" in modules
    assert not_of_python(modules) == set()
    assert len(modules) <= LOADED_AT_MOST


@pytest.mark.parametrize("module", ["rich", "numpy"])
def test_a_package_that_portnorm_loaded_would_be_seen(module: str) -> None:
    pytest.importorskip(module)
    assert module in not_of_python(loaded_by(f"import portnorm, {module}"))


def test_modules_of_the_standard_library_that_portnorm_loaded_would_be_counted() -> None:
    modules = loaded_by("import portnorm, asyncio")
    assert not_of_python(modules) == set()
    assert len(modules) > LOADED_AT_MOST


@needs_torch
def test_the_torch_host_leaves_mindspore_alone() -> None:
    assert "mindspore" not in not_of_python(loaded_by("import portnorm.torch"))


@needs_mindspore
def test_the_mindspore_host_leaves_torch_alone() -> None:
    assert "torch" not in not_of_python(loaded_by("import portnorm.mindspore"))


@needs_mindspore
@pytest.mark.parametrize(
    ("call", "needs_numba"),
    [
        ("", False),
        ("F.normalize(x, eps=1e-3, parity='native')", False),
        ("F.normalize(x)", True),
        ("F.normalize(x, parity='strict')", True),
    ],
)
def test_the_mindspore_host_loads_numba_when_it_first_computes(
    call: str, needs_numba: bool
) -> None:
    code = "import portnorm.mindspore as F; from mindspore import Tensor; x = Tensor([[3.0]])"
    assert ("numba" in not_of_python(loaded_by(f"{code}\n{call}"))) == needs_numba


@needs_torch
@pytest.mark.parametrize(
    ("code", "needs_numba"),
    [
        (
            "F.normalize(x, parity='native'); F.l2_normalize(x, parity='native')\n"
            "F.normalize(x); F.l2_normalize(x).sum().backward()",
            False,
        ),
        ("F.l2_normalize(x, parity='strict')", True),
    ],
)
def test_the_torch_host_loads_numba_for_strict_calls_only(code: str, needs_numba: bool) -> None:
    start = "import torch, portnorm.torch as F; x = torch.ones(2, 3, requires_grad=True)"
    assert ("numba" in not_of_python(loaded_by(f"{start}\n{code}"))) == needs_numba


# --- what is needed -------------------------------------------------------------------------------


def test_portnorm_needs_no_other_package() -> None:
    others = ["torch", "mindspore", "numpy", "numba", "rich", "ml_dtypes", "safetensors"]
    code = "import portnorm; print(portnorm.get_options().parity)"
    assert run_python(code, blocked=others) == "semantic\n"


@needs_torch
def test_the_torch_host_works_where_mindspore_and_numpy_are_not_installed() -> None:
    assert run_python(USE_TORCH, blocked=["mindspore", "numpy"]).splitlines() == RESULTS


@needs_mindspore
def test_the_mindspore_host_works_where_torch_is_not_installed() -> None:
    assert run_python(USE_MINDSPORE, blocked=["torch"]).splitlines() == RESULTS


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_a_host_without_its_framework_says_which_one_is_missing(framework: str) -> None:
    code = f"""
try:
    import portnorm.{framework}
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert run_python(code, blocked=[framework]) == f"{framework}\n"


@pytest.mark.parametrize(("python", "can"), [("(3, 13)", False), ("(3, 12)", True)])
def test_where_mindspore_cannot_be_installed_the_error_says_so(python: str, can: bool) -> None:
    code = f"""
import functools, portnorm.frameworks as frameworks
frameworks.why_no_mindspore = functools.partial(frameworks.why_no_mindspore, {python})
try:
    import portnorm.mindspore
except ModuleNotFoundError as error:
    print(error.name, error)
"""
    text = run_python(code, blocked=["mindspore"])
    assert text == "mindspore " + (
        "No module named 'mindspore'\n"
        if can
        else "MindSpore cannot be installed for Python 3.13: MindSpore 2.10 has wheels for Python "
        "3.9 to 3.12\n"
    )


def test_a_blocked_module_looks_not_installed_and_others_stay() -> None:
    code = """
import importlib.util
print(importlib.util.find_spec("json") is None, importlib.util.find_spec("csv") is None)
import csv, json.decoder
"""
    with pytest.raises(AssertionError, match="ModuleNotFoundError: No module named 'json'"):
        run_python(code, blocked=["json"])
    assert run_python(code.replace("json.decoder", "sys"), blocked=["json"]) == "True False\n"
    assert run_python(code) == "False False\n"


# --- what is left alone ---------------------------------------------------------------------------

STATE = """
import builtins, json, locale, logging, os, random, signal, sys, threading, warnings

def state():
    found = {
        "warnings.filters": list(warnings.filters),
        "warnings.showwarning": warnings.showwarning,
        "logging": [logging.root.level, logging.root.handlers],
        "sys.path": sys.path,
        "hooks": [sys.meta_path, sys.path_hooks, sys.excepthook, sys.displayhook],
        "os.environ": dict(os.environ),
        "working directory": os.getcwd(),
        "random": random.getstate(),
        "recursion": sys.getrecursionlimit(),
        "builtins": sorted(vars(builtins)),
        "locale": locale.setlocale(locale.LC_ALL),
        "SIGINT": signal.getsignal(signal.SIGINT),
        "threads": threading.active_count(),
    }
    if numpy := sys.modules.get("numpy"):
        found["numpy"] = [numpy.geterr(), numpy.get_printoptions(), numpy.random.get_state()]
    if torch := sys.modules.get("torch"):
        found["torch"] = [
            torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads(),
            torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled(),
            torch.get_rng_state().tolist(),
        ]
    if mindspore := sys.modules.get("mindspore"):
        options = "mode", "device_target", "pynative_synchronize", "deterministic"
        found["mindspore"] = [mindspore.get_context(option) for option in options]
        found["mindspore seed"] = mindspore.get_seed()
    return {name: repr(value) for name, value in found.items()}
"""


def changed_by(statement: str, *, beforehand: str = "pass") -> list[str]:
    """Return the names of what a statement changes in the process."""
    code = f"""{STATE}
{beforehand}
before = state()
{statement}
after = state()
print("result", json.dumps([name for name in before if before[name] != after[name]]))
"""
    *_, line = run_python(code).splitlines()
    changed: list[str] = json.loads(line.removeprefix("result"))
    return changed


@pytest.mark.parametrize(
    ("module", "framework"),
    [
        ("portnorm", "sys"),
        pytest.param("portnorm.torch", "torch", marks=needs_torch),
        pytest.param("portnorm.mindspore", "mindspore", marks=needs_mindspore),
    ],
)
def test_an_import_changes_nothing_in_the_process(module: str, framework: str) -> None:
    assert changed_by(f"import {module}", beforehand=f"import {framework}") == []


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("warnings.simplefilter('ignore')", "warnings.filters"),
        ("logging.basicConfig()", "logging"),
        ("sys.path.append('elsewhere')", "sys.path"),
        ("sys.meta_path.append(None)", "hooks"),
        ("os.environ['NEW'] = '1'", "os.environ"),
        ("builtins.new = 1", "builtins"),
        ("random.seed(1)", "random"),
        pytest.param("torch.set_default_dtype(torch.float64)", "torch", marks=needs_torch),
    ],
)
def test_an_import_that_changed_something_would_be_seen(statement: str, changed: str) -> None:
    beforehand = "import torch" if changed == "torch" else "pass"
    assert changed_by(statement, beforehand=beforehand) == [changed]


def test_an_import_that_changed_the_error_state_of_numpy_would_be_seen() -> None:
    pytest.importorskip("numpy")
    assert changed_by("numpy.seterr(all='raise')", beforehand="import numpy") == ["numpy"]
