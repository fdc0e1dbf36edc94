"""Measure what the mapping pages of the guide say, on both frameworks and on portnorm.

    python tools/measure_mapping.py           writes migration_guide/data/mapping.json
    python tools/measure_mapping.py --check   exits 1 where that file does not hold any more

Each question below is put to the four functions. `tools/generate_tables.py` makes the tables.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import torch
import torch.nn.functional as F
from mindspore import Tensor, ops
from numpy.typing import NDArray

import portnorm.mindspore
import portnorm.torch
from portnorm import files

DATA = Path(__file__).parent.parent / "migration_guide" / "data" / "mapping.json"
Array = NDArray[Any]


class Subject(ABC):
    """One of the four functions; arguments are torch's, of which each takes what it has."""

    def __init__(self, function: Callable[..., Any], normalize: bool) -> None:
        self.function, self.normalize = function, normalize

    def call(self, x: Any, **given: Any) -> Any:
        """Call it with p, dim and eps under the names that it gives them."""
        if self.normalize:
            return self.function(x, **given)
        names = {"dim": "axis", "eps": "epsilon"}
        return self.function(**{names.get(name, name): value for name, value in given.items()})(x)

    def values(self, values: Any, dtype: str = "float32", **given: Any) -> Array:
        """Return the result for an array."""
        return self.array(self.call(self.tensor(values, dtype), **given))

    @abstractmethod
    def tensor(self, values: Any, dtype: str) -> Any:
        """Return a tensor of the framework."""

    @abstractmethod
    def array(self, result: Any) -> Array:
        """Return a result as an array."""

    @abstractmethod
    def device(self, result: Any) -> str:
        """Return where a result was computed."""

    @abstractmethod
    def gradient(self, values: Any, cotangent: Any, **given: Any) -> Array:
        """Return the gradient in float64."""

    @abstractmethod
    def graph(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Compile a function, whole."""

    def compiled(self, values: Any) -> Array:
        """Return the result of a graph for one vector."""
        function = self.function

        def normalize(x: Any) -> Any:  # what MindSpore compiles has to be a def
            return function(x, dim=0)

        layer = function(axis=0) if not self.normalize else None

        def l2_normalize(x: Any) -> Any:
            return layer(x)

        graph = self.graph(normalize if self.normalize else l2_normalize)
        return self.array(graph(self.tensor(values, "float32")))


class OnTorch(Subject):
    """A function on torch tensors."""

    def tensor(self, values: Any, dtype: str) -> torch.Tensor:
        return torch.tensor(np.array(values).tolist(), dtype=getattr(torch, dtype))

    def array(self, result: torch.Tensor) -> Array:
        return (result.float() if result.dtype == torch.bfloat16 else result).numpy()

    def device(self, result: torch.Tensor) -> str:
        return result.device.type.upper()

    def gradient(self, values: Any, cotangent: Any, **given: Any) -> Array:
        x = self.tensor(values, "float64").requires_grad_()
        self.call(x, **given).backward(self.tensor(cotangent, "float64"))
        return x.grad.numpy()

    def graph(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return torch.compile(function, fullgraph=True, backend="aot_eager")


class OnMindSpore(Subject):
    """A function on MindSpore tensors."""

    def tensor(self, values: Any, dtype: str) -> Tensor:
        return Tensor(np.array(values), getattr(mindspore, dtype))

    def array(self, result: Tensor) -> Array:
        if result.dtype == mindspore.bfloat16:
            result = result.astype(mindspore.float32)
        return result.asnumpy()

    def device(self, result: Tensor) -> str:
        return mindspore.get_context("device_target")

    def gradient(self, values: Any, cotangent: Any, **given: Any) -> Array:
        function = ops.GradOperation(sens_param=True)(lambda x: self.call(x, **given))
        return self.array(
            function(self.tensor(values, "float64"), self.tensor(cotangent, "float64"))
        )

    def graph(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return mindspore.jit(function)


SUBJECTS: dict[str, Subject] = {
    "F.normalize": OnTorch(F.normalize, True),
    "ops.L2Normalize": OnMindSpore(ops.L2Normalize, False),
    "portnorm.mindspore.normalize": OnMindSpore(portnorm.mindspore.normalize, True),
    "portnorm.torch.L2Normalize": OnTorch(portnorm.torch.L2Normalize, False),
}


def of_values(*values: Any, dtype: str = "float32", **given: Any) -> Callable[[Subject], str]:
    """Ask for the result for one vector."""
    given.setdefault("dim", 0)
    return lambda subject: show(subject.values(list(values), dtype, **given))


def of_gradient(*values: float, **given: Any) -> Callable[[Subject], str]:
    """Ask for the gradient of one vector, for the cotangent (1, 0, ...)."""
    cotangent = [1.0] + [0.0] * (len(values) - 1)
    return lambda subject: show(subject.gradient(list(values), cotangent, dim=0, **given))


def default_axis(subject: Subject) -> str:
    """Ask along which axis vectors have length 1."""
    y = subject.values([[3.0, 0.5, 2.0], [4.0, 7.0, 1.0]])
    (axis,) = [axis for axis in (0, 1) if np.allclose(np.linalg.norm(y, axis=axis), 1)]
    return str(axis)


def divisor(x: float = 1e-30, **given: Any) -> Callable[[Subject], str]:
    """Ask by what a vector far below the floor is divided."""

    def measure(subject: Subject) -> str:
        (y,) = subject.values([x], "float64", dim=0, **given)
        return f"{x / y:.4g}"

    return measure


def accepted(name: str, choices: tuple[Any, ...]) -> Callable[[Subject], str]:
    """Ask which of some values of an argument it takes."""

    def measure(subject: Subject) -> str:
        taken = []
        for choice in choices:
            given = {name: choice} if name != "dtype" else {}
            dtype = choice if name == "dtype" else "float32"
            if refusal(lambda: subject.values([[3, 4], [1, 2]], dtype, **given)) is None:  # noqa: B023
                taken.append(f"{choice:g}" if isinstance(choice, float) else str(choice))
        return ", ".join(taken) or "none"

    return measure


def all_dims(subject: Subject) -> str:
    """Ask for a norm over two dims; of ones the spectral norm would be the same."""
    return show(subject.values([[1, 2], [3, 4]], dim=(0, 1)).ravel())


def a_single_number(subject: Subject) -> str:
    """Ask for a tensor without dims."""
    return show(np.atleast_1d(subject.values(3.0, dim=0)))


def filled_out(subject: Subject) -> str:
    """Ask what becomes of out."""
    out = subject.tensor([0, 0], "float32")
    result = subject.call(subject.tensor([3, 4], "float32"), dim=0, out=out)
    return "filled, and returned" if result is out else "not filled"


def in_a_graph(subject: Subject) -> str:
    """Ask whether a graph of it gives what the function gives."""
    values = [3.0, 4.0]
    close = np.allclose(subject.compiled(values), subject.values(values, dim=0))
    return "compiles" if close else "other values"


def device(subject: Subject) -> str:
    """Ask where it was measured."""
    return subject.device(subject.call(subject.tensor([3, 4], "float32"), dim=0))


def with_refusals(question: Callable[[Subject], str]) -> Callable[[Subject], str]:
    """Give the type of the error where there is one."""

    def measure(subject: Subject) -> str:
        answer = ""

        def ask() -> None:
            nonlocal answer
            answer = question(subject)

        error = refusal(ask)
        return f"`{type(error).__name__}`" if error else answer

    return measure


def refusal(function: Callable[[], Any]) -> Exception | None:
    """Return what a call raises."""
    try:
        function()
    except Exception as error:
        return error
    return None


QUESTIONS: dict[str, Callable[[Subject], str]] = {
    "axis": default_axis,
    "orders": accepted("p", (0.0, 0.5, 1.0, 2.0, 3.0, np.inf, -np.inf)),
    "floor": divisor(),
    "place": divisor(eps=0.25),
    "unit": of_values(1.0, 2.0, 3.0),
    "small": of_values(1e-10, 2e-10, 3e-10),
    "nan": of_values(np.nan, 1.0, 2.0),
    "infinity": of_values(np.inf, 1.0, 2.0),
    "zero": of_values(0.0, 0.0),
    "overflow": of_values(1e30, 1e30),
    "overflow16": of_values(300.0, 300.0, 300.0, dtype="float16"),
    "zero16": of_values(0.0, 0.0, dtype="float16"),
    "eps16": of_values(0.0, 0.0, dtype="float16", eps=1e-12),
    "dtypes": accepted(
        "dtype",
        ("float16", "bfloat16", "float32", "float64", "complex64", "complex128", "int32", "bool"),
    ),
    "dims": all_dims,
    "scalar": a_single_number,
    "out": filled_out,
    "gradient_zero": of_gradient(0.0, 0.0),
    "gradient_below": of_gradient(3e-4, 4e-4, eps=0.01),
    "gradient_at": of_gradient(0.25, 0.0, eps=0.25),
    "gradient_at_root": of_gradient(0.5, 0.0, eps=0.25),
    "gradient_above": of_gradient(3.0, 4.0),
    "gradient_one": of_gradient(2.0),
    "graph": in_a_graph,
    "devices": device,
}

BAD: dict[str, Callable[[Subject], Any]] = {
    "axis_out_of_range": lambda f: f.values([[3, 4]], dim=2),
    "default_axis_of_a_vector": lambda f: f.values([3, 4]),
    "axis_twice": lambda f: f.values([[3, 4]], dim=(0, 0)),
    "axis_float": lambda f: f.values([[3, 4]], dim=1.0),
    "integers": lambda f: f.values([[3, 4]], "int32"),
    "eps_zero": lambda f: f.values([[3, 4]], eps=0.0),
    "eps_int": lambda f: f.values([[3, 4]], eps=1),
    "eps_huge": lambda f: f.values([[3, 4]], "float16", eps=1e5),
    "no_tensor": lambda f: f.call([3.0, 4.0]),
}


def text_of_refusal(question: Callable[[Subject], Any]) -> Callable[[Subject], str]:
    """Ask for type and text of the error."""

    def measure(subject: Subject) -> str:
        error = refusal(lambda: question(subject))
        if error is None:
            return "no error"
        text = str(error).strip().partition("\n")[0]
        return f"`{type(error).__name__}: {text}`"

    return measure


def show(array: Array) -> str:
    """Return up to four digits of each number."""
    return "[" + " ".join(f"{value + 0.0:.4g}" for value in array) + "]"


def measure() -> dict[str, Any]:
    """Put every question to every function."""
    portnorm.set_options(unsupported_p="allow", parity="semantic")
    rows = {
        key: {name: with_refusals(question)(subject) for name, subject in SUBJECTS.items()}
        for key, question in QUESTIONS.items()
    }
    errors = {
        key: {name: text_of_refusal(question)(subject) for name, subject in SUBJECTS.items()}
        for key, question in BAD.items()
    }
    versions = {"torch": torch.__version__.partition("+")[0], "mindspore": mindspore.__version__}
    return {"versions": versions, "rows": rows, "errors": errors}


def differences(stored: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Return a line for each cell that is not as stored."""
    lines = []
    for part in ("versions", "rows", "errors"):
        for key in stored[part].keys() | found[part].keys():
            old, new = stored[part].get(key), found[part].get(key)
            if old != new:
                lines.append(f"{part}, {key}: stored {old}, found {new}")
    return sorted(lines)


def main() -> int:
    """Write or check the data; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    parser.add_argument("--data", type=Path, default=DATA, help="(default %(default)s)")
    arguments = parser.parse_args()
    found = measure()
    if not arguments.check:
        files.write(arguments.data, (json.dumps(found, indent=1) + "\n").encode())
        return 0
    stale = differences(json.loads(arguments.data.read_text(encoding="utf-8")), found)
    print(*stale, sep="\n", end="\n" if stale else "")
    return 1 if stale else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
