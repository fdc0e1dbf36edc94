"""Normalization as people write it by hand: bodies of a function of x, and of what is none.

Those of a framework run there. `None` says that no call has the same numbers.
"""

from __future__ import annotations

TORCH_HEAD = """\
import torch
import torch.nn.functional as F
EPS = 1e-6
"""
MINDSPORE_HEAD = """\
import mindspore as ms
import mindspore.numpy as mnp
from mindspore import Tensor, mint, nn, ops
from mindspore.ops import operations as P
EPS = 1e-6
"""

UNBOUNDED = "normalize(x, dim=1, eps=0.0)"
LAST = "normalize(x, dim=-1, eps=0.0)"

TORCH: dict[str, tuple[str, str | None]] = {
    # no epsilon
    "return x / x.norm(dim=1, keepdim=True)": ("norm", UNBOUNDED),
    "return x / x.norm(2, 1, True)": ("norm", UNBOUNDED),
    "return x / x.norm(p=2, dim=-1, keepdim=True)": ("norm", LAST),
    "return x / torch.norm(x, p=2, dim=1, keepdim=True)": ("norm", UNBOUNDED),
    "return x / torch.norm(x, dim=-1, keepdim=True)": ("norm", LAST),
    "return x / torch.norm(x, 'fro', 1, True)": ("norm", UNBOUNDED),
    "return x / torch.norm(x, dim=1)[:, None]": ("norm", UNBOUNDED),
    "return x / torch.norm(x, dim=-1)[..., None]": ("norm", LAST),
    "return x / torch.norm(x, dim=1).unsqueeze(1)": ("norm", UNBOUNDED),
    "return x / torch.unsqueeze(torch.norm(x, dim=-1), -1)": ("norm", LAST),
    "return x / x.norm(dim=1, keepdim=True).expand_as(x)": ("norm", UNBOUNDED),
    "return x / x.norm(dim=0)": ("norm", "normalize(x, dim=0, eps=0.0)"),
    "return x / x.norm()": ("norm", "normalize(x, dim=None, eps=0.0)"),
    "return x / torch.linalg.norm(x)": ("norm", "normalize(x, dim=None, eps=0.0)"),
    "return x / x.norm(2)": ("norm", "normalize(x, dim=None, eps=0.0)"),
    "return x / x.norm(dim=(0, 1), keepdim=True)": ("norm", "normalize(x, dim=(0, 1), eps=0.0)"),
    "return x / torch.linalg.norm(x, dim=1, keepdim=True)": ("norm", UNBOUNDED),
    "return x / torch.linalg.norm(x, ord=2, dim=1, keepdim=True)": ("norm", UNBOUNDED),
    "return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)": ("norm", UNBOUNDED),
    "return x.div(x.norm(dim=1, keepdim=True))": ("norm", UNBOUNDED),
    "return torch.div(x, x.norm(dim=1, keepdim=True))": ("norm", UNBOUNDED),
    "return x / x.pow(2).sum(1, keepdim=True).sqrt()": ("norm", UNBOUNDED),
    "return x / (x ** 2).sum(dim=1, keepdim=True).sqrt()": ("norm", UNBOUNDED),
    "return x / torch.sqrt(torch.sum(x * x, dim=1, keepdim=True))": ("norm", UNBOUNDED),
    "return x / torch.sqrt((x ** 2).sum(1)).unsqueeze(1)": ("norm", UNBOUNDED),
    "return x / torch.sum(torch.square(x), 1, keepdim=True) ** 0.5": ("norm", UNBOUNDED),
    "return x / x.square().sum(1, keepdim=True).pow(0.5)": ("norm", UNBOUNDED),
    "return x / x.mul(x).sum(1, keepdim=True).sqrt()": ("norm", UNBOUNDED),
    "return x * torch.rsqrt(x.pow(2).sum(1, keepdim=True))": ("norm", UNBOUNDED),
    "return x.pow(2).sum(1, keepdim=True).rsqrt() * x": ("norm", UNBOUNDED),
    "return torch.mul(x, torch.pow(x, 2).sum(1, keepdim=True) ** -0.5)": ("norm", UNBOUNDED),
    "return x * (1 / x.norm(dim=1, keepdim=True))": ("norm", UNBOUNDED),
    "return x * x.norm(dim=1, keepdim=True).reciprocal()": ("norm", UNBOUNDED),
    "n = x.norm(dim=1, keepdim=True)\nreturn x / n": ("norm", UNBOUNDED),
    "return x * x.norm(dim=1, keepdim=True) ** -1": ("norm", UNBOUNDED),
    "return 1. * x / x.norm(2, 1, keepdim=True).expand_as(x)": ("norm", UNBOUNDED),
    "return x / x.norm(dim=1).view(-1, 1)": ("norm", None),
    "return x / torch.norm(x, dim=-1).reshape(-1, 1)": ("norm", None),
    "s = x.pow(2).sum(1, keepdim=True)\nn = s.sqrt()\nreturn x.div(n)": ("norm", UNBOUNDED),
    "return x / x.norm(dim=-1)[:, None]": ("norm", None),
    "return x / x.norm(dim=1).unsqueeze(-1)": ("norm", None),
    "x = x * 1\nx /= x.norm(dim=1, keepdim=True)\nreturn x": ("norm", None),
    "y = x * 1\ny.div_(y.norm(dim=1, keepdim=True))\nreturn y": ("norm", None),
    "return (x + 0) / (x + 0).norm(dim=1, keepdim=True)": ("norm", None),
    "return x / x.norm(dim=1, keepdim=True).clamp(min=0)": ("norm", UNBOUNDED),
    # epsilon as a bound
    "return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)": (
        "max_norm",
        "normalize(x, dim=1, eps=1e-12)",
    ),
    "return x / x.norm(dim=1, keepdim=True).clamp_min(EPS)": (
        "max_norm",
        "normalize(x, dim=1, eps=EPS)",
    ),
    "n = torch.norm(x, dim=1, keepdim=True)\nn = torch.clamp(n, min=1e-8)\nreturn x / n": (
        "max_norm",
        "normalize(x, dim=1, eps=1e-8)",
    ),
    "return x / torch.maximum(x.norm(dim=1, keepdim=True), torch.tensor(EPS))": (
        "max_norm",
        "normalize(x, dim=1, eps=EPS)",
    ),
    "n = x.norm(dim=1, keepdim=True)\nreturn x / torch.max(n, torch.full_like(n, 1e-8))": (
        "max_norm",
        "normalize(x, dim=1, eps=1e-8)",
    ),
    "return x * (1 / x.norm(dim=1, keepdim=True).clip(1e-12))": (
        "max_norm",
        "normalize(x, dim=1, eps=1e-12)",
    ),
    "return x / x.pow(2).sum(1, keepdim=True).sqrt().clamp(min=1e-12)": ("max_norm", None),
    "return x / x.pow(2).sum(1, keepdim=True).clamp(min=1e-12).sqrt()": (
        "max_sum",
        "normalize(x, dim=1, eps=1e-06)",
    ),
    "return x * torch.rsqrt(torch.clamp((x * x).sum(1, keepdim=True), min=1e-4))": (
        "max_sum",
        "normalize(x, dim=1, eps=0.01)",
    ),
    "eps = max(EPS, 0)\nreturn x / (x * x).sum(1, keepdim=True).clamp(min=eps).sqrt()": (
        "max_sum",
        "normalize(x, dim=1, eps=(eps) ** 0.5)",
    ),
    "return x / x.norm(dim=1, keepdim=True).clamp(min=1)": (
        "max_norm",
        "normalize(x, dim=1, eps=1)",
    ),
    # epsilon added
    "return x / (x.norm(dim=1, keepdim=True) + 0.1)": ("norm_plus", None),
    "return x / (x.norm(dim=1, keepdim=True) + 1e-8)": ("norm_plus", None),
    "return 1. * x / (torch.norm(x, 2, 1, keepdim=True).expand_as(x) + 1e-12)": (
        "norm_plus",
        None,
    ),
    "return x / (EPS + torch.norm(x, dim=1, keepdim=True))": ("norm_plus", None),
    "return x / torch.add(x.norm(dim=1, keepdim=True), 1e-8)": ("norm_plus", None),
    "return x / (x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)": ("norm_plus", None),
    "return x / torch.sqrt(x.pow(2).sum(1, keepdim=True) + 1e-8)": ("sum_plus", None),
    "return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + EPS)": ("sum_plus", None),
    "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS)": ("rms", None),
}

