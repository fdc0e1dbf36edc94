"""The stored outputs of torch on x86-64 and aarch64, version by version: see tests/golden."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from portnorm.errors import StrictParityError
from portnorm.exact import torch_cpu
from portnorm.reference import TorchReference
from tests.exact.same_encoding import Array
from tests.golden import recipe
from tests.sampling import SEED_OF_SAMPLES, dtypes_of_run, sample

GOLDEN = Path(recipe.HERE)


def index(folder: str) -> dict[str, dict[str, dict[str, list[str]]]]:
    """Return the files of each build by part, as they lie under GOLDEN."""
    outputs = json.loads((GOLDEN / folder / "index.json").read_text())["outputs"]
    return {
        version: {
            capability: {part: [folder + name for name in names] for part, names in parts.items()}
            for capability, parts in entry.items()
        }
        for version, entry in outputs.items()
    }


ENTRIES = index("")
BUILDS = {
    (version, capability): files
    for entries in (ENTRIES, index("aarch64/"))
    for version, entry in entries.items()
    for capability, files in entry.items()
}
CASES: list[dict[str, Any]] = recipe.load_cases()
ERRORS: dict[str, dict[str, list[str]]] = json.loads((GOLDEN / "errors.json").read_text())

VALUES, DIGEST, ERROR, NOT_COMPUTED, ELSEWHERE = range(5)
Kind = Literal["forward", "gradient"]


@functools.cache
def inputs(number: int) -> tuple[Array, Array]:
    case = CASES[number]
    assert recipe.input_digest(case) == case["input_digest"]
    x, g = recipe.inputs(case)
    return x, g


@functools.cache
def load(file: str) -> dict[str, Array]:
    with np.load(GOLDEN / file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def stored(files: list[str], name: str, number: int) -> tuple[int, bytes]:
    """Return the status and the bytes of a case, from the first file that has it."""
    for file in files:
        arrays = load(file)
        status = int(arrays[f"{name}_status"][number])
        if status != ELSEWHERE:
            begin, end = arrays[f"{name}_offset"][number : number + 2]
            return status, arrays[name][begin:end].tobytes()
    return ELSEWHERE, b""


def compute(case: dict[str, Any], kind: Kind, reference: TorchReference) -> Array:
    x, g = inputs(case["id"])
    arguments = recipe.number(case["p"]), recipe.dim_of(case), recipe.number(case["eps"])
    if kind == "gradient":
        return torch_cpu.normalize_vjp(x, g, *arguments, reference)
    return torch_cpu.normalize(x, *arguments, reference)


_digests: dict[tuple[Any, ...], str | Exception] = {}


def digest_of(case: dict[str, Any], kind: Kind, reference: TorchReference) -> str | Exception:
    """Return shape, dtype and a digest of what is computed, or the error, once for equal rules."""
    key = case["id"], kind, reference.threads, reference.rules
    if key not in _digests:
        try:
            found = compute(case, kind, reference)
            encoded = hashlib.sha256(recipe.canonical(found, case["dtype"])).hexdigest()
            _digests[key] = described(found, encoded)
        except (IndexError, RuntimeError, StrictParityError) as error:
            _digests[key] = error
    return _digests[key]


def described(array: Array, digest: str) -> str:
    return f"{array.dtype}{array.shape} {digest}"


def differs(case: dict[str, Any], kind: Kind, reference: TorchReference, files: Any) -> str:
    """Return what is wrong with one case, or nothing."""
    part = "general_p" if case["general_p"] else "main"
    status, expected = stored(files[part], f"{part}_{kind}", case["id"])
    if status in (NOT_COMPUTED, ELSEWHERE):
        return ""
    found = digest_of(case, kind, reference)
    if isinstance(found, Exception):
        return "" if is_right(found, status, case, kind, reference) else repr(found)
    if status == ERROR:
        return "no error"
    digest = expected.hex() if status == DIGEST else hashlib.sha256(expected).hexdigest()
    right = described(inputs(case["id"])[0], digest)
    if found.split()[:-1] != right.split()[:-1]:
        return found
    return "" if found == right else "other bits"


def is_right(
    error: Exception, status: int, case: dict[str, Any], kind: Kind, reference: TorchReference
) -> bool:
    """Whether torch raises the same, or the bits are among those that are not promised."""
    if isinstance(error, StrictParityError):
        return case["general_p"] and (kind == "gradient" or sums_in_bfloat16(case, reference))
    if (known := ERRORS.get(str(case["id"]))) is None:  # the texts of some are not stored
        return status == ERROR
    text = [text for text, versions in known.items() if reference.version in versions]
    return status == ERROR and [f"{type(error).__name__}: {error}"] == text


def sums_in_bfloat16(case: dict[str, Any], reference: TorchReference) -> bool:
    return case["dtype"] == "bfloat16" and reference.version in ("2.0.0", "2.0.1")


def of_order_2(dtype: str) -> list[dict[str, Any]]:
    return [case for case in CASES if case["dtype"] == dtype and recipe.number(case["p"]) == 2]


def mismatches(
    version: str,
    capability: str,
    cases: list[dict[str, Any]],
    rules_of: TorchReference | None = None,
) -> list[str]:
    """Return every case of a build that differs; `rules_of` plants other rules."""
    reference = rules_of or TorchReference(version, capability)
    files = BUILDS[version, capability]
    found = []
    for case in cases:
        threads = replace(reference, threads=case["threads"])
        for kind in ("forward", "gradient"):
            if what := differs(case, kind, threads, files):
                found.append(f"case {case['id']} {case['group']} {case['dtype']} {kind}: {what}")
    return found


@pytest.fixture(scope="module")
def cases_of_this_run(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Return the cases of some pairs of a dtype and an order, for each has kernels of its own.

    They hold the dtypes of the run at order 2, and every order.
    """
    if request.config.getoption("--full"):
        return CASES
    seed = os.environ[SEED_OF_SAMPLES]
    dtypes = dtypes_of_run(seed)
    pairs = sorted({(case["dtype"], str(case["p"])) for case in CASES if case["dtype"] in dtypes})
    cells = [{"dtype": dtype, "p": p} for dtype, p in pairs]
    drawn = {pairs[k] for k in sample(cells, random.Random(seed))}
    return [
        case
        for case in CASES
        if case["dtype"] in dtypes
        and ((case["dtype"], str(case["p"])) in drawn or recipe.number(case["p"]) == 2)
    ]


