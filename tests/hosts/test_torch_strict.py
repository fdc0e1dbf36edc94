"""parity="strict" on torch: normalize has torch's own bits, forward and gradient.

A NaN is a NaN: which one is not part of the promise.

The reference is the live torch; `portnorm.exact` is held against the other builds elsewhere.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import platform
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")
pytest.importorskip("numba", reason="strict parity needs Numba")

import numpy as np
import torch
import torch.nn.functional as F

import portnorm.torch as adapted
from portnorm import MindSporeReference, StrictParityError, TorchReference, set_options
from tests.hosts.torch_host import error_of, in_layout, normal, same_bits, without_advice

DTYPES = ("float16", "bfloat16", "float32", "float64")
LAYOUTS = ("contiguous", "transposed", "sliced", "expanded", "channels_last")
ORDERS = (0, 1, 2, math.inf, -math.inf)
SPECIAL = (0.0, -0.0, math.nan, math.inf, -math.inf, 1e-42, 6e-8, 1e-30, 1e30)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def reference() -> Iterator[TorchReference]:
    """The installed torch, as it is set up now."""
    current = TorchReference.current()
    with set_options(reference=current):
        yield current


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    with set_options(reference=TorchReference.current()):
        yield request.param
    torch.set_num_threads(before)


def strict(x: Any, *args: Any, **options: Any) -> Any:
    return adapted.normalize(x, *args, parity="strict", **options)


def values(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw values of one magnitude or of several, some of them special."""
    found = rng.normal(size=shape) * 10.0 ** rng.uniform(-8, 8, shape if rng.random() < 0.5 else ())
    if rng.random() < 0.4:
        found = np.where(rng.random(shape) < 0.1, rng.choice(SPECIAL, shape), found)
    return found


def random_input(rng: np.random.Generator, dtype: str, sizes: Any = (1, 2, 3, 5, 8, 17)) -> Any:
    shape = tuple(int(n) for n in rng.choice(sizes, rng.integers(1, 6)))
    return in_layout(values(rng, shape), str(rng.choice(LAYOUTS)), dtype)


def random_dim(rng: np.random.Generator, ndim: int) -> Any:
    dims = rng.permutation(ndim)[: rng.integers(1, ndim + 1)]
    dims = tuple(int(d) - ndim * int(rng.integers(2)) for d in dims)
    return dims[0] if len(dims) == 1 else dims


def random_arguments(rng: np.random.Generator, ndim: int) -> tuple[Any, Any, float]:
    dim = random_dim(rng, ndim) if rng.random() < 0.9 else None
    return float(rng.choice(ORDERS)), dim, float(rng.choice([1e-12, 0.0, 0.5, 1e3]))


def gradient(function: Callable[..., Any], x: Any, g: Any, *args: Any) -> Any:
    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x, *args), x, g)[0]


def shown(x: torch.Tensor, *rest: Any) -> str:
    return f"{x.dtype}{tuple(x.shape)} {x.stride()} {rest}"


# --- forward --------------------------------------------------------------------------------------


@each_dtype
def test_the_bits_are_torchs_own(rng: Any, dtype: str, threads: int) -> None:
    for _ in range(150):
        x = random_input(rng, dtype)
        arguments = random_arguments(rng, x.ndim)
        expected = F.normalize(x, *arguments)
        assert same_bits(strict(x, *arguments), expected), shown(x, *arguments)


@each_dtype
def test_the_bits_are_torchs_own_where_its_threads_share_the_work(
    rng: Any, dtype: str, threads: int
) -> None:
    for shape in [(70_001,), (1, 66_000), (40_000, 1), (3, 30_000), (300, 301), (17, 50, 60)]:
        x = in_layout(rng.normal(size=shape), str(rng.choice(LAYOUTS[:3])), dtype)
        for dim in [*range(x.ndim), None]:
            for p in (1, 2, math.inf):
                expected = F.normalize(x, p, dim)
                assert same_bits(strict(x, p, dim), expected), shown(x, p, dim)


