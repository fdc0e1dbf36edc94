"""parity="strict" with a CUDA device as the reference, on tensors of a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import portnorm
from portnorm import CudaDevice, TorchReference
from portnorm.exact import torch_cpu, torch_cuda
from tests.conftest import needs_mindspore, needs_torch

H100 = TorchReference("2.11.0", "cuda")
T4 = TorchReference("2.11.0", "cuda", device=CudaDevice.named("T4"))
DTYPES = ("float16", "bfloat16", "float32", "float64")
Array = np.ndarray[Any, Any]

ROWS = (3, 1030)


def strict(reference: TorchReference = H100) -> Any:
    return portnorm.set_options(parity="strict", reference=reference)


def numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Return numbers as NumPy has them; bfloat16 as its bits."""
    values = rng.standard_normal(shape).astype(np.float32)
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return values.astype(dtype)


def bits(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


@needs_torch
class TestOnTorch:
    @staticmethod
    def tensor(array: Array) -> Any:
        import torch

        if array.dtype == np.uint16:
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(array)

    @staticmethod
    def array(tensor: Any) -> Array:
        import torch

        tensor = tensor.detach()
        if tensor.dtype == torch.bfloat16:
            return tensor.view(torch.int16).numpy().view(np.uint16)
        return tensor.numpy()

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_values_and_gradients_have_its_bits(self, rng: np.random.Generator, dtype: str) -> None:
        import portnorm.torch as ops

        x, g = (numbers(rng, ROWS, dtype) for _ in range(2))
        leaf = self.tensor(x).requires_grad_()
        with strict():
            y = ops.normalize(leaf)
            y.backward(self.tensor(g))
        assert bits(self.array(y)) == bits(torch_cuda.normalize(x))
        assert bits(self.array(leaf.grad)) == bits(torch_cuda.normalize_vjp(x, g))

    def test_they_are_not_those_of_a_cpu(self, rng: np.random.Generator) -> None:
        x = numbers(rng, (300, ROWS[1]), "float32")
        assert bits(torch_cuda.normalize(x)) != bits(torch_cpu.normalize(x))

    def test_the_device_counts(self, rng: np.random.Generator) -> None:
        import portnorm.torch as ops

        x = numbers(rng, (20, 1 << 18), "float32")
        found = []
        for reference in (H100, T4):
            with strict(reference):
                found.append(bits(self.array(ops.normalize(self.tensor(x)))))
            assert found[-1] == bits(torch_cuda.normalize(x, reference=reference))
        assert found[0] != found[1]

    def test_a_view_lies_where_it_lies(self, rng: np.random.Generator) -> None:
        """Rows are read in aligned vectors, so the offset counts, and so do gaps."""
        import portnorm.torch as ops

        memory = numbers(rng, (60 * 1100 + 1,), "float32")
        whole = self.tensor(memory)[1:].view(60, 1100)[:, :1030]
        with strict():
            found = self.array(ops.normalize(whole))
        x = memory[1:].reshape(60, 1100)[:, :1030]
        assert bits(found) == bits(torch_cuda.normalize(x))
        assert bits(found) == bits(torch_cuda.normalize(x, offset=1))
        assert bits(found) != bits(torch_cuda.normalize(x, offset=0))

    def test_a_tensor_of_a_device_keeps_its_gaps_and_its_offset(self) -> None:
        """The copy on the host is made where no device is needed, too."""
        import torch

        from portnorm.torch import _arrays

        x = torch.arange(200.0)[7:].as_strided((4, 1, 5, 3), (30, 9, 2, 0))
        copy = _arrays._with_its_gaps(x, 7)
        assert torch.equal(copy, x)
        assert (copy.stride(), copy.storage_offset()) == (x.stride(), 7)

    def test_operators_have_them_too(self, rng: np.random.Generator) -> None:
        import torch

        import portnorm.torch as ops

        x = numbers(rng, (2, *ROWS), "float32")
        with strict():
            found = torch.func.vmap(ops.normalize)(self.tensor(x))
            export = torch.export.export(ops.Normalize(dim=2), (self.tensor(x),)).module()
            assert bits(self.array(export(self.tensor(x)))) == bits(torch_cuda.normalize(x, dim=2))
        assert bits(self.array(found)) == bits(torch_cuda.normalize(x, dim=2))

    def test_on_the_device_itself_torch_is_asked(
        self, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A CPU stands in for the device, so that the bits tell who computed them."""
        import torch

        from portnorm.torch import _operators

        monkeypatch.setattr(_operators, "is_live", lambda reference, x: True)
        x = self.tensor(numbers(rng, ROWS, "float32")).requires_grad_()
        expected = torch.nn.functional.normalize(x)
        (gradient,) = torch.autograd.grad(expected.sum(), x)
        dim = torch.tensor(1)  # no plain call
        with strict():
            found = _operators.normalize(x, 2.0, [int(dim)], 1e-12, H100.to_json())
            (found_gradient,) = torch.autograd.grad(found.sum(), x)
        assert torch.equal(found, expected)
        assert torch.equal(found_gradient, gradient)

    @pytest.mark.parametrize("eps", [1e5, -1e5, 65519.0])
    def test_an_eps_that_float16_cannot_hold_is_taken_as_the_device_takes_it(
        self, eps: float
    ) -> None:
        """Where calls go by the operator, and in graphs, too; a CPU refuses it."""
        import torch

        import portnorm.torch as ops

        x = np.ones((2, 3), np.float16)
        leaf = self.tensor(x).requires_grad_()
        expected = bits(torch_cuda.normalize(x, eps=eps))
        compiled = torch.compile(
            lambda x: ops.normalize(x, eps=eps), backend="eager", fullgraph=True
        )
        with strict():
            by_operator = torch.func.vmap(lambda x: ops.normalize(x[None], eps=eps)[0])(leaf)
            results = ops.normalize(leaf, eps=eps), by_operator, compiled(leaf)
            for y in results:
                assert bits(self.array(y)) == expected
                (gradient,) = torch.autograd.grad(y, leaf, torch.ones_like(y))
                assert bits(self.array(gradient)) == bits(torch_cuda.normalize_vjp(x, x, eps=eps))
            nothing = ops.normalize(leaf[:0], eps=eps)
        assert nothing.shape == (0, 3)
        with (
            portnorm.set_options(parity="strict"),
            pytest.raises(RuntimeError, match="without overflow"),
        ):
            ops.normalize(leaf, eps=eps)

    def test_what_is_not_compared_is_refused(self) -> None:
        import torch

        import portnorm.torch as ops

        with (
            strict(TorchReference("2.9.1", "cuda")),
            pytest.raises(portnorm.StrictParityError, match="certify --device cuda"),
        ):
            ops.normalize(torch.ones(2, 2))
        with strict(), pytest.raises(portnorm.StrictParityError, match="p=3 on a CUDA device"):
            ops.normalize(torch.ones(2, 2), 3.0)


@needs_mindspore
class TestOnMindSpore:
    @pytest.mark.parametrize("eps", [1e5, -1e5])
    def test_an_eps_that_float16_cannot_hold_is_taken_as_the_device_takes_it(
        self, eps: float
    ) -> None:
        from mindspore import Tensor

        from portnorm.mindspore import normalize

        x = np.ones((2, 3), np.float16)
        with strict():
            y = normalize(Tensor(x), eps=eps).asnumpy()
        assert bits(y) == bits(torch_cuda.normalize(x, eps=eps))

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    @pytest.mark.parametrize("mode", ["pynative", "graph"])
    def test_values_and_gradients_have_its_bits(
        self, rng: np.random.Generator, dtype: str, mode: str
    ) -> None:
        import mindspore
        from mindspore import Tensor, ops

        from portnorm.mindspore import normalize

        x, g = (numbers(rng, ROWS, dtype) for _ in range(2))
        forward: Any = lambda t: normalize(t, parity="strict")  # noqa: E731
        vjp: Any = ops.GradOperation(sens_param=True)(forward)
        if mode == "graph":
            forward, vjp = mindspore.jit(forward), mindspore.jit(vjp)
        with strict():
            y = forward(Tensor(x)).asnumpy()
            dx = vjp(Tensor(x), Tensor(g)).asnumpy()
        assert bits(y) == bits(torch_cuda.normalize(x))
        assert bits(dx) == bits(torch_cuda.normalize_vjp(x, g))

    def test_a_view_lies_where_it_lies(self, rng: np.random.Generator) -> None:
        from mindspore import Tensor

        from portnorm.mindspore import normalize

        memory = numbers(rng, (60 * 1031 + 1,), "float32")
        views = Tensor(memory)[1:].reshape(60, 1031), Tensor(memory)[:-1].reshape(60, 1031)[:, 1:]
        arrays = memory[1:].reshape(60, 1031), memory[:-1].reshape(60, 1031)[:, 1:]
        for view, array in zip(views, arrays, strict=True):
            with strict():
                found = normalize(view).asnumpy()
            assert bits(found) == bits(torch_cuda.normalize(array))
            assert bits(found) != bits(torch_cuda.normalize(array, offset=0))