MINDSPORE: dict[str, tuple[str, str | None]] = {
    "return x / ops.norm(x, dim=1, keepdim=True)": ("norm", UNBOUNDED),
    "return x / ops.norm(x, 2, 1, True)": ("max_norm", None),
    "return x / x.norm(ord=2, dim=-1, keepdim=True)": ("max_norm", None),
    "return x / ops.norm(x, 2.0, 1, True)": ("norm", UNBOUNDED),
    "return x / mnp.norm(x, 2, 1, True)": ("norm", UNBOUNDED),
    "return x / ops.vector_norm(x, 2, 1, True)": ("norm", UNBOUNDED),
    "return x / ops.norm(x)": ("norm", "normalize(x, dim=None, eps=0.0)"),
    "return x / x.norm(dim=1, keepdim=True)": ("norm", UNBOUNDED),
    "return x / x.norm(dim=-1).expand_dims(-1)": ("norm", LAST),
    "return x / ops.expand_dims(ops.norm(x, dim=1), 1)": ("norm", UNBOUNDED),
    "return x / mnp.norm(x, axis=1, keepdims=True)": ("norm", UNBOUNDED),
    "return x / ops.vector_norm(x, axis=1, keepdims=True)": ("norm", UNBOUNDED),
    "return x / nn.Norm(axis=1, keep_dims=True)(x)": ("norm", UNBOUNDED),
    "norm = nn.Norm(1, True)\nreturn x / norm(x)": ("norm", UNBOUNDED),
    "return x / ops.sqrt(ops.ReduceSum(keep_dims=True)(x * x, 1))": ("norm", UNBOUNDED),
    "return x / P.Sqrt()(P.ReduceSum(True)(P.Square()(x), 1))": ("norm", UNBOUNDED),
    "return P.RealDiv()(x, P.Sqrt()(P.ReduceSum(True)(P.Pow()(x, 2), 1)))": ("norm", UNBOUNDED),
    "return ops.div(x, ops.square(x).sum(1, keepdims=True).sqrt())": ("norm", UNBOUNDED),
    "return x / mnp.sqrt(mnp.sum(x ** 2, 1, keepdims=True))": ("norm", UNBOUNDED),
    "return x / mint.sqrt(mint.sum(mint.square(x), 1, True))": ("norm", UNBOUNDED),
    "return x * ops.rsqrt(ops.pow(x, 2).sum(1, keepdims=True))": ("norm", UNBOUNDED),
    "return ops.mul(x, ops.Rsqrt()(ops.ReduceSum(True)(x * x, 1)))": ("norm", UNBOUNDED),
    "return x * ops.reciprocal(x.norm(dim=1, keepdim=True))": ("norm", UNBOUNDED),
    "n = ops.norm(x, dim=1, keepdim=True)\nreturn ops.div(x, n)": ("norm", UNBOUNDED),
    "return x / ops.clamp(ops.norm(x, dim=1, keepdim=True), min=1e-12)": ("max_norm", None),
    "return x / ops.maximum(ops.norm(x, dim=1, keepdim=True), 1e-12)": ("max_norm", None),
    "return x / ops.LpNorm(axis=1, p=2, keep_dims=True)(x)": ("max_norm", None),
    "return x / ops.sqrt(ops.clamp((x * x).sum(1, keepdims=True), min=1e-12))": (
        "max_sum",
        "l2_normalize(x, axis=1, epsilon=1e-12)",
    ),
    "return x * ops.rsqrt(ops.clip(ops.square(x).sum(1, keepdims=True), 1e-4))": (
        "max_sum",
        "l2_normalize(x, axis=1, epsilon=1e-4)",
    ),
    "return x / ops.sqrt(ops.Maximum()(ops.ReduceSum(True)(x * x, 1), EPS))": ("max_sum", None),
    "return x / ops.sqrt(ops.clamp((x * x).sum(), min=1e-12))": ("max_sum", None),
    "return x / (ops.norm(x, dim=1, keepdim=True) + 1e-8)": ("norm_plus", None),
    "return x / (ops.sqrt(ops.reduce_sum(x * x, 1).expand_dims(1)) + EPS)": ("norm_plus", None),
    "return x / ops.sqrt(ops.ReduceSum(True)(ops.square(x), 1) + 1e-12)": ("sum_plus", None),
    "return x * ops.rsqrt(ops.ReduceMean(True)(ops.square(x), -1) + 1e-6)": ("rms", None),
}

