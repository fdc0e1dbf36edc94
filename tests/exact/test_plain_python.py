"""The same functions as plain Python give the bits that compiled ones do."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from tests.exact.plain_python import results
from tests.imports.blocked import run_python

RUN = """
import json, sys
from portnorm.exact.torch_kernels import divide_elements
assert not hasattr(divide_elements, "py_func")
{fault}
from tests.exact.plain_python import results
json.dump(results({seed}), sys.stdout)
"""


def in_plain_python(seed: int, fault: str = "") -> list[tuple[str, str]]:
    code = RUN.format(seed=seed, fault=fault)
    output = run_python(code, environment={"NUMBA_DISABLE_JIT": "1"})
    return [(name, encoding) for name, encoding in json.loads(output)]


def differing(seed: int, fault: str = "") -> list[str]:
    pairs = zip(results(seed), in_plain_python(seed, fault), strict=True)
    return [f"{compiled[0]}\n  {plain[0]}" for compiled, plain in pairs if compiled != plain]


def test_plain_python_gives_the_same_bits(rng: np.random.Generator) -> None:
    assert differing(int(rng.integers(2**32))) == []


def test_a_planted_fault_is_found(rng: np.random.Generator) -> None:
    fault = (
        "import portnorm.exact.reduction as reduction\n"
        "reduction.fused_multiply_add = lambda a, b, c: a * b + c"
    )
    found = differing(int(rng.integers(2**32)), fault)
    assert found
    assert not any("default" in name for name in found)


def test_the_cases_are_some_hundreds_of_both_kinds() -> None:
    kinds = Counter(name.split()[1] for name, _ in results(0))
    assert kinds["forward"] > 150
    assert kinds["gradient"] > 150
