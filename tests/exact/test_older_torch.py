"""What torch 2.0 to 2.2 do otherwise, and the stored outputs do not show; the values are theirs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from portnorm.errors import StrictParityError
from portnorm.exact import torch_cpu
from portnorm.reference import TorchReference

ROW = np.array([[3.0, 4.0, 0.3]])
IN_TORCH_2_0_1 = {
    2.2: ["0x1.3c17967cf0f7dp-1", "0x1.a574c8a6969fcp-1", "0x1.f9bf572e4e594p-5"],
    2 + 1e-9: ["0x1.32a605f72e5cep-1", "0x1.98dd5d4993268p-1", "0x1.eaa33cbeb0949p-5"],
    1 - 1e-12: ["0x1.a4d269349a4d3p-2", "0x1.188c46231188cp-1", "0x1.50a8542a150a8p-5"],
    1e-50: ["0x1.0000000000000p+0", "0x1.5555555555555p+0", "0x1.9999999999999p-4"],
}


@pytest.mark.parametrize("p", IN_TORCH_2_0_1)
def test_torch_2_0_rounds_p_to_float32(p: float) -> None:
    for version, same in (("2.0.0", True), ("2.0.1", True), ("2.1.0", False)):
        found = torch_cpu.normalize(ROW, p, reference=TorchReference(version))
        assert ([value.hex() for value in found[0].tolist()] == IN_TORCH_2_0_1[p]) is same


def test_an_order_that_float32_rounds_to_a_usual_one_has_no_gradient_either() -> None:
    with pytest.raises(StrictParityError, match="gradient at p=2"):
        torch_cpu.normalize_vjp(ROW, ROW, 2 + 1e-9, reference=TorchReference("2.0.1"))


@pytest.mark.parametrize("p", [0, 1, 2, math.inf, -math.inf])
@pytest.mark.parametrize("dim", [1, (0, 1), None])
def test_an_eps_that_is_nan_makes_float16_nan_in_torch_2_0_and_any_other_raises(
    p: float, dim: object
) -> None:
    x, reference = np.array([[3, 4], [0, 1]], np.float16), TorchReference("2.0.1")
    assert np.isnan(torch_cpu.normalize(x, p, dim, math.nan, reference)).all()
    assert np.isnan(torch_cpu.normalize_vjp(x, x, p, dim, math.nan, reference)).all()
    with pytest.raises(RuntimeError, match="not implemented for 'Half'"):
        torch_cpu.normalize(x, p, dim, 1e-12, reference)


@pytest.mark.parametrize("capability", ["avx2", "avx512", "default"])
@pytest.mark.parametrize(
    ("version", "expected"), [("2.1.0", -(2.0**-24)), ("2.2.2", -(2.0**-24)), ("2.3.0", 0.0)]
)
def test_sums_of_float16_add_neighbours_first_in_torch_2_1_and_2_2(
    version: str, expected: float, capability: str
) -> None:
    x, g = np.ones((1, 16), np.float16), np.zeros((1, 16), np.float16)
    g[0, [0, 1, 8]] = 2.0**15, -(2.0**15), 2.0**-16  # 1 cancels 0, and 8 is left
    found = torch_cpu.normalize_vjp(x, g, 1, reference=TorchReference(version, capability))
    assert found[0, 2] == expected


@pytest.mark.parametrize("capability", ["avx2", "avx512", "default"])
@pytest.mark.parametrize(("version", "ties"), [("2.0.0", 256), ("2.0.1", 256), ("2.1.0", 257)])
def test_torch_2_0_rounds_the_number_of_ties_of_a_single_norm(
    version: str, ties: int, capability: str
) -> None:
    x, g = np.full(257, 0x3F80, np.uint16), np.zeros(257, np.uint16)  # ones of bfloat16
    g[0] = 0x3F80
    reference = TorchReference(version, capability)
    found = torch_cpu.normalize_vjp(x, g, math.inf, 0, reference=reference)
    value = (found[1:2].astype(np.uint32) << 16).view(np.float32)[0]
    assert value == {256: -(2.0**-8), 257: -0.0038909912109375}[ties]
