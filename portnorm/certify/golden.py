"""Outputs of torch that are stored in files, in the format that tests/golden/README.md describes.

The files are data, whoever made them: nothing in the folder is run or unpickled.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from portnorm.certify.cases import Case, View
from portnorm.certify.check import Count, Tally, compare
from portnorm.certify.cuda_golden import check_digests, read_digests
from portnorm.certify.encodings import FORMATS, Array, Format, is_nan
from portnorm.certify.implementations import Outcome, exact
from portnorm.certify.report import Report, name_of
from portnorm.errors import PortnormError, StrictParityError
from portnorm.reference import CudaRules, TorchReference, TorchRules
from portnorm.terminal import Progress

VALUES, DIGEST, ERROR, NOT_COMPUTED, ELSEWHERE = range(5)
"""What is stored for a case."""


class GoldenError(PortnormError):
    """A folder does not hold what it should."""


class StoredCase(NamedTuple):
    """A case, its number, and in which part of the files its outputs are."""

    number: int
    part: str
    case: Case


class StoredBuild(NamedTuple):
    """A build, and its files by part; a case that is not in a file is in the next one."""

    reference: TorchReference
    files: dict[str, list[Path]]


def certify_golden(folder: Path, progress: Progress | None = None) -> Report:
    """Compare stored outputs of torch with `portnorm.exact`.

    Args:
        folder: in the format of tests/golden, or of tests/golden/cuda.
        progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        GoldenError: the folder does not hold what it should.
        OSError: a file cannot be read.
    """
    try:
        devices = [*read_digests(folder), *read_digests(folder / "cuda")]
        only_devices = devices and not (folder / "cases.jsonl").exists()
        cases = [] if only_devices else read_cases(folder)
        builds = [] if only_devices else list(read_builds(folder))
        report, outcome_of = Report(None), _outcomes_by_rules()
        checks: list[tuple[str, Callable[[], Tally]]] = [
            (name_of(build.reference), functools.partial(_check_build, build, cases, outcome_of))
            for build in builds
        ]
        checks += [
            (name_of(stored.reference), functools.partial(check_digests, stored))
            for stored in devices
        ]
        for rank, (name, check) in enumerate(checks):
            if progress is not None:
                progress(name, rank, len(checks))
            report.tallies[name] = check()
        return report
    except _MALFORMED as error:
        raise GoldenError(f"{folder}: not a folder of stored outputs: {error!r}") from error


_MALFORMED = (KeyError, IndexError, TypeError, ValueError, zipfile.BadZipFile)


# --- reading --------------------------------------------------------------------------------------


def read_cases(folder: Path) -> list[StoredCase]:
    """Read the cases and rebuild their inputs.

    Raises:
        GoldenError: the inputs are not those that the outputs were made from.
        OSError, KeyError, TypeError, ValueError: there are no cases.
    """
    lines = (folder / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return [_stored_case(json.loads(line)) for line in lines if line.strip()]


def read_builds(folder: Path) -> Iterator[StoredBuild]:
    """Read which builds have outputs in which files."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    for version, capabilities in index["outputs"].items():
        for capability, parts in capabilities.items():
            files = {part: [_inside(folder, name) for name in parts[part]] for part in _PARTS}
            yield StoredBuild(TorchReference(version, capability), files)
    if (folder / "aarch64" / "index.json").exists():
        yield from read_builds(folder / "aarch64")


_PARTS = ("main", "general_p")


def _inside(folder: Path, name: str) -> Path:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a file in the folder")
    return folder / name