@pytest.mark.parametrize(("version", "capability"), BUILDS)
def test_every_stored_output_of_a_build(
    version: str, capability: str, cases_of_this_run: list[dict[str, Any]]
) -> None:
    assert mismatches(version, capability, cases=cases_of_this_run) == []


def test_every_build_has_stored_outputs_of_both_kinds_and_parts() -> None:
    for version, capability in BUILDS:
        files = BUILDS[version, capability]
        for part, least in (("main", 600), ("general_p", 24)):
            for kind in ("forward", "gradient"):
                statuses = [
                    stored(files[part], f"{part}_{kind}", case["id"])[0]
                    for case in CASES
                    if case["general_p"] == (part == "general_p")
                ]
                held = [status for status in statuses if status in (VALUES, DIGEST, ERROR)]
                assert len(held) >= (least if kind == "forward" else 0), (version, capability)


def test_the_bits_that_are_not_promised_are_those_of_powers_of_bfloat16_in_torch_2_0() -> None:
    refused = set()
    for version, capability in BUILDS:
        for case in CASES:
            if case["general_p"]:
                found = digest_of(case, "forward", TorchReference(version, capability))
                if isinstance(found, StrictParityError):
                    refused.add((version, case["dtype"]))
                elif isinstance(found, Exception):
                    assert (version[:3], case["dtype"]) == ("2.0", "float16")
    assert refused == {("2.0.0", "bfloat16"), ("2.0.1", "bfloat16")}


BEHAVIOUR = json.loads((GOLDEN / "behaviour.json").read_text())["calls"]
RAISING = {
    "int64 input": (np.int64, 1e-12),
    "bool input": (np.bool_, 1e-12),
    "float16, eps=1e5": (np.float16, 1e5),
    "float16, eps=65519": (np.float16, 65519.0),
    "bfloat16, eps=1e39": (np.uint16, 1e39),
}


@pytest.mark.parametrize("call", RAISING)
@pytest.mark.parametrize("version", ENTRIES)
def test_an_error_has_the_type_and_text_that_it_has_in_the_version(call: str, version: str) -> None:
    dtype, eps = RAISING[call]
    [expected] = [r["result"] for r in BEHAVIOUR[call] if version in r["versions"]]
    with pytest.raises((RuntimeError, NotImplementedError)) as raised:
        torch_cpu.normalize(np.ones((2, 2), dtype), eps=eps, reference=TorchReference(version))
    assert f"{raised.type.__name__}: {raised.value}" == expected


PLANTED = {
    "another rule for the tail": (("2.13.0", "avx2"), ("2.13.0", "default"), "fast_tail"),
    "lanes that fuse": (("2.8.0", "avx512"), ("2.7.1", "avx512"), ""),
    "another number of lanes": (("2.0.1", "avx512"), ("2.0.1", "avx2"), ""),
    "half as many lanes": (("2.13.0", "neon"), ("2.5.1", "neon"), ""),
    "another rule at the floor": (("2.14.1", "default"), ("2.13.0", "default"), "gradient"),
    "the same on aarch64": (("2.15.0", "sve256"), ("2.13.0", "sve256"), "gradient"),
    "a slow sum that is not fused": (("2.13.0", "sve256"), ("2.13.0", "default"), ""),
    "inner sums that are not rounded": (("2.2.2", "avx2"), ("2.3.1", "avx2"), "float16"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str) -> None:
    build, other, where = PLANTED[fault]
    cases = of_order_2("float16" if where == "float16" else "float32")
    found = mismatches(*build, rules_of=TorchReference(*other), cases=cases)
    assert any(where in text and "other bits" in text for text in found)


def test_an_error_in_place_of_a_result_is_found_and_a_result_in_place_of_an_error() -> None:
    old, new = TorchReference("2.0.1", "avx2"), TorchReference("2.1.2", "avx2")
    cases = of_order_2("float16")
    found = mismatches("2.1.2", "avx2", rules_of=old, cases=cases)
    assert any("not implemented" in text for text in found)
    found = mismatches("2.0.1", "avx2", rules_of=new, cases=cases)
    assert any("no error" in text for text in found)