@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_keeps_bits_and_strides(rng: Any, dtype: str, layout: str) -> None:
    x = in_layout(normal(rng, 2, 3, 5, 7), layout, dtype)
    for dim in (0, 1, 2, 3, (1, 3), None):
        assert same_bits(strict(x, 2, dim), F.normalize(x, 2, dim)), dim


@each_dtype
@pytest.mark.parametrize("dim", [0, -1, None, (), []], ids=repr)
@pytest.mark.parametrize("number", [0.0, 1e-30, -3.0, math.nan, math.inf])
def test_a_0_d_tensor(dtype: str, dim: Any, number: float) -> None:
    x = torch.tensor(number).to(getattr(torch, dtype))
    for p in ORDERS:
        assert same_bits(strict(x, p, dim, 1e-44), F.normalize(x, p, dim, 1e-44)), p


@each_dtype
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3), (0, 2, 0)])
def test_an_empty_tensor_stays_empty(dtype: str, shape: tuple[int, ...]) -> None:
    x = torch.empty(shape, dtype=getattr(torch, dtype))
    for dim in [*range(len(shape)), None]:
        assert same_bits(strict(x, 2, dim), F.normalize(x, 2, dim))
        g = torch.empty_like(x)
        assert gradient(strict, x, g, 2, dim).shape == shape


def test_a_view_with_the_bit_for_negation(rng: Any) -> None:
    x = torch.complex(normal(rng, 4, 5), normal(rng, 4, 5)).conj().imag
    assert x.is_neg()
    assert torch.equal(strict(x), F.normalize(x))
    g = normal(rng, 4, 5)
    assert torch.equal(gradient(strict, x, g), gradient(F.normalize, x, g))


def test_memory_that_is_not_aligned(rng: Any) -> None:
    memory = bytearray(b"\0\0\0" + normal(rng, 40).numpy().tobytes())
    x = torch.frombuffer(memory, dtype=torch.float32, offset=3).view(8, 5)
    assert x.data_ptr() % 4
    assert same_bits(strict(x), F.normalize(x))
    assert same_bits(strict(x.T), F.normalize(x.T))


@pytest.mark.parametrize("p", [2, True, None, "fro", np.float32(2), torch.tensor(2)], ids=repr)
@pytest.mark.parametrize("eps", [1, np.float64(0.5), torch.tensor(0.5), torch.tensor(3)], ids=repr)
def test_arguments_of_every_type_that_torch_takes(rng: Any, p: Any, eps: Any) -> None:
    x = normal(rng, 3, 4)
    # torch asks an integer of NumPy for its length where p is "fro".
    for dim in (1, [1], (0, -1), None, *([] if p == "fro" else [np.int64(1)])):
        assert same_bits(strict(x, p, dim, eps), F.normalize(x, p, dim, eps)), dim


@pytest.mark.parametrize("p", [3, 0.5, -1, 1.5])
def test_other_orders_have_torchs_bits_without_a_gradient(rng: Any, p: float) -> None:
    x = normal(rng, 5, 7)
    assert same_bits(strict(x, p), F.normalize(x, p))


# --- gradient -------------------------------------------------------------------------------------


@each_dtype
def test_the_gradient_has_torchs_bits(rng: Any, dtype: str, threads: int) -> None:
    for _ in range(120):
        x = random_input(rng, dtype)
        arguments = random_arguments(rng, x.ndim)
        layout = str(rng.choice(LAYOUTS))
        g = in_layout(rng.normal(size=x.shape), layout, dtype)
        expected = gradient(F.normalize, x, g, *arguments)
        assert same_bits(gradient(strict, x, g, *arguments), expected), shown(
            x, *arguments, g.stride()
        )


@each_dtype
def test_the_gradient_has_torchs_bits_where_its_threads_share_the_work(
    rng: Any, dtype: str, threads: int
) -> None:
    for shape in [(40_001,), (1, 66_000), (300, 301), (7, 90, 60)]:
        x = in_layout(rng.normal(size=shape), str(rng.choice(LAYOUTS[:3])), dtype)
        g = in_layout(rng.normal(size=shape), "contiguous", dtype)
        for dim in [*range(x.ndim), None]:
            expected = gradient(F.normalize, x, g, 2, dim)
            assert same_bits(gradient(strict, x, g, 2, dim), expected), shown(x, dim)


