"""A tensor of the other framework, or an array: the error says what it is and what takes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

mindspore = pytest.importorskip("mindspore")
torch = pytest.importorskip("torch")

import portnorm.mindspore  # noqa: E402
import portnorm.torch  # noqa: E402

PARITIES = ["native", "semantic", "strict"]


class Mine(torch.Tensor):
    """A tensor whose class is not torch's own."""


VALUES: dict[str, dict[str, Any]] = {
    "mindspore": {
        "it is a torch.Tensor, which portnorm.torch takes": [
            torch.ones(2, 2),
            torch.nn.Parameter(torch.ones(2)),
            torch.ones(2).as_subclass(Mine),
        ],
        "it is a numpy.ndarray: mindspore.Tensor makes a tensor of it": [np.ones((2, 2))],
        "it is a list: mindspore.Tensor makes a tensor of it": [[1.0, 2.0]],
        "it is a float: mindspore.Tensor makes a tensor of it": [1.0],
    },
    "torch": {
        "it is a mindspore.Tensor, which portnorm.mindspore takes": [
            mindspore.Tensor([[1.0]]),
            mindspore.Parameter(mindspore.Tensor([1.0])),
        ],
        "it is a numpy.ndarray: torch.as_tensor makes a tensor of it": [np.ones((2, 2))],
        "it is a list: torch.as_tensor makes a tensor of it": [[1.0, 2.0]],
        "it is a float: torch.as_tensor makes a tensor of it": [1.0],
    },
}
ROWS = [
    (host, value, said)
    for host, rows in VALUES.items()
    for said, values in rows.items()
    for value in values
]


@pytest.mark.parametrize("parity", PARITIES)
@pytest.mark.parametrize(("host", "value", "said"), ROWS)
def test_what_is_no_tensor_of_the_host_is_named(
    host: str, value: Any, said: str, parity: Any
) -> None:
    ours = {"torch": portnorm.torch, "mindspore": portnorm.mindspore}[host]
    for call in (lambda x: ours.normalize(x, parity=parity), ours.Normalize(parity=parity)):
        with pytest.raises(AttributeError) as caught:
            call(value)
        message = str(caught.value)
        assert message.startswith("'")
        assert message.endswith(f"' object has no attribute 'norm'; {said}")
    layer = ours.L2Normalize(parity=parity)
    for call in (lambda x: ours.l2_normalize(x, parity=parity), layer):
        with pytest.raises(TypeError) as caught:
            call(value)
        message = str(caught.value)
        assert message.startswith("For 'L2Normalize', input must be a Tensor, but got: ")
        assert message.endswith(f". I{said[1:]}.")
