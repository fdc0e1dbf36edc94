"""DTensor and fully_shard: two processes on gloo; the checks are in `distributed_torch`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="tests the torch host")
pytest.importorskip("numba", reason="strict parity needs Numba")
if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("this torch has no gloo", allow_module_level=True)

SCRIPT = Path(__file__).with_name("distributed_torch.py")


@pytest.fixture(scope="module")
def run() -> subprocess.CompletedProcess[str]:
    seed = int.from_bytes(os.urandom(4), "little")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(SCRIPT), str(seed)]
    root = str(SCRIPT.parents[2])
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )


CHECKS = (
    "strict_keeps_its_bits",
    "the_comparison_finds_vectors_that_are_cut",
    "summands_are_added_up_first",
    "layers_are_the_functions",
    "semantic_is_right_and_sends_sums_once",
    "a_model_that_is_fully_sharded_trains",
)


@pytest.mark.parametrize("check", CHECKS)
def test_two_processes_agree_with_one(run: Any, check: str) -> None:
    """A check that failed ends the run, so that those after it fail, too."""
    if check == "a_model_that_is_fully_sharded_trains" and torch.__version__ < "2.6":
        pytest.skip("fully_shard of torch 2.5 needs a GPU")
    seed = run.args[-1]
    assert f"passed {check}" in run.stdout.splitlines(), f"seed {seed}\n{run.stderr[-4000:]}"


def test_every_check_is_asked_for() -> None:
    signature = "(rng: np.random.Generator, mesh: Any) -> None:"
    defined = [
        line.removeprefix("def ").removesuffix(signature)
        for line in SCRIPT.read_text().splitlines()
        if line.endswith(signature)
    ]
    assert defined == list(CHECKS)