def inputs_on_which_threads_matter(rng: Any) -> tuple[torch.Tensor, torch.Tensor]:
    while True:
        x, g = normal(rng, 400, 300).requires_grad_(), normal(rng, 400, 300)
        found = []
        for threads in (1, 3):
            with set_options(reference=TorchReference(threads=threads)):
                found.append(gradient(strict, x, g, 2, None))
        if not same_bits(*found):
            return x, g


def test_a_gradient_has_the_reference_of_its_forward(rng: Any) -> None:
    x, g = inputs_on_which_threads_matter(rng)
    for first, second in ((1, 3), (3, 1)):
        with set_options(reference=TorchReference(threads=first)):
            y, expected = strict(x, 2, None), gradient(strict, x, g, 2, None)
        with set_options(reference=TorchReference(threads=second)):
            assert not same_bits(gradient(strict, x, g, 2, None), expected)
            assert same_bits(torch.autograd.grad(y, x, g)[0], expected)


def test_a_gradient_accumulates_in_the_leaf(rng: Any) -> None:
    x = normal(rng, 4, 5).requires_grad_()
    weight = torch.nn.Parameter(normal(rng, 4, 5))
    (strict(x) + strict(weight)).sum().backward()
    strict(x).sum().backward()
    expected = gradient(F.normalize, x, torch.ones(1).expand(4, 5))
    assert torch.equal(x.grad, expected + expected)
    assert weight.grad is not None


def test_an_input_can_be_resized_afterwards() -> None:
    x = torch.ones(3, 4)
    strict(x)
    adapted.l2_normalize(x, parity="strict")
    x.resize_(5, 6)
    assert x.shape == (5, 6)


def test_without_grad_mode_nothing_is_recorded(rng: Any) -> None:
    x = normal(rng, 4, 5).requires_grad_()
    with torch.no_grad():
        assert not strict(x).requires_grad
    with torch.inference_mode():
        assert strict(x).is_inference()
    assert strict(x).requires_grad
    assert not strict(x.detach()).requires_grad


def test_a_change_in_place_after_the_forward_is_found(rng: Any) -> None:
    for function in (strict, lambda x: adapted.l2_normalize(x, parity="strict")):
        x = normal(rng, 4, 5).requires_grad_()
        z = x * 1
        y = function(z)
        z += 1
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


# --- out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("out_dtype", DTYPES)
@each_dtype
def test_out_is_filled_and_returned(rng: Any, dtype: str, out_dtype: str) -> None:
    for layout in ("contiguous", "transposed", "sliced"):
        x = in_layout(normal(rng, 3, 4), "contiguous", dtype)
        out, expected = (in_layout(torch.zeros(3, 4), layout, out_dtype) for _ in range(2))
        assert strict(x, out=out) is out
        F.normalize(x, out=expected)
        assert same_bits(out, expected)


def test_an_empty_out_is_resized_to_the_layout_that_torch_gives(rng: Any) -> None:
    x = in_layout(normal(rng, 2, 3, 4, 5), "channels_last", "float32")
    out = torch.empty(0)
    assert strict(x, out=out) is out
    assert same_bits(out, F.normalize(x, out=torch.empty(0)))


def test_an_out_of_another_shape_is_resized_with_torchs_warning(rng: Any) -> None:
    x, out = normal(rng, 3, 4), torch.ones(2)
    with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
        assert strict(x, out=out) is out
    assert same_bits(out, F.normalize(x))


def test_out_may_be_the_input(rng: Any) -> None:
    x = normal(rng, 3, 4)
    expected = F.normalize(x)
    assert strict(x, out=x) is x
    assert same_bits(x, expected)


def test_subnormals_reach_out_where_torch_flushes_them() -> None:
    x, out = torch.tensor([[1e-42, 1e3]]), torch.empty(1, 2)
    expected = strict(x)
    assert expected[0, 0] != 0
    if not torch.set_flush_denormal(True):
        pytest.skip("this machine cannot flush subnormals")
    try:
        assert same_bits(strict(x), expected)
        strict(x, out=out)
    finally:
        torch.set_flush_denormal(False)
    assert same_bits(out, expected)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of glibc's modes on x86-64")
