"""Fixtures of the tests that compare with a live torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def torch() -> Any:
    """The live torch."""
    return pytest.importorskip("torch", reason="compares with the live torch")


@pytest.fixture(params=[1, 2, 3], ids=lambda count: f"{count}-threads")
def threads(request: pytest.FixtureRequest, torch: Any) -> Iterator[int]:
    """How many threads the live torch uses."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
