"""The torch host on CUDA tensors: values, gradients, the ways torch runs code, and times.

It needs torch, NumPy and pytest alone, and for strict parity Numba.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="tests the torch host")

import torch
import torch.nn.functional as F
from torch import Tensor

import portnorm
import portnorm.torch as adapted
from portnorm.torch import _pinned, _semantic
from tests.hosts.wide_formula import errors_in_ulp, exact

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("default"),  # those of compilers are not what is tested
]

CUDA = "cuda"
DTYPES = [torch.float16, torch.float32, torch.float64]
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)
needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="strict parity needs Numba"
)

EPSILON = 1e-4
CORRECTNESS = [
    ((1,), 0), ((5, 1), 1), ((7, 3), 1), ((9, 65), 1), ((33, 128), 1), ((4096, 1024), 1),
    ((3, 16384), 1), ((2, 20001), 1), ((3, 300000), 1), ((5, 3, 2), 1), ((4, 70, 33), 1),
    ((300, 40), 0), ((3, 1025, 17), 1), ((9000, 9), 0), ((300000, 20), 0), ((1000003, 2), 0),
    ((2048, 2048), 0), ((32, 256, 14, 14), 1), ((100003, 64), 1), ((500, 20000), 1),
    ((8192, 20000), 1),
]  # fmt: skip


def gradient(function: Callable[..., Tensor], x: Tensor, g: Tensor, *args: Any, **kw: Any) -> Any:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(function(x, *args, **kw), x, g)
    return found


def served(x: Tensor, dim: int) -> bool:
    kernels = adapted._kernels()
    return kernels is not None and kernels.is_served(x, dim)


# --- accuracy -------------------------------------------------------------------------------------


@needs_triton
def test_the_kernels_are_in_use() -> None:
    kernels = adapted._kernels()
    assert kernels is not None
    assert served(torch.ones(3, 3, device=CUDA), 1)
    kernels._launched.clear()
    adapted.l2_normalize(torch.ones(3, 3, device=CUDA), 1)
    assert kernels._launched


@each_dtype
def test_values_and_gradients_are_within_4_ulp(dtype: Any) -> None:
    worst = {}
    torch.manual_seed(0)
    epsilon = float(torch.tensor(EPSILON).to(dtype))
    for shape, dim in CORRECTNESS:
        x, g = (torch.randn(shape, device=CUDA).to(dtype) for _ in range(2))
        y, d, norm = exact(x, g, dim, epsilon)
        scale = torch.maximum(d.abs(), g.double().abs() / norm)
        value = errors_in_ulp(adapted.l2_normalize(x, dim, EPSILON), y, y)
        derivative = errors_in_ulp(gradient(adapted.l2_normalize, x, g, dim, EPSILON), d, scale)
        # In float64 what it is measured against has rounding errors of its own.
        if not (value <= 4 and (derivative <= 4 or dtype == torch.float64)):
            worst[shape, dim] = value, derivative
        if dtype == torch.float64:
            unit = (g.double() / norm).abs().amax(dim, keepdim=True) * 2.0**-52
            got = gradient(adapted.l2_normalize, x, g, dim, EPSILON)
            assert float(((got - d).abs() / unit).max()) <= 8, (shape, dim)
        if dim == 1 and shape in [(33, 128), (4096, 1024)]:
            formula = gradient(_semantic.l2_normalize, x, g, dim, epsilon)
            print(
                f"\n{dtype} {shape}: value {value:.2f} ULP, gradient {derivative:.2f}, "
                f"of the formula {errors_in_ulp(formula, d, scale):.2f}"
            )
    assert not worst


@each_dtype
@pytest.mark.parametrize("columns", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("epsilon", [0.25, 1e-4, 1e-7, -1.0, math.inf, math.nan])
def test_special_rows(dtype: Any, columns: bool, epsilon: float) -> None:
    base = torch.randn(40, dtype=torch.float64)
    big, small = (1e3, 1e-6) if dtype == torch.float16 else (1e37, 1e-30)
    rows = [base * big, base * small, base * 0, base * torch.finfo(dtype).smallest_normal / 8]
    for values in ([math.nan], [math.inf], [-math.inf], [math.nan, math.inf], [math.inf, 0.0]):
        row = base.clone()
        row[5 : 5 + len(values)] = torch.tensor(values)
        rows.append(row)
    for step in (-1, 0, 1):
        row = torch.zeros(40, dtype=torch.float64)
        row[3] = 0.5 + step * torch.finfo(dtype).eps / 2
        rows.append(row)
    x = torch.stack(rows).to(dtype).to(CUDA)
    g = torch.randn(x.shape, device=CUDA).to(dtype)
    floor = float(torch.tensor(epsilon).to(dtype))
    y, d, _ = exact(x, g, 1, floor)
    dim = 1
    if columns:
        dim = 0
        x, g, y, d = (t.t().contiguous() for t in (x, g, y, d))
    got = adapted.l2_normalize(x, dim, epsilon)
    close = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(
        got, y.to(dtype), rtol=close, atol=torch.finfo(dtype).smallest_normal, equal_nan=True
    )
    signs = ~got.isnan()
    assert torch.equal(got.signbit()[signs], y.to(dtype).signbit()[signs])
    if served(x, dim):
        found = gradient(adapted.l2_normalize, x, g, dim, epsilon)
        size = d.to(dtype).double().nan_to_num(0, 0, 0).abs().amax(dim, keepdim=True)
        wrong = (found.double() - d.to(dtype).double()).abs() > 8 * close * size
        same = (found.isnan() & d.isnan()) | (found == d.to(dtype))
        assert not (wrong & ~same | (found.isnan() != d.to(dtype).isnan())).any()


@each_dtype
def test_layouts_are_kept(dtype: Any) -> None:
    x = torch.randn(6, 5, 4, 3, device=CUDA).to(dtype)
    layouts = [x, x.permute(2, 0, 3, 1), x.to(memory_format=torch.channels_last), x[:, ::2]]
    layouts.append(torch.randn(101, device=CUDA).to(dtype)[1:].view(10, 10))  # not aligned
    for x in layouts:
        for dim in range(x.ndim):
            y = adapted.l2_normalize(x, dim)
            formula = _semantic.l2_normalize(x, dim, float(torch.tensor(EPSILON).to(dtype)))
            assert y.stride() == formula.stride()
            torch.testing.assert_close(y, formula)


# --- levels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["native", "semantic", pytest.param("strict", marks=needs_numba)])
@each_dtype
def test_each_level_gives_the_same_to_rounding(level: Any, dtype: Any) -> None:
    x, g = (torch.randn(40, 65, device=CUDA).to(dtype) for _ in range(2))
    for function in (adapted.l2_normalize, adapted.normalize):
        arguments = (1,) if function is adapted.l2_normalize else (2.0, 1)
        y = function(x, *arguments, parity=level)
        torch.testing.assert_close(y, F.normalize(x, 2.0, 1), rtol=0.01, atol=1e-3)
        assert y.device == x.device
    d = gradient(adapted.l2_normalize, x, g, 1, EPSILON, parity=level)
    expected = gradient(F.normalize, x.double(), g.double(), 2.0, 1).to(dtype)
    if level != "strict":  # whose gradient is not the derivative
        torch.testing.assert_close(d, expected, rtol=0.01, atol=1e-2)


@needs_numba
@pytest.mark.parametrize("shape", [(40, 65), (2048, 1024), (3000, 1001)])
def test_strict_has_the_bits_that_it_has_on_the_cpu(shape: Any) -> None:
    # A fixed build, because that of this machine's torch may not be certified.
    reference = portnorm.TorchReference()
    for x in (torch.randn(shape), torch.randn(shape).t(), torch.randn(shape)[:, ::2]):
        with portnorm.set_options(parity="strict", reference=reference):
            for function in (adapted.normalize, adapted.l2_normalize):
                for _ in range(2):  # memory is used again
                    on_cuda = x.to(CUDA)
                    assert torch.equal(function(on_cuda).cpu(), function(on_cuda.cpu()))
                g = torch.randn_like(x).to(CUDA)
                found = gradient(function, on_cuda, g).cpu()
                assert torch.equal(found, gradient(function, on_cuda.cpu(), g.cpu()))


@needs_numba
def test_strict_from_threads_and_streams() -> None:
    reference = portnorm.TorchReference()
    tensors = [torch.randn(1500, 1024, device=CUDA) for _ in range(6)]
    expected = [adapted.normalize(x.cpu(), parity="semantic") for x in tensors]
    found: list[Any] = [None] * 6
    torch.cuda.synchronize()

    def work(k: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()), portnorm.set_options(reference=reference):
            for _ in range(4):
                found[k] = adapted.normalize(tensors[k], parity="strict").cpu()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


# --- the ways torch runs code ---------------------------------------------------------------------


def test_the_gradient_of_the_gradient() -> None:
    x, g = (torch.randn(5, 6, device=CUDA, dtype=torch.float64) for _ in range(2))
    second = []
    for function in (adapted.l2_normalize, _semantic.l2_normalize):
        leaf = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(function(leaf, 1, EPSILON), leaf, g, create_graph=True)
        second.append(torch.autograd.grad(first.square().sum(), leaf)[0])
    torch.testing.assert_close(*second, rtol=1e-6, atol=1e-9)
    leaf = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: adapted.l2_normalize(x, 1), [leaf], eps=1e-6)
    assert torch.autograd.gradgradcheck(lambda x: adapted.l2_normalize(x, 1), [leaf], eps=1e-6)


def test_torch_func_and_batched_gradients() -> None:
    x, g = torch.randn(3, 4, 5, device=CUDA), torch.randn(7, 3, 4, 5, device=CUDA)
    got = torch.func.vmap(lambda x: adapted.l2_normalize(x, 0))(x)
    torch.testing.assert_close(got, adapted.l2_normalize(x, 1))
    d = torch.func.grad(lambda x: adapted.l2_normalize(x, 1).pow(3).sum())(x)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(adapted.l2_normalize(leaf, 1).pow(3).sum(), leaf)
    torch.testing.assert_close(d, expected)
    y = adapted.l2_normalize(leaf, 1)
    (batch,) = torch.autograd.grad(y, leaf, g, is_grads_batched=True)
    each = [gradient(adapted.l2_normalize, x, one, 1, EPSILON) for one in g]
    torch.testing.assert_close(batch, torch.stack(each))


def test_torch_compile() -> None:
    x, g = torch.randn(64, 128, device=CUDA), torch.randn(64, 128, device=CUDA)
    compiled = torch.compile(lambda x: adapted.l2_normalize(x * 2, 1), fullgraph=True)
    torch.testing.assert_close(compiled(x), adapted.l2_normalize(x * 2, 1))
    torch.testing.assert_close(
        gradient(compiled, x, g), gradient(lambda x: adapted.l2_normalize(x * 2, 1), x, g)
    )


def test_streams() -> None:
    torch.manual_seed(1)
    x, g = (torch.randn(4096, 1024, device=CUDA) for _ in range(2))
    expected = adapted.l2_normalize(x, 1), gradient(adapted.l2_normalize, x, g, 1, EPSILON)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        late = torch.zeros_like(x).copy_(x)  # ready after the sleep, on this stream alone
        y = adapted.l2_normalize(late, 1)
        d = gradient(adapted.l2_normalize, late, g, 1, EPSILON)
    stream.synchronize()
    assert torch.equal(y, expected[0])
    assert torch.equal(d, expected[1])


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two devices")
def test_a_device_that_is_not_the_current_one() -> None:
    x = torch.randn(100, 65, device="cuda:1")
    torch.testing.assert_close(adapted.l2_normalize(x, 1).cpu(), adapted.l2_normalize(x.cpu(), 1))


def test_autocast_changes_neither_dtype_nor_bits() -> None:
    for dtype in DTYPES:
        x = torch.randn(100, 65, device=CUDA).to(dtype).requires_grad_()
        plain = adapted.l2_normalize(x, 1)
        for to in (torch.float16, torch.bfloat16):
            with torch.autocast("cuda", dtype=to):
                y = adapted.l2_normalize(x, 1)
                formula = _semantic.l2_normalize(x, 1, float(torch.tensor(EPSILON).to(dtype)))
            assert y.dtype == formula.dtype == dtype
            assert torch.equal(y, plain)
            y.sum().backward()


def test_inference_mode_and_no_grad() -> None:
    x = torch.randn(100, 65, device=CUDA, requires_grad=True)
    expected = adapted.l2_normalize(x.detach(), 1)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            y = adapted.l2_normalize(x, 1)
            assert not y.requires_grad
            assert torch.equal(y, expected)


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "first call in the capture"])
def test_cuda_graphs(warm: bool) -> None:
    if not warm and adapted._kernels() is not None:
        adapted._kernels()._launched.clear()
    shape = (123, 257) if warm else (124, 259)
    x = torch.randn(shape, device=CUDA)
    if warm:
        adapted.l2_normalize(x, 1)
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        y = adapted.l2_normalize(x, 1)
    x.copy_(torch.randn(shape, device=CUDA))
    graph.replay()
    torch.testing.assert_close(y, adapted.l2_normalize(x, 1))


def test_a_training_step_in_a_cuda_graph() -> None:
    x, g = (torch.randn(123, 257, device=CUDA) for _ in range(2))
    x.requires_grad_()

    def step() -> Any:
        return torch.autograd.grad(adapted.l2_normalize(x, 1), x, g)[0]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        d = step()
    with torch.no_grad():
        x.copy_(torch.randn_like(x))
    graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close(d, step())


def test_normalize_with_out() -> None:
    x = torch.randn(100, 65, device=CUDA)
    out = torch.empty_like(x)
    assert adapted.normalize(x, out=out) is out
    assert torch.equal(out, F.normalize(x))


# --- times ----------------------------------------------------------------------------------------

TIMED = [
    ((65536, 1024), 1, torch.float32),
    ((1048576, 64), 1, torch.float32),
    ((4096, 4096), 0, torch.float32),
    ((32, 128), 1, torch.float32),
    ((65536, 1024), 0, torch.float32),
    ((64, 1048576), 1, torch.float32),
    ((1048576, 65), 1, torch.float32),
    ((16777216, 3), 1, torch.float32),
    ((8192, 20000), 1, torch.float32),
    ((256, 65), 1, torch.float32),
    ((256, 3), 1, torch.float32),
    ((32, 256, 56, 56), 1, torch.float32),
    ((65536, 1024), 1, torch.float16),
    ((4096, 4096), 0, torch.float16),
    ((16384, 1024), 1, torch.float64),
    ((4096, 4096), 0, torch.float64),
]


def microseconds(work: Callable[[], Any], rounds: int = 20) -> float:
    """Return the median time of a call, from events on the device."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    times = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return sorted(times)[rounds // 2]