@pytest.mark.parametrize("mode", [0x400, 0x800, 0xC00], ids=["down", "up", "to zero"])
def test_bits_are_those_of_rounding_to_nearest_under_other_modes(rng: Any, mode: int) -> None:
    x = normal(rng, 50, 40)
    calls = [lambda: strict(x), lambda: adapted.l2_normalize(x, 1, parity="strict")]
    expected, theirs = [call() for call in calls], F.normalize(x)
    libm = ctypes.CDLL("libm.so.6")
    assert libm.fesetround(mode) == 0
    try:
        found, changed = [call() for call in calls], F.normalize(x)
    finally:
        libm.fesetround(0)
    assert all(map(same_bits, found, expected))
    assert not same_bits(changed, theirs)  # the mode was in force


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "arguments"),
    [
        (torch.ones(3), {}),
        (torch.ones(()), {}),
        (torch.ones(2, 3), {"dim": 2}),
        (torch.ones(2, 3), {"dim": (0, -2)}),
        (torch.ones(2, 3), {"dim": 1.0}),
        (torch.ones(2, 3), {"dim": True}),
        (torch.ones(2, 3), {"p": 1j}),
        (torch.ones(2, 3), {"p": "fr"}),
        (torch.ones(2, 3), {"p": [2]}),
        (torch.ones(2, 3), {"p": torch.tensor(2.0, requires_grad=True)}),
        (torch.ones(2, 3).half(), {"eps": 1e5}),
        (torch.ones(2, 3).long(), {}),
        (torch.ones(2, 3).bool(), {}),
        (torch.ones(2, 3).to(torch.uint16), {}),
        (torch.ones(2, 0), {"p": math.inf}),
        (torch.ones(2, 0), {"dim": 2}),
        (torch.ones(2, 3), {"out": torch.ones(2, 3).long()}),
        (torch.ones(2, 3), {"out": 1}),
        (torch.ones(2, 3), {"out": torch.ones(2, 3, requires_grad=True)}),
        (torch.ones(2, 3), {"out": torch.ones(1).expand(2, 3)}),
        (torch.ones(2, 3, requires_grad=True), {"out": torch.ones(2, 3)}),
        ([1.0], {}),
        (None, {}),
    ],
)
def test_wrong_arguments_raise_what_torch_raises(x: Any, arguments: dict[str, Any]) -> None:
    expected = error_of(lambda: F.normalize(x, **arguments))
    assert expected is not None
    if "to type double without overflow" in expected[1]:
        pytest.skip("torch 2.5 says of a complex p only that it is too large")
    assert without_advice(error_of(lambda: strict(x, **arguments))) == expected


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "complex": (lambda: strict(torch.ones(2, 3, dtype=torch.complex64)), "bits of complex64"),
    "sparse": (lambda: strict(torch.eye(3).to_sparse()), "layout is sparse_coo"),
    "sparse, l2_normalize": (
        lambda: adapted.l2_normalize(torch.eye(3).to_sparse(), parity="strict"),
        "layout is sparse_coo",
    ),
    "eps with a gradient": (
        lambda: strict(torch.ones(2, 3), eps=torch.tensor(1.0, requires_grad=True)),
        "requires grad",
    ),
    "eps of several elements": (
        lambda: strict(torch.ones(2, 3), eps=torch.ones(2, 1)),
        "eps is a tensor that has 2 dims",
    ),
    "gradient at another p": (
        lambda: strict(torch.ones(2, 3, requires_grad=True), 3.0),
        "bits of the gradient at p=3",
    ),
    "gradient at another p, functional": (
        lambda: torch.func.grad(lambda x: strict(x, 1.5).sum())(torch.ones(2, 3)),
        "bits of the gradient at p=1.5",
    ),
}


