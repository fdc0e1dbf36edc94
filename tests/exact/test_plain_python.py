"""The same functions as plain Python give the bits that compiled ones do."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.exact.plain_python import results
from tests.imports.blocked import run_python
from tests.sampling import drawn_seed

RUN = """
import json, sys
from portnorm.exact.torch_kernels import divide_elements
assert not hasattr(divide_elements, "py_func")
{fault}
from tests.exact.plain_python import results
json.dump(results({seed}, {dtypes}), sys.stdout)
"""


def in_plain_python(seed: int, dtypes: int, fault: str = "") -> list[tuple[str, str]]:
    code = RUN.format(seed=seed, dtypes=dtypes, fault=fault)
    output = run_python(code, environment={"NUMBA_DISABLE_JIT": "1"})
    return [(name, encoding) for name, encoding in json.loads(output)]


Compiled = tuple[int, int, list[tuple[str, str]]]
"""A seed, of how many dtypes, and what the compiled functions give for them."""


@pytest.fixture(scope="module")
def compiled(request: pytest.FixtureRequest) -> Compiled:
    """Compile once for all tests, which takes most of their time: less for two dtypes."""
    seed = drawn_seed()
    dtypes = 4 if request.config.getoption("--full") else 2
    return seed, dtypes, results(seed, dtypes)


def differing(compiled: Compiled, fault: str = "") -> list[str]:
    seed, dtypes, expected = compiled
    print(f"PORTNORM_TEST_SEED={seed}")
    pairs = zip(expected, in_plain_python(seed, dtypes, fault), strict=True)
    return [f"{one[0]}\n  {plain[0]}" for one, plain in pairs if one != plain]


def test_plain_python_gives_the_same_bits(compiled: Compiled) -> None:
    assert differing(compiled) == []


def test_a_planted_fault_is_found(compiled: Compiled) -> None:
    fault = (
        "import numpy as np\nimport portnorm.exact.reduction as reduction\n"
        "reduction.fused_multiply_add = lambda a, b, c: np.nextafter(a * b + c, c)"
    )
    found = differing(compiled, fault)
    assert found
    assert not any("default" in name for name in found)


def test_the_cases_are_some_hundreds_of_both_kinds(compiled: Compiled) -> None:
    kinds = Counter(name.split()[1] for name, _ in compiled[-1])
    assert kinds["forward"] > 100
    assert kinds["gradient"] > 100