def both_times(function: Callable[[Tensor], Tensor], x: Tensor, g: Tensor) -> tuple[float, float]:
    leaf = x.detach().requires_grad_()

    def train() -> Any:
        return torch.autograd.grad(function(leaf), leaf, g)

    return microseconds(lambda: function(x)), microseconds(train)


def test_times() -> None:
    """Print the table; no shape may be slower than F.normalize."""
    slower = []
    print(f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print("microseconds, forward / forward + backward, and the share of F.normalize's time")
    print(
        f"{'shape, dim, dtype':<36} {'copy':>7} {'F.normalize':>17} {'formula':>17} "
        f"{'semantic':>17} {'ratios':>12} {'of a copy':>9}"
    )
    for shape, dim, dtype in TIMED:
        x, g = (torch.randn(shape, device=CUDA, dtype=dtype) for _ in range(2))
        epsilon = float(torch.tensor(EPSILON).to(dtype))
        copy = microseconds(x.clone)
        theirs = both_times(lambda x: F.normalize(x, 2.0, dim), x, g)  # noqa: B023
        formula = both_times(lambda x: _semantic.l2_normalize(x, dim, epsilon), x, g)  # noqa: B023
        ours = both_times(lambda x: adapted.l2_normalize(x, dim, EPSILON), x, g)  # noqa: B023
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        mark = "" if served(x, dim) else " (formula)"
        print(
            f"{f'{tuple(shape)} {dim} {str(dtype)[6:]}':<36} {copy:7.0f} "
            f"{theirs[0]:8.0f}/{theirs[1]:8.0f} {formula[0]:8.0f}/{formula[1]:8.0f} "
            f"{ours[0]:8.0f}/{ours[1]:8.0f} {ratios[0]:6.2f}/{ratios[1]:5.2f} "
            f"{ours[0] / copy:9.2f}{mark}"
        )
        changes = [one / other for one, other in zip(ours, formula, strict=True)]
        if max(changes) > 1.05:  # noise
            slower.append((shape, dim, dtype, changes))
    assert not slower


@needs_numba
def test_times_of_strict() -> None:
    reference = portnorm.TorchReference()
    axis = {adapted.normalize: "dim", adapted.l2_normalize: "axis"}
    x = torch.randn(65536, 1024, device=CUDA)
    print(f"\nstrict at (65536, 1024) float32, {torch.get_num_threads()} threads")
    with portnorm.set_options(parity="strict", reference=reference):
        adapted.normalize(x)
        for function in (adapted.normalize, adapted.l2_normalize):
            taken = microseconds(functools.partial(function, x, **{axis[function]: 1}), 7) / 1e3
            print(f"{function.__name__}: {taken:.1f} ms")
    there = microseconds(lambda: _pinned.to_host(x), 7) / 1e3
    host = _pinned.to_host(x)
    back = microseconds(lambda: host.to(CUDA), 7) / 1e3
    pageable = microseconds(lambda: x.cpu(), 3) / 1e3
    print(f"pinned, there {there:.1f} ms, back {back:.1f} ms; pageable, there {pageable:.1f} ms")


@needs_triton
def test_times_of_other_launches() -> None:
    """Print what other sizes of tiles would take; for whoever tunes `launch_of`."""
    kernels = adapted._kernels()
    assert kernels is not None
    sizes = {
        ((1048576, 65), 1): [(8, 128, 2), (8, 128, 4), (16, 128, 4), (32, 128, 8), (4, 128, 1)],
        ((16777216, 3), 1): [(256, 4, 4), (128, 4, 4), (512, 4, 4), (512, 4, 8), (1024, 4, 8)],
        ((1048576, 64), 1): [(16, 64, 4), (16, 64, 2), (32, 64, 4), (32, 64, 8)],
        ((65536, 1024), 1): [(1, 1024, 4), (1, 1024, 2), (2, 1024, 8), (1, 1024, 8)],
        ((4096, 4096), 0): [(8, 4096, 16), (8, 4096, 8), (4, 4096, 8), (16, 2048, 16)],
    }
    print("\nmicroseconds of the kernels alone, forward / backward, by (B, N, warps, parts)")
    for (shape, dim), tiles in sizes.items():
        x, g = (torch.randn(shape, device=CUDA) for _ in range(2))
        base = kernels.launch_of(x.shape, x.stride(), dim, 4, False)
        launches = [
            base._replace(B=B, N=N, warps=warps, parts=0, length=base.n)
            for B, N, warps in tiles
            if base.n <= N
        ]
        for B, N, warps, parts in ((32, 256, 16, 8), (32, 256, 8, 8), (64, 128, 8, 8)):
            if dim == 0:
                cut = {"parts": parts, "length": base.n // parts}
                launches.append(base._replace(B=B, N=N, warps=warps, **cut))
        line = []
        for launch in launches:
            times = kernel_times(kernels, x, g, launch)
            line.append(f"{launch[3:7]}: {times[0]:.0f}/{times[1]:.0f}")
        print(f"{shape} {dim}: {'  '.join(line)}")


def kernel_times(kernels: Any, x: Tensor, g: Tensor, launch: Any) -> tuple[float, float]:
    return (
        microseconds(lambda: kernels.run(x, None, launch, EPSILON), 9),
        microseconds(lambda: kernels.run(x, g, launch, EPSILON), 9),
    )


# --- strict parity with the bits of a CUDA device -------------------------------------------------


def live_reference() -> portnorm.TorchReference:
    """Return the live device; skip where its torch is not certified."""
    reference = portnorm.TorchReference.current(CUDA)
    try:
        _ = reference.rules
    except portnorm.StrictParityError as error:
        pytest.skip(str(error)[:60])
    return reference


LAYOUTS = {
    "rows": lambda x: x,
    "columns": lambda x: x.T,
    "offset": lambda x: x.reshape(-1)[1:-1029].view(-1, 1030),
    "gaps": lambda x: x[:, 1:],
}


@needs_numba
@pytest.mark.parametrize("layout", LAYOUTS)
@each_dtype
def test_a_cuda_reference_is_torch_itself_on_the_device_and_anywhere_else(
    dtype: torch.dtype, layout: str
) -> None:
    reference = live_reference()
    memory = torch.randn(64 * 1030, dtype=torch.float64).to(dtype).reshape(64, 1030)
    found = []
    for device in (CUDA, "cpu"):
        x = LAYOUTS[layout](memory.to(device)).requires_grad_()
        with portnorm.set_options(parity="strict", reference=reference):
            y = adapted.normalize(x)
            (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y))
        found.append((y.detach().cpu(), gradient.cpu()))
    leaf = LAYOUTS[layout](memory.to(CUDA)).requires_grad_()
    live = F.normalize(leaf)
    (expected,) = torch.autograd.grad(live, leaf, torch.ones_like(live))
    for y, gradient in found:
        assert torch.equal(y, live.detach().cpu())
        assert torch.equal(gradient, expected.cpu())


@needs_numba
def test_another_device_is_computed_on_the_host_with_the_layout_of_the_tensor() -> None:
    """Seven other multiprocessors: no live device is that, so that the host has to compute."""
    other = portnorm.TorchReference("2.11.0", "cuda", device=portnorm.CudaDevice(7, 2048))
    x = torch.randn(64 * 1031)[1:].as_strided((60, 1030), (1031, 1))
    with portnorm.set_options(parity="strict", reference=other):
        memory = torch.zeros(64 * 1031, device=CUDA)
        on_device = memory[1:].as_strided((60, 1030), (1031, 1)).copy_(x)
        assert torch.equal(adapted.normalize(on_device).cpu(), adapted.normalize(x))


@needs_numba
def test_what_the_device_makes_of_odd_floors() -> None:
    """Cases that no stored digest has."""
    from portnorm.exact import torch_cuda

    for dtype, eps in ((torch.float16, 1e5), (torch.float32, math.nan), (torch.float64, math.inf)):
        x = torch.randn(5, 40, dtype=torch.float64).to(dtype)
        found = torch_cuda.normalize(x.numpy(), eps=eps)
        expected = F.normalize(x.to(CUDA), eps=eps).cpu()
        assert torch.equal(torch.from_numpy(found).isnan(), expected.isnan())
        assert torch.equal(torch.from_numpy(found).nan_to_num(), expected.nan_to_num())
