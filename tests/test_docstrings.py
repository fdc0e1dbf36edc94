"""The examples in docstrings give the output that they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

import portnorm

PACKAGE = Path(portnorm.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)
OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def import_or_skip(name: str) -> ModuleType:
    """Import a module of portnorm; skip where a package that it needs is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing == "portnorm":
            raise
        pytest.skip(f"{missing} is not installed")


def run_examples(module: ModuleType) -> doctest.TestResults:
    return doctest.testmod(module, optionflags=OPTIONS)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    assert run_examples(import_or_skip(name)).failed == 0


FUNCTIONS = {
    "portnorm.options": ["get_options", "set_options"],
    "portnorm.compare.comparison": ["Comparison", "Comparison.to_html"],
    "portnorm.compare.result": ["Result.worst"],
    "portnorm.compare.run": ["compare"],
    "portnorm.exact.torch_cpu": ["normalize", "normalize_vjp"],
    "portnorm.exact.mindspore_cpu": ["l2_normalize", "l2_normalize_vjp"],
}


@pytest.mark.parametrize("name", ["portnorm.torch", "portnorm.mindspore", *FUNCTIONS])
def test_every_public_function_and_class_has_an_example(name: str) -> None:
    module = import_or_skip(name)
    public = FUNCTIONS.get(name) or module.__all__
    found = {test.name for test in doctest.DocTestFinder().find(module) if test.examples}
    assert found >= {f"{name}.{public_name}" for public_name in public}


def test_an_example_with_another_output_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    module = ModuleType("planted", ">>> 1 + 1\n3\n")
    assert run_examples(module) == (1, 1)
    assert "Expected:" in capsys.readouterr().out