NONE_ON_TORCH = [
    # another tensor, or another order of what happens
    "return x / y.norm(dim=1, keepdim=True)",
    "return loss / x.norm()",
    "return (x + y) / x.norm(dim=1, keepdim=True)",
    "return 2 * x / x.norm(dim=1, keepdim=True)",
    "return x / x.norm(dim=0).view(-1, 1)",
    "return x / x.norm(dim=1).view(1, -1)",
    "return x / x.norm(dim=1).view(y, -1, 1)",
    "return x * x.norm(dim=1, keepdim=True) ** -2",
    "return y * x / x.norm(dim=1, keepdim=True)",
    "return x.norm(dim=1, keepdim=True) / x",
    "return x / x.norm(dim=1, keepdim=True).detach()",
    "return x * x.norm(dim=1, keepdim=True)",
    "return x / x.pow(2).sum(1, keepdim=True).rsqrt()",
    "return x / (x.norm(dim=1, keepdim=True) + y.norm(dim=1, keepdim=True))",
    "return x / (x.norm(dim=1, keepdim=True) + bias)",
    "return max_norm / (x.norm() + 1e-6)",
    "n = x.norm(dim=1, keepdim=True)\nx = x * 2\nreturn x / n",
    "n = x.norm(dim=1, keepdim=True)\nx.mul_(2)\nreturn x / n",
    "n = x.norm(dim=1, keepdim=True)\nn[n == 0] = 1\nreturn x / n",
    "n = x.norm(dim=1, keepdim=True)\nn += 1\nreturn x / n",
    "n = x.norm(dim=1, keepdim=True)\nif y:\n    n = 1\nreturn x / n",
    "if y:\n    n = x.norm(dim=1, keepdim=True)\nelse:\n    return x / n",
    "for i in y:\n    z = x / n\n    n = x.norm(dim=1, keepdim=True)",
    "n = x.norm(dim=1, keepdim=True)\nreturn [x / n for x in y]",
    "n = x.norm(dim=1, keepdim=True)\nreturn lambda x: x / n",
    "n = x.norm(dim=1, keepdim=True)\ndef g():\n    return x / n\nreturn g",
    # another dim than the one that is broadcast
    "return x / x.norm(dim=[0, 1])[:, None]",
    "return x / x.norm(dim=1)",
    "return x / x.norm(dim=-1)",
    "return x / x.norm(dim=1).unsqueeze(0)",
    "return x / x.norm(dim=0)[:, None]",
    "return x / x.norm(dim=1, keepdim=True)[:, None]",
    "return x / x.norm(dim=2)[:, None]",
    "return x / x.norm(dim=1, keepdim=k)",
    "return x / x.norm(dim=1, keepdim=True).expand_as(y).t()",
    "return x / x.norm(dim=1, keepdim=True).expand_as(y)",
    "return x / x.norm(dim=1, keepdim=True).mul(x)",
    "return x / x.norm(dim=-2)[None, ...]",
    "return x / x.add(x).sum(1, keepdim=True).sqrt()",
    "return x / x.mul(y).sum(1, keepdim=True).sqrt()",
    # another norm
    "return x / x.norm(p=1, dim=1, keepdim=True)",
    "return x / x.norm(1, 1, True)",
    "return x / x.norm(p=p, dim=1, keepdim=True)",
    "return x / x.norm(float('inf'), dim=1, keepdim=True)",
    "return x / torch.norm(x, 'nuc')",
    "return x / torch.linalg.norm(x, 2)",
    "return x / torch.linalg.norm(x, 2, (0, 1))",
    "return x / torch.linalg.matrix_norm(x)",
    "return x / x.abs().sum(1, keepdim=True)",
    "return x / x.pow(3).sum(1, keepdim=True).sqrt()",
    "return x / x.pow(2).sum(1, keepdim=True)",
    "return x / x.pow(2).sum(1, keepdim=True).pow(0.25)",
    "return x / (x * y).sum(1, keepdim=True).sqrt()",
    "return x / x.sum(1, keepdim=True).sqrt()",
    "return x / x.std(1, keepdim=True)",
    "return (x - x.mean(1)) / (x.var(1) + 1e-5).sqrt()",
    "return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True))",
    "m = x.mean(-1, keepdim=True)\nreturn (x - m) * torch.rsqrt((x - m).pow(2).mean(-1) + 1e-6)",
    "m = x.mean(1, True)\ns = (x - m).pow(2).mean(1, keepdim=True)\n"
    "return (x - m) / (s + 1e-6).sqrt()",
    # two epsilons, or one that is none
    "return x / (x.norm(dim=1, keepdim=True) + 0.11)",
    "return x / (x.norm(dim=1, keepdim=True) + 0)",
    "return x / x.norm(dim=1, keepdim=True).clamp(min=float('inf'))",
    "return x / (x.norm(dim=1, keepdim=True).clamp(min=1e-12) + 1e-8)",
    "return x / (x.pow(2).sum(1, keepdim=True) + 1e-8).sqrt().clamp(min=1e-6)",
    "return x / x.norm(dim=1, keepdim=True).clamp(min=1e-12, max=1)",
    "return x / x.norm(dim=1, keepdim=True).clamp(max=1)",
    "return x / (x.norm(dim=1, keepdim=True) - 1e-8)",
    "return x / (x.norm(dim=1, keepdim=True) + -1e-8)",
    "return x / (x.norm(dim=1, keepdim=True) + 1)",
    "return x / (x.norm(dim=1, keepdim=True) + steps)",
    "return x / torch.maximum(x.norm(dim=1, keepdim=True), y)",
    "return x / torch.maximum(x.norm(dim=1, keepdim=True), y.f(x))",
    "return x / torch.maximum(x.norm(dim=1, keepdim=True), torch.sum(y))",
    "return x / torch.maximum(x.norm(dim=1, keepdim=True), torch.tensor())",
    "return x / torch.max(x.norm(dim=1, keepdim=True), 1)",
    "return x / x.norm(dim=1, keepdim=True).max(1)",
    # no function of torch
    "return x / norm(x)",
    "return x / self.norm(x)",
    "return x / np.linalg.norm(x, axis=1, keepdims=True)",
    "return x / np.sqrt((x ** 2).sum(axis=1, keepdims=True))",
    "return x / (x ** 2).sum(axis=1, keepdims=True) ** 0.5",
    "def norm(x):\n    return x\nreturn x / norm(x)",
    "torch = y\nreturn x / torch.norm(x, dim=1, keepdim=True)",
    "return x / torch.norm(*x, dim=1)",
    "return x // x.norm(dim=1, keepdim=True)",
    "return x / x.norm(dim=1, keepdim=True).item()",
    "return F.normalize(x, dim=1)",
    "return F.layer_norm(x, (3,))",
]
