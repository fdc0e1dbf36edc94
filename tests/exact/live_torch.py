"""What the live torch does with a case: result or error, as `portnorm.exact` gives it."""

from __future__ import annotations

from typing import Any

import numpy as np

from portnorm.exact import torch_cpu
from portnorm.reference import TorchReference
from tests.exact.random_cases import Case, Layout
from tests.exact.same_encoding import Array, mismatch


def to_tensor(torch: Any, buffer: Array, layout: Layout) -> Any:
    """Return a tensor with the layout; uint16 holds bfloat16."""
    flat = torch.from_numpy(buffer.view(np.int16) if buffer.dtype == np.uint16 else buffer)
    if buffer.dtype == np.uint16:
        flat = flat.view(torch.bfloat16)
    return flat.as_strided(layout.shape, layout.strides, layout.offset)


def to_array(torch: Any, tensor: Any) -> Array:
    """Return the elements of a tensor, in the strides that it has."""
    tensor = tensor.detach()
    if tensor.dtype != torch.bfloat16:
        array: Array = tensor.numpy()
        return array
    return tensor.view(torch.int16).numpy().view(np.uint16)


def forward(torch: Any, case: Case) -> Array:
    x = to_tensor(torch, case.buffer, case.layout)
    return to_array(torch, torch.nn.functional.normalize(x, *case.arguments))


def gradient(torch: Any, case: Case) -> Array:
    x = to_tensor(torch, case.buffer, case.layout).requires_grad_()
    y = torch.nn.functional.normalize(x, *case.arguments)
    [grad] = torch.autograd.grad(y, x, to_tensor(torch, case.g_buffer, case.g_layout))
    return to_array(torch, grad)


def forward_differs(torch: Any, case: Case, reference: TorchReference) -> str:
    """Return how the forward differs from the live one, or nothing."""
    try:
        expected = forward(torch, case)
    except (IndexError, RuntimeError, TypeError) as error:
        return error_differs(lambda: torch_cpu.normalize(case.x, *case.arguments, reference), error)
    found = torch_cpu.normalize(case.x, *case.arguments, reference)
    return mismatch(found, expected) or strides_differ(found, expected)


def gradient_differs(torch: Any, case: Case, reference: TorchReference) -> str:
    """Return how the gradient differs from the live one, or nothing."""
    arguments = (case.x, case.g, *case.arguments, reference)
    try:
        expected = gradient(torch, case)
    except (IndexError, RuntimeError, TypeError) as error:
        return error_differs(lambda: torch_cpu.normalize_vjp(*arguments), error)
    return mismatch(torch_cpu.normalize_vjp(*arguments), expected)


def error_differs(function: Any, expected: Exception) -> str:
    try:
        function()
    except type(expected) as error:
        text, whole = str(error), str(expected)
        return "" if whole.startswith(text) else f"{text!r} for {whole!r}"
    return f"no error for {expected!r}"


def strides_differ(found: Array, expected: Array) -> str:
    """Compare the strides that matter: not those of single elements, nor of empty arrays."""
    if found.size == 0:
        return ""
    a, b = (
        [stride for stride, size in zip(array.strides, array.shape, strict=True) if size > 1]
        for array in (found, expected)
    )
    return "" if a == b else f"strides {found.strides} for {expected.strides} of {found.shape}"