@pytest.mark.parametrize(("call", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_promised_is_refused_with_the_way_out(call: Any, text: str) -> None:
    with pytest.raises(StrictParityError, match=text) as caught:
        call()
    assert "parity='semantic'" in str(caught.value)


def test_a_gradient_that_is_not_promised_is_refused_before_any_work(monkeypatch: Any) -> None:
    def work(*_: Any) -> None:
        raise AssertionError("it works already")

    monkeypatch.setattr("portnorm.torch._arrays.normalize", work)
    for dim in (1, (1,)):
        with pytest.raises(StrictParityError, match="gradient at p=3"):
            strict(torch.ones(2, 3, requires_grad=True), 3, dim)


@pytest.mark.parametrize("shape", [(3,), (0,)])
def test_a_build_that_is_not_certified_is_refused(shape: tuple[int, ...]) -> None:
    with set_options(reference=[TorchReference("1.13.0"), MindSporeReference("1.10.0")]):
        with pytest.raises(StrictParityError, match="Certified there are"):
            strict(torch.ones(shape), dim=0)
        with pytest.raises(StrictParityError, match="Certified there are"):
            adapted.l2_normalize(torch.ones(shape), parity="strict")


def test_forward_mode_is_refused(rng: Any) -> None:
    x, tangent = normal(rng, 2, 3), normal(rng, 2, 3)
    for function in (strict, lambda x: adapted.l2_normalize(x, parity="strict")):
        with pytest.raises(StrictParityError, match="forward mode"):
            torch.func.jvp(function, (x,), (tangent,))


def test_the_option_and_the_layer_take_strict(rng: Any) -> None:
    x = normal(rng, 3, 4)
    with set_options(parity="strict"):
        assert same_bits(adapted.normalize(x), F.normalize(x))
        assert same_bits(adapted.Normalize(dim=0)(x), F.normalize(x, dim=0))
    assert same_bits(adapted.Normalize(parity="strict")(x), F.normalize(x))


def test_results_are_aligned_can_be_resized_and_lie_as_those_of_torch(rng: Any) -> None:
    """Dims of one element have strides, too, which nothing but torch's own arithmetic tells."""
    shapes = [(8,), (3, 1, 5), (1, 4), (4, 1), (2, 3, 1, 4), (1, 1, 6)]
    for shape, order in itertools.product(shapes, (1, -1)):
        x = normal(rng, *shape).permute(*range(len(shape))[::order]).requires_grad_()
        dim = [d for d, size in enumerate(x.shape) if size > 1][-1]
        y, expected = adapted.normalize(x, dim=dim, parity="strict"), F.normalize(x, dim=dim)
        (gradient,) = torch.autograd.grad(y, x, torch.ones_like(x))
        assert same_bits(y, expected)
        assert y.stride() == expected.stride()
        results = y.detach(), gradient, adapted.l2_normalize(x.detach(), dim, parity="strict")
        for result in results:
            assert result.data_ptr() % 64 == 0
            assert result.resize_(100).shape == (100,)


def test_results_without_elements_have_the_strides_of_torchs(rng: Any) -> None:
    for _ in range(50):
        shape = tuple(rng.permutation([0, *rng.integers(0, 4, rng.integers(0, 4))]).tolist())
        x = normal(rng, *shape).permute(*rng.permutation(len(shape)).tolist())
        dim = rng.permutation(x.ndim)[: rng.integers(1, x.ndim + 1)].tolist()
        for given in (dim[0], dim, tuple(dim)):
            assert strict(x, 2.0, given).stride() == F.normalize(x, 2.0, given).stride(), (x, given)


def test_a_plain_call_over_several_dims_takes_the_short_cut(
    rng: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator makes torch import its compiler at the first call, which takes a second."""
    monkeypatch.setattr("portnorm.torch._operators.normalize", None)
    x = normal(rng, 3, 4, 5)
    assert same_bits(strict(x, 2.0, (0, 2)), F.normalize(x, 2.0, (0, 2)))
    assert same_bits(strict(x, 1, ()), F.normalize(x, 1, ()))
    with pytest.raises(RuntimeError, match="dim 1 appears multiple times in the list of dims"):
        strict(x, 2.0, (1, -2))
