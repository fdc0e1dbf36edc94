"""certify passes on the installed frameworks, and finds every fault that is planted."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from portnorm import MindSporeReference, TorchReference, certify, cli
from portnorm.certify.builds import (
    InProcess,
    InSubprocess,
    Share,
    UnavailableError,
    nearest_certified,
)
from portnorm.certify.cases import Case
from portnorm.certify.check import Tally, check, compare
from portnorm.certify.encodings import FORMATS, KINDS, draw_words
from portnorm.certify.implementations import Implementation, Outcome, exact
from tests.conftest import needs_mindspore, needs_torch


@pytest.fixture(autouse=True)
def _same_settings_after() -> Iterator[None]:
    threads = None
    if importlib.util.find_spec("torch") is not None:
        import torch

        threads = torch.get_num_threads()
    yield
    if threads is not None:
        torch.set_num_threads(threads)


@pytest.fixture
def seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**32))


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Return the one line with which the command refuses."""
    try:
        code = cli.main(["certify", *argv])
    except SystemExit as error:
        code = error.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


# --- no fault -------------------------------------------------------------------------------------


@needs_torch
@needs_mindspore
def test_all_builds_of_this_machine_are_bit_identical(
    capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    capsys.readouterr()  # the seed of the fixture
    assert cli.main(["certify", "--json", "--cases", "80", "--seed", str(seed)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["identical"] is True
    assert found["first_mismatch"] is None
    assert (found["seed"], found["total"]["cases"]) == (seed, 80)
    builds = {row["build"] for row in found["classes"]}
    assert {name.split()[0] for name in builds} == {"torch", "mindspore"}
    assert len(builds) >= 2
    assert found["total"]["elements"] == sum(row["elements"] for row in found["classes"]) > 0


@needs_torch
def test_the_table_has_every_class_and_the_seed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, InProcess("torch"))
    assert cli.main(["certify", "--host", "torch", "--cases", "200"]) == 0
    out = capsys.readouterr().out
    for name in ("forward  float32", "gradient float16", "gradient bfloat16", "other p"):
        assert name in out
    assert re.search(r"^total +200 +[\d,]+ +0$", out, re.M)
    assert re.search(r"^seed \d+, .* million elements a second$", out, re.M)
    assert out.endswith("\nBit-identical.\n")
    assert max(map(len, out.splitlines())) <= 90


@needs_torch
def test_seconds_end_a_run_after_one_case_at_least(seed: int) -> None:
    report = certify.certify([InProcess("torch")], seed, seconds=1e-9)
    assert report.total.cases == 1


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, and what of it was spent on compiling; tests move both."""
    times = [0.0, 0.0]
    monkeypatch.setattr("time.monotonic", lambda: times[0])
    monkeypatch.setattr("portnorm.certify.check.seconds_compiling", lambda: times[1])
    return times


def slow(now: list[float], compiling: float) -> Implementation:
    """Return an implementation of which each case takes a second, and the first one compiling."""
    left = [compiling]

    def run(case: Case) -> Outcome:
        spent = left.pop() if left else 0.0
        now[0] += 1.0 + spent
        now[1] += spent
        return Outcome(None, None)

    return run


def test_what_compiling_takes_is_told_and_not_counted(seed: int, now: list[float]) -> None:
    cases = [certify.torch_case(seed, number) for number in range(20)]
    tally = check(cases, slow(now, 0.0), slow(now, 100.0), seconds=10)
    assert (tally.cases, tally.seconds, tally.compiling) == (5, 10.0, 100.0)
    report = certify.Report(seed, {"a build": tally})
    assert "compiling kernels took 100.0 s more, which are not counted" in [*report.lines()]
    assert report.to_dict()["seconds_compiling"] == 100.0
    tally.compiling = 0.0
    assert not any("compiling" in line for line in report.lines())


class Slow:
    """A build that takes twice its share of the time."""

    def __init__(self, now: list[float], shares: list[Share], capability: str = "avx2") -> None:
        self.reference = TorchReference(capability=capability)
        self.now, self.shares = now, shares

    def run(self, share: Share, progress: Any = None) -> Tally:
        self.shares.append(share)
        self.now[0] += 50.0 + 2 * (share.seconds or 0.0)
        return Tally(cases=1, compiling=50.0)


def test_builds_share_the_time_that_is_left(seed: int, now: list[float]) -> None:
    shares: list[Share] = []
    builds = [Slow(now, shares, name) for name in ("default", "avx2", "avx512")]
    certify.certify(builds, seed, seconds=60)
    assert [share.seconds for share in shares] == [20.0, 10.0, 0.0]


@needs_torch
def test_starting_the_frameworks_counts_in_the_seconds(
    monkeypatch: pytest.MonkeyPatch, now: list[float]
) -> None:
    shares: list[Share] = []

    @contextlib.contextmanager
    def installed(hosts: list[str], device: str) -> Iterator[tuple[list[Slow], list[str]]]:
        now[0] += 12.0
        yield [Slow(now, shares)], []

    monkeypatch.setattr(certify, "installed_builds", installed)
    with contextlib.suppress(SystemExit):
        cli.main(["certify", "--seconds", "20"])
    assert [share.seconds for share in shares] == [8.0]


def test_seed_and_number_say_all_of_a_case(seed: int) -> None:
    for draw in (certify.torch_case, certify.mindspore_case):
        for number in range(50):
            a, b = draw(seed, number), draw(seed, number)
            assert (a.x.shape, a.x.strides, a.dim) == (b.x.shape, b.x.strides, b.dim)
            assert a.x.array.tobytes() == b.x.array.tobytes()


def test_cases_are_of_every_kind() -> None:
    cases = [certify.torch_case(0, number) for number in range(2000)]
    assert {case.x.array.ndim for case in cases} == {0, 1, 2, 3, 4, 5}
    assert {case.dtype for case in cases} == set(FORMATS)
    assert {type(case.dim) for case in cases} == {int, tuple, list, type(None)}
    assert {case.p for case in cases} == {0, 1, 2, 3, 0.5, 2.2, -1, np.inf, -np.inf}
    assert any(case.x.size == 0 for case in cases)
    assert any(case.x.size > 1e6 for case in cases)
    assert any(0 in case.x.strides and case.x.size > 1 for case in cases)
    assert any(case.g and case.g.strides != case.x.strides for case in cases)
    assert any(case.threads > 1 and case.x.size > 32768 for case in cases)


def test_what_mindspore_leaves_undefined_is_not_drawn() -> None:
    for number in range(1000):
        case = certify.mindspore_case(0, number)
        axis = case.dim if isinstance(case.dim, int) else case.dim[0]
        assert case.x.shape[axis] > 0
        x = case.x.array
        if case.dtype != "float16" and x.size:
            with np.errstate(all="ignore"):
                squares = x * x
            assert not ((squares < np.finfo(x.dtype).tiny) & (squares > 0)).any()


# --- planted faults -------------------------------------------------------------------------------

Fault = Callable[[Case, Any], Any]


def use(monkeypatch: pytest.MonkeyPatch, *builds: InProcess) -> None:
    """Have the command compare with these builds."""

    @contextlib.contextmanager
    def installed(hosts: list[str], device: str) -> Iterator[tuple[list[InProcess], list[str]]]:
        yield list(builds), []

    monkeypatch.setattr(certify, "installed_builds", installed)


def with_fault(reference: TorchReference | MindSporeReference, fault: Fault) -> Implementation:
    """Return the exact implementation, but for p = 2 over one dim with another forward."""
    right = exact(reference)

    def wrong(case: Case) -> Outcome:
        outcome = right(case)
        one_dim = isinstance(case.dim, int) and case.x.size and case.x.shape
        if case.p != 2 or case.dtype == "bfloat16" or not one_dim:
            return outcome
        with np.errstate(all="ignore"):
            return replace(outcome, forward=fault(case, case.x.array))

    return wrong


def pairwise(case: Case, x: Any) -> Any:
    rows = np.ascontiguousarray(np.moveaxis(x, case.dim, -1))
    sums = np.moveaxis((rows * rows).sum(-1, dtype=x.dtype, keepdims=True), -1, case.dim)
    return (x / np.maximum(np.sqrt(sums), x.dtype.type(case.eps))).astype(x.dtype)


def reciprocal(case: Case, x: Any) -> Any:
    sums = np.moveaxis(np.cumsum(np.moveaxis(x * x, case.dim, -1), -1)[..., -1:], -1, case.dim)
    return (x * (1 / np.maximum(np.sqrt(sums), x.dtype.type(case.eps)))).astype(x.dtype)


def wrong_tail(reference: TorchReference) -> Implementation:
    """Return the exact implementation, with another rule for elements that do not fill a step."""
    wrong = replace(reference, version=f"{reference.version}.tail")
    rule = "plain" if reference.rules.tail["float32"] == "fused" else "fused"
    tail = MappingProxyType(dict.fromkeys(("float32", "float64", "bfloat16"), rule))
    by_threads: dict[int, Implementation] = {}

    def run(case: Case) -> Outcome:
        if case.threads not in by_threads:
            build = replace(wrong, threads=case.threads)
            build.__dict__["rules"] = replace(reference.rules, tail=tail)
            by_threads[case.threads] = lambda case: _outcome_of(build, case)
        return by_threads[case.threads](case)

    return run


def _outcome_of(build: TorchReference, case: Case) -> Outcome:
    from portnorm.exact import torch_cpu

    try:
        y = torch_cpu.normalize(case.x.array, case.p, case.dim, case.eps, build)
        g = None
        if case.g is not None:
            g = torch_cpu.normalize_vjp(
                case.x.array, case.g.array, case.p, case.dim, case.eps, build
            )
        return Outcome(y, g)
    except Exception as error:
        return Outcome(type(error), None if case.g is None else type(error))


def faulty_torch(fault: str) -> InProcess:
    reference = TorchReference.current()
    if fault == "tail":
        return InProcess("torch", wrong_tail(nearest_certified(reference)))
    wrong = {"pairwise": pairwise, "reciprocal": reciprocal}[fault]
    return InProcess("torch", with_fault(reference, wrong))


@needs_torch
@pytest.mark.parametrize("fault", ["tail", "pairwise", "reciprocal"])
def test_a_planted_fault_fails_with_a_reproducer(
    fault: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of a thousand cases have a wrong tail, and with this seed one of the first ten."""
    use(monkeypatch, faulty_torch(fault))
    assert cli.main(["certify", "--cases", "200", "--seed", "28", "--json"]) == 1
    first = json.loads(capsys.readouterr().out)["first_mismatch"]
    seed, number = map(int, re.fullmatch(r"torch_case\((\d+), (\d+)\)", first["case"]).groups())
    case = certify.torch_case(seed, number)
    assert (first["dtype"], first["p"]) == (case.dtype, "2.0")
    assert tuple(first["x"]["strides"]) == case.x.strides
    assert first["expected_word"] != first["found_word"]
    form = FORMATS[case.dtype]
    outcome = faulty_torch(fault)._ours(case)
    result = getattr(outcome, first["function"]).view(form.word)[tuple(first["index"])]
    assert first["found"] == form.hex(int(result))
    assert int(first["found_word"], 16) == int(result)


@needs_torch
def test_the_reproducer_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, faulty_torch("reciprocal"))
    assert cli.main(["certify", "--cases", "200", "--seed", "1"]) == 1
    out = capsys.readouterr().out
    assert out.endswith("\nNot bit-identical.\n")
    shown = out[out.index("first mismatch\n") :]
    for label in ("build", "case", "dtype", "x", "p", "dim", "eps", "threads", "index"):
        assert re.search(rf"^  {label} +\S", shown, re.M)
    assert re.search(r"^  x +shape \[.*\], strides \[.*\], offset \d+$", shown, re.M)
    assert re.search(r"^  expected +-?0x\d\.[0-9a-f]+p[+-]\d+ = 0x[0-9a-f]+$", shown, re.M)
    assert re.search(r"^  found +-?0x\d\.[0-9a-f]+p[+-]\d+ = 0x[0-9a-f]+$", shown, re.M)


@pytest.fixture
def _mindspore_as_before() -> Iterator[None]:
    import mindspore

    before = mindspore.get_context("pynative_synchronize")
    yield
    mindspore.set_context(pynative_synchronize=before)


@needs_mindspore
@pytest.mark.usefixtures("_mindspore_as_before")
def test_another_root_than_mindspores_is_found() -> None:
    def wrong(case: Case, x: Any) -> Any:
        return pairwise(replace(case, eps=max(case.eps, 0) ** 0.5), x)

    build = InProcess("mindspore", with_fault(MindSporeReference.current(), wrong))
    report = certify.certify([build], 1, cases=150)
    assert not report.identical
    assert report.first is not None
    assert report.first["case"].startswith("mindspore_case(1, ")


def test_encodings_are_compared_and_not_values() -> None:
    nan = np.array([0x7FC00000, 0xFFC00001], np.uint32).view(np.float32)
    zeros = np.float32([0.0, -0.0])
    assert compare(nan, nan[::-1].copy(), "float32")[0].mismatches == 0
    count, details = compare(zeros, zeros[::-1].copy(), "float32")
    assert (count.elements, count.mismatches, details["index"]) == (2, 2, [0])
    assert details["found_word"] == "0x80000000"
    assert compare(nan, np.float32([np.nan, 0]), "float32")[1]["index"] == [1]


@pytest.mark.parametrize(
    ("want", "got"),
    [
        (np.zeros(2, np.float32), np.zeros((1, 2), np.float32)),
        (np.zeros(2, np.float32), np.zeros(2, np.float64)),
        (np.zeros(2, np.float32), RuntimeError),
        (ValueError, RuntimeError),
        (np.float32([]), None),
    ],
)
def test_results_of_another_shape_dtype_or_error_are_mismatches(want: Any, got: Any) -> None:
    count, details = compare(want, got, "float32")
    assert count.mismatches == 1
    assert details["expected"] != details["found"]


def test_a_run_in_which_nothing_is_promised_does_not_pass() -> None:
    from portnorm.errors import StrictParityError

    def refuses(case: Case) -> Outcome:
        return Outcome(StrictParityError, StrictParityError)

    found = certify.Report(0)
    found.tallies["x"] = check([certify.torch_case(0, 0)], refuses, refuses)
    assert not found.identical
    assert found.refused == 2


# --- values, builds, usage ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_of_their_kind(dtype: str, kind: str) -> None:
    form = FORMATS[dtype]
    words = draw_words(np.random.default_rng(0), 4096, form, kind)
    assert words.dtype == form.word
    magnitudes = words & form.word.type(form.sign - 1)
    assert (words != magnitudes).any()
    assert (magnitudes >= form.infinity).any() == (kind.startswith("special") or kind == "any")
    assert len(np.unique(words)) > 3


def test_an_uncertified_build_is_compared_with_the_one_before_it() -> None:
    assert nearest_certified(TorchReference("2.99", "avx512", 3)) == TorchReference(
        "2.15.0", "avx512", 3
    )
    assert nearest_certified(MindSporeReference("2.8.5")) == MindSporeReference("2.8.0")


def test_a_process_that_fails_is_reported() -> None:
    with (
        InSubprocess("no_such_framework") as build,
        pytest.raises(UnavailableError, match="exit status 1: KeyError"),
    ):
        build.run(Share(0, cases=1))


def test_without_a_framework_there_is_nothing_to_compare_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refused(capsys) == (
        "portnorm: torch is not installed; mindspore is not installed; "
        "there is nothing to compare with\n"
    )


@pytest.mark.parametrize(
    "argv",
    ["--cases 0", "--cases x", "--seconds -1", "--seconds inf", "--seed -1", "--host numpy", "x"],
)
def test_bad_usage(argv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *argv.split()).startswith("portnorm")