def _read_arrays(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


# --- inputs ---------------------------------------------------------------------------------------


def _stored_case(record: dict[str, Any]) -> StoredCase:
    form = FORMATS[record["dtype"]]
    shape = tuple(record["shape"])
    seed = record["seed"]
    x = _buffer(record["scale"], record["base"], seed, form)
    g = _buffer(record["g_scale"], record["g_base"], seed + _SEED_OF_COTANGENT, form)
    if _digest(x, g, form) != record["input_digest"]:
        raise GoldenError(f"the rebuilt inputs of case {record['id']} are not those of the outputs")
    dim = record["dim"]
    cotangent = View(g, shape, tuple(record["g_strides"]), 0, form)
    case = Case(
        name=f"{record['id']} of group {record['group']}",
        dtype=form.dtype,
        values=json.dumps(record["scale"]),
        x=View(x, shape, tuple(record["strides"]), record["offset"], form),
        g=cotangent if record["grad"] else None,
        p=float(record["p"]),
        dim=tuple(dim) if isinstance(dim, list) else dim,
        eps=float(record["eps"]),
        threads=record["threads"],
    )
    return StoredCase(record["id"], _PARTS[record["general_p"]], case)


_SEED_OF_COTANGENT = 1_000_000


def _buffer(scale: dict[str, Any], count: int, seed: int, form: Format) -> Array:
    """Return the words of a buffer of random numbers."""
    rng = np.random.default_rng(seed)
    numbers = _SCALES[scale["kind"]](rng.random(count) * 2.0 - 1.0, scale, rng)
    with np.errstate(all="ignore"):
        if form.dtype != "bfloat16":
            return numbers.astype(form.numpy).view(form.word)
        return _to_bfloat16(numbers.astype(np.float32))


def _to_bfloat16(numbers: Array) -> Array:
    """Round float32 to nearest, ties to even; every NaN becomes one."""
    words = numbers.view(np.uint32)
    odd = (words >> np.uint32(16)) & np.uint32(1)
    rounded = ((words + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(numbers), np.uint16(0x7FC0), rounded)


def _special(numbers: Array, scale: dict[str, Any], rng: np.random.Generator) -> Array:
    chance = rng.random(len(numbers))
    where = [
        (chance < scale["nan"], np.nan),
        ((chance > 0.30) & (chance < 0.30 + scale["inf"]), np.inf),
        ((chance > 0.50) & (chance < 0.50 + scale["inf"]), -np.inf),
        ((chance > 0.70) & (chance < 0.80), -0.0),
        ((chance > 0.80) & (chance < 0.90), 0.0),
    ]
    for here, value in where:
        numbers = np.where(here, value, numbers)
    return numbers


def _zeros(numbers: Array, scale: dict[str, Any], rng: np.random.Generator) -> Array:
    chance = rng.random(len(numbers))
    return np.where(chance < 0.4, 0.0, np.where(chance < 0.8, -0.0, numbers))


def _one_hot(numbers: Array, scale: dict[str, Any], rng: np.random.Generator) -> Array:
    here = np.arange(len(numbers)) % scale["period"] == scale["at"]
    return np.where(here, scale["value"], 0.0)


_SCALES: dict[str, Callable[[Array, dict[str, Any], np.random.Generator], Array]] = {
    "unit": lambda numbers, scale, rng: numbers,
    "pow2": lambda numbers, scale, rng: np.ldexp(numbers, scale["k"]),
    "mixed": lambda numbers, scale, rng: np.ldexp(
        numbers, rng.integers(scale["lo"], scale["hi"], len(numbers))
    ),
    "special": _special,
    "zeros": _zeros,
    "allzero": lambda numbers, scale, rng: np.where(rng.random(len(numbers)) < 0.5, 0.0, -0.0),
    "ints": lambda numbers, scale, rng: rng.integers(-3, 4, len(numbers)).astype(np.float64),
    "const": lambda numbers, scale, rng: np.where(numbers < 0, -scale["value"], scale["value"]),
    "onehot": _one_hot,
}
"""What becomes of uniform numbers in [-1, 1), by the kind of a scale."""


def _digest(x: Array, g: Array, form: Format) -> str:
    both = _stored_bytes(x.view(form.numpy), form) + _stored_bytes(g.view(form.numpy), form)
    return hashlib.sha256(both).hexdigest()[:16]


def _stored_bytes(array: Array, form: Format) -> bytes:
    """Return the bytes of an array as they are stored: little-endian, with one NaN."""
    words = np.ascontiguousarray(array).view(form.word)
    words = np.where(is_nan(words, form), form.word.type(form.nan), words)
    return words.astype(form.word.newbyteorder("<")).tobytes()


# --- comparing ------------------------------------------------------------------------------------

_OutcomeOf = Callable[[TorchReference, Case], Outcome]


def _outcomes_by_rules() -> _OutcomeOf:
    """Return a function that computes a case once for all builds with the same rules."""
    known: dict[tuple[TorchRules | CudaRules, Case], Outcome] = {}

    def outcome_of(reference: TorchReference, case: Case) -> Outcome:
        key = reference.rules, case
        if key not in known:
            known[key] = exact(reference)(case)
        return known[key]

    return outcome_of


def _check_build(build: StoredBuild, cases: list[StoredCase], outcome_of: _OutcomeOf) -> Tally:
    tally, started = Tally(), time.monotonic()
    files = {part: [_read_arrays(path) for path in build.files[part]] for part in _PARTS}
    for stored in cases:
        outcome = outcome_of(build.reference, stored.case)
        for function in ("forward", "gradient"):
            status, data = _stored_result(files[stored.part], stored, function)
            if status not in (NOT_COMPUTED, ELSEWHERE):
                _compare(stored, function, status, data, outcome, tally)
        tally.cases += 1
    tally.seconds = time.monotonic() - started
    return tally


def _stored_result(
    files: list[dict[str, Array]], stored: StoredCase, function: str
) -> tuple[int, bytes]:
    key, number = f"{stored.part}_{function}", stored.number
    for arrays in files:
        status = int(arrays[f"{key}_status"][number])
        if status != ELSEWHERE:
            first, last = arrays[f"{key}_offset"][number : number + 2]
            return status, arrays[key][first:last].tobytes()
    return ELSEWHERE, b""


def _compare(
    stored: StoredCase, function: str, status: int, data: bytes, outcome: Outcome, tally: Tally
) -> None:
    case, found = stored.case, getattr(outcome, function)
    if found is StrictParityError:
        tally.refused += 1
        return
    count, details = _compare_stored(status, data, found, case)
    tally.add(function, case, count, details)


def _compare_stored(
    status: int, data: bytes, found: Any, case: Case
) -> tuple[Count, dict[str, Any]]:
    form = FORMATS[case.dtype]
    if status == ERROR or isinstance(found, type) or found is None:
        same = status == ERROR and isinstance(found, type)
        kinds = {"expected": "an error" if status == ERROR else "a result", "found": repr(found)}
        return Count(1, 0, int(not same)), {} if same else kinds
    if status == DIGEST:
        digest = hashlib.sha256(_stored_bytes(found, form)).digest()
        details = {"expected": data.hex(), "found": digest.hex()}
        same = digest == data
        return Count(1, case.x.size, int(not same)), {} if same else details
    words = np.frombuffer(data, form.word.newbyteorder("<")).astype(form.word)
    return compare(words.view(form.numpy).reshape(case.x.shape), found, case.dtype)
