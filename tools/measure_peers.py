"""Measure what other libraries give on the inputs of the migration guide.

    python tools/measure_peers.py NAME=PYTHON...

Each peer is measured in processes of its own, with the interpreter of an environment that has it;
``migration_guide/data/peers.json`` keeps what they gave. The names are those in ``PEERS``. The
environments hold what PyPI has, in the versions that the data file names. Where a peer pins a
requirement that Python 3.11 or the frameworks cannot go with, it is installed without its
requirements, and what it imports is added by hand.

The processes run this file with ``--inside TASK NAME``; what it imports is in each environment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
DATA = ROOT / "migration_guide" / "data" / "peers.json"
FRAMEWORKS = ("torch", "mindspore", "numpy")
LATE = {"torch": "torch._dynamo"}
MARK = "MEASURED "
NO_ARGUMENT = "no such argument"
Array = NDArray[Any]


class NoArgument(Exception):
    """The peer lacks an argument of torch's function."""


class Functions(NamedTuple):
    """How a peer makes tensors, normalises them, gives arrays back, and differentiates.

    ``arguments`` maps torch's names to the peer's; a name that it lacks, the peer lacks.
    """

    tensor: Callable[[Array], Any]
    normalize: Callable[..., Any]
    array: Callable[[Any], Array]
    gradient: Callable[[Callable[[Any], Any], Array], Array]
    arguments: Mapping[str, str]

    def call(self, x: Any, **options: Any) -> Any:
        """Normalise with options under torch's names."""
        if not options.keys() <= self.arguments.keys():
            raise NoArgument
        return self.normalize(x, **{self.arguments[name]: v for name, v in options.items()})


TORCH_NAMES = {"p": "p", "dim": "dim", "eps": "eps", "out": "out"}


def _torch(normalize: Callable[..., Any], arguments: Mapping[str, str]) -> Functions:
    import torch

    def gradient(function: Callable[[Any], Any], a: Array) -> Array:
        x = torch.from_numpy(a).requires_grad_()
        function(x).sum().backward()
        return np.array(x.grad)

    return Functions(torch.from_numpy, normalize, np.array, gradient, arguments)


def _mindspore(normalize: Callable[..., Any], arguments: Mapping[str, str]) -> Functions:
    import mindspore
    from mindspore import Tensor

    def gradient(function: Callable[[Any], Any], a: Array) -> Array:
        return mindspore.grad(lambda x: function(x).sum())(Tensor(a)).asnumpy()

    return Functions(Tensor, normalize, lambda x: x.asnumpy(), gradient, arguments)


def _imported(path: str) -> Callable[..., Any]:
    """Import a function as its users do, for an error is to be the one that they see.

    Of a class, the options go to the constructor.
    """
    module, _, name = path.rpartition(".")
    scope: dict[str, Any] = {}
    exec(f"from {module} import {name}", scope)
    found = scope[name]
    if isinstance(found, type):
        return lambda x, **options: found(**options)(x)
    return found  # type: ignore[no-any-return]


def _on_torch(path: str, arguments: Mapping[str, str] = TORCH_NAMES) -> Functions:
    return _torch(_imported(path), arguments)


def _on_mindspore(path: str, arguments: Mapping[str, str] = TORCH_NAMES) -> Functions:
    return _mindspore(_imported(path), arguments)


def _mindnlp() -> Functions:
    import mindtorch
    from mindtorch.autograd.function import value_and_grad
    from mindtorch.nn.functional import normalize

    def gradient(function: Callable[[Any], Any], a: Array) -> Array:
        x = mindtorch.nn.Parameter(mindtorch.tensor(a))
        _, (found,) = value_and_grad(lambda: function(x).sum(), (x,), attach_grads=False)()
        return found.asnumpy()

    return Functions(mindtorch.tensor, normalize, lambda x: x.numpy(), gradient, TORCH_NAMES)


def _mindconverter() -> Functions:
    """The MindSpore code that MindConverter writes for a call of F.normalize, run as it is."""
    from mindconverter.converter import Converter
    from mindspore.ops import operations

    def normalize(x: Any, **options: Any) -> Any:
        # A tensor is no literal: the code names it.
        given = ((name, name if name == "out" else value) for name, value in options.items())
        source = "".join(f", {name}={value}" for name, value in given)
        return eval(Converter.convert_api(f"F.normalize(x{source})"), {"P": operations, "x": x})

    return _mindspore(normalize, TORCH_NAMES)


def _ivy(
    normalize: Callable[..., Any],
    tensor: Callable[[Any], Any],
    native: Callable[[Any], Any],
    arguments: Mapping[str, str],
) -> Functions:
    """Ivy's tensors hold torch's: ``tensor`` makes one of a native one, ``native`` takes it out."""
    host = _torch(normalize, arguments)
    return host._replace(
        tensor=lambda a: tensor(host.tensor(a)),
        array=lambda x: np.array(native(x).detach()),
        gradient=lambda function, a: host.gradient(lambda x: native(function(tensor(x))), a),
    )


def _ivy_frontend() -> Functions:
    import ivy

    ivy.set_backend("torch")
    from ivy.functional.frontends.torch import Tensor
    from ivy.functional.frontends.torch.nn.functional import normalize

    return _ivy(normalize, Tensor, lambda x: x.ivy_array.data, TORCH_NAMES)


def _lp_normalize() -> Functions:
    import ivy

    ivy.set_backend("torch")
    names = {"p": "p", "dim": "axis", "out": "out"}
    return _ivy(ivy.lp_normalize, ivy.array, ivy.to_native, names)


class Peer(NamedTuple):
    """A library: what a user calls, what is imported, after which frameworks, and its functions.

    ``load`` is None for a tool that normalises nothing.
    """

    title: str
    packages: tuple[str, ...]
    module: str
    load: Callable[[], Functions] | None
    hosts: tuple[str, ...] = ("torch", "mindspore")
    environment: Mapping[str, str] = {}


KERAS_ON_TORCH = {"KERAS_BACKEND": "torch"}
TENSORLAYERX_NAMES = {"dim": "axis", "eps": "eps"}
PEERS = {
    "torch": Peer(
        "`torch.nn.functional.normalize`",
        ("torch",),
        "torch",
        partial(_on_torch, "torch.nn.functional.normalize"),
        hosts=(),
    ),
    "mindspore": Peer(
        "`mindspore.ops.L2Normalize`",
        ("mindspore",),
        "mindspore",
        partial(_on_mindspore, "mindspore.ops.L2Normalize", {"dim": "axis", "eps": "epsilon"}),
        hosts=(),
    ),
    "portnorm": Peer(
        "`portnorm.mindspore.normalize`",
        ("portnorm", "mindspore"),
        "portnorm.mindspore",
        partial(_on_mindspore, "portnorm.mindspore.normalize"),
    ),
    "mint": Peer(
        "`mindspore.mint.nn.functional.normalize`",
        ("mindspore",),
        "mindspore.mint",
        partial(
            _on_mindspore,
            "mindspore.mint.nn.functional.normalize",
            {"p": "p", "dim": "dim", "eps": "eps"},
        ),
    ),
    "mindnlp": Peer(
        "MindNLP: `mindtorch.nn.functional.normalize`",
        ("mindnlp", "mindspore"),
        "mindtorch",
        _mindnlp,
        hosts=("mindspore",),
    ),
    "mindtorch": Peer(
        "MindTorch: `mindtorch.torch.nn.functional.normalize`",
        ("mindtorch", "mindspore"),
        "mindtorch",
        partial(_on_mindspore, "mindtorch.torch.nn.functional.normalize"),
    ),
    "msadapter": Peer(
        "MSAdapter: `msadapter.pytorch.nn.functional.normalize`",
        ("msadapter", "mindspore"),
        "msadapter",
        partial(_on_mindspore, "msadapter.pytorch.nn.functional.normalize"),
    ),
    "torch-ms-adapter": Peer(
        "`torch_ms_adapter.nn.functional.normalize`",
        ("torch-ms-adapter", "mindspore"),
        "torch_ms_adapter",
        partial(_on_mindspore, "torch_ms_adapter.nn.functional.normalize"),
    ),
    "mindconverter": Peer(
        "MindConverter: what it writes for `F.normalize`",
        ("mindconverter", "mindspore"),
        "mindconverter",
        _mindconverter,
    ),
    "keras": Peer(
        "`keras.ops.normalize`",
        ("keras", "torch"),
        "keras",
        partial(_on_torch, "keras.ops.normalize", {"p": "order", "dim": "axis", "eps": "epsilon"}),
        environment=KERAS_ON_TORCH,
    ),
    "unit-normalization": Peer(
        "`keras.layers.UnitNormalization`",
        ("keras", "torch"),
        "keras",
        partial(_on_torch, "keras.layers.UnitNormalization", {"dim": "axis"}),
        environment=KERAS_ON_TORCH,
    ),
    "ivy-frontend": Peer(
        "Ivy's frontend: `torch.nn.functional.normalize`", ("ivy", "torch"), "ivy", _ivy_frontend
    ),
    "lp-normalize": Peer("`ivy.lp_normalize`", ("ivy", "torch"), "ivy", _lp_normalize),
    "tensorlayerx-torch": Peer(
        "`tensorlayerx.l2_normalize`",
        ("tensorlayerx", "torch"),
        "tensorlayerx",
        partial(_on_torch, "tensorlayerx.l2_normalize", TENSORLAYERX_NAMES),
        environment={"TL_BACKEND": "torch"},
    ),
    "tensorlayerx-mindspore": Peer(
        "`tensorlayerx.l2_normalize`",
        ("tensorlayerx", "mindspore"),
        "tensorlayerx",
        partial(_on_mindspore, "tensorlayerx.l2_normalize", TENSORLAYERX_NAMES),
        hosts=("mindspore",),
        environment={"TL_BACKEND": "mindspore"},
    ),
    "troubleshooter": Peer(
        "TroubleShooter", ("troubleshooter", "torch", "mindspore"), "troubleshooter", None
    ),
}

ONE_TWO_THREE = np.array([1, 2, 3], "float32")
VECTORS = {
    "[1, 2, 3]": ONE_TWO_THREE,
    "[1e-10, 2e-10, 3e-10]": np.array([1e-10, 2e-10, 3e-10], "float32"),
    "[0, 0, 0]": np.zeros(3, "float32"),
    "[nan, 1, 2]": np.array([np.nan, 1, 2], "float32"),
    "float16 [300, 300, 300]": np.array([300, 300, 300], "float16"),
}
AXES = {0: "0", 1: "1", 2: "-1", (0, 1, 2): "all"}


def _show(array: Array) -> str:
    return " ".join(f"{value + 0.0:.4g}" for value in np.asarray(array, "float64").ravel())


def _normalized(a: Array, peer: Functions, **options: Any) -> str:
    # A tensor may share the memory of its array.
    return _show(peer.array(peer.call(peer.tensor(a.copy()), **options)))


def _default_axis(peer: Functions) -> str:
    """Along which axis of three a call without one normalises."""
    a = np.arange(1, 9, dtype="float32").reshape(2, 2, 2)
    found = peer.array(peer.call(peer.tensor(a.copy())))
    for axis, name in AXES.items():
        if np.allclose(found, a / np.sqrt((a * a).sum(axis, keepdims=True)), rtol=1e-5):
            return name
    return "none of them"


def _out(peer: Functions) -> str:
    """Whether out holds the result."""
    x, out = peer.tensor(ONE_TWO_THREE.copy()), peer.tensor(np.zeros(3, "float32"))
    result = peer.call(x, dim=0, out=out)
    filled = np.array_equal(peer.array(out), peer.array(result))
    return "filled" if filled else "not filled"


def _gradient_at_zero(peer: Functions) -> str:
    return _show(peer.gradient(lambda x: peer.call(x, dim=0), np.zeros(3, "float32")))


ARGUMENTS: dict[str, Callable[[Functions], str]] = {
    "p = 3": partial(_normalized, ONE_TWO_THREE, dim=0, p=3),
    "eps = 100": partial(_normalized, ONE_TWO_THREE, dim=0, eps=100.0),
    "default axis": _default_axis,
    "out": _out,
    "gradient at 0": _gradient_at_zero,
}


def error_of(error: BaseException) -> str:
    """Return type and first line of an error, without paths of this machine."""
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {re.sub(r' ?[(]?/[^ )]*[)]?', '', line)}".rstrip(": ")


def _answer(question: Callable[[Functions], str], peer: Functions) -> str:
    try:
        return question(peer)
    except NoArgument:
        return NO_ARGUMENT
    except Exception as error:
        return error_of(error)


def ask(peer: Functions) -> dict[str, str]:
    """Put every question to a peer; the answer to a question may be an error."""
    vectors = {label: partial(_normalized, vector, dim=0) for label, vector in VECTORS.items()}
    return {label: _answer(question, peer) for label, question in (vectors | ARGUMENTS).items()}


def _namespaces() -> dict[str, dict[str, object]]:
    """Return what is callable in each module of the frameworks, and all that is in its classes."""
    found: dict[str, dict[str, object]] = {}
    for name, module in list(sys.modules.items()):
        # A peer may put in the table of modules what is no module.
        if name.partition(".")[0] not in FRAMEWORKS or not isinstance(module, ModuleType):
            continue
        found[name] = {key: value for key, value in vars(module).items() if callable(value)}
        for key, value in found[name].items():
            if isinstance(value, type) and getattr(value, "__module__", None) == name:
                found[f"{name}.{key}"] = dict(vars(value))
    return found


def _patched(
    before: Mapping[str, Mapping[str, object]], replaced_modules: Sequence[str]
) -> dict[str, int]:
    """Count what is replaced in each namespace, and what is added to a class."""
    counts = {}
    for owner, now in _namespaces().items():
        if any(f"{owner}.".startswith(f"{module}.") for module in replaced_modules):
            continue
        known = before.get(owner, now)
        # A module gains names when its submodules are imported; a class does not.
        is_class = owner not in sys.modules
        changed = [
            key for key in now if (key in known or is_class) and known.get(key) is not now[key]
        ]
        if changed:
            counts[owner] = len(changed)
    return counts


def _settings() -> dict[str, str]:
    """Return what is set for the whole process, by name; a path counts as a value like any."""
    settings = {key: "a path" if "/" in value else value for key, value in os.environ.items()}
    settings |= {f"finder {type(finder).__name__}": "added" for finder in sys.meta_path}
    if mindspore := sys.modules.get("mindspore"):
        settings["MindSpore's mode"] = str(mindspore.get_context("mode"))
    return settings


def _who_is_torch() -> str:
    """Return the package whose Module a user of torch.nn now gets."""
    try:
        return str(import_module("torch.nn").Module.__module__).partition(".")[0]
    except Exception as error:
        return error_of(error)


def changes(peer: Peer) -> dict[str, Any]:
    """Import the peer after its frameworks; return the seconds, and what is changed by it.

    What the frameworks change when parts of them are loaded late is none of the peer's doing, and
    caches are no change.
    """
    for host in peer.hosts:
        import_module(host)
        import_module(LATE.get(host, host))
    modules, namespaces, settings = dict(sys.modules), _namespaces(), _settings()
    start = time.perf_counter()
    import_module(peer.module)
    seconds = time.perf_counter() - start
    replaced = sorted(name for name, m in modules.items() if sys.modules.get(name) is not m)
    files = (path.relative_to(Path.cwd()) for path in Path.cwd().rglob("*") if path.is_file())
    return {
        "seconds": round(seconds, 1),
        "replaced modules": replaced,
        "patched": _patched(namespaces, replaced),
        "settings": dict(sorted(_settings().items() - settings.items())),
        "torch is": _who_is_torch(),
        "files": sorted(str(path) for path in files if path.parts[0] != ".cache"),
    }


def versions(peer: Peer) -> dict[str, str]:
    """Return the versions of the peer, of the frameworks and of Python."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in (*peer.packages, "numpy"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package).partition("+")[0]
    return found


def answers(peer: Peer) -> dict[str, str]:
    """Return what the peer answers, which is nothing if it normalises nothing."""
    return ask(peer.load()) if peer.load else {}


TASKS: dict[str, Callable[[Peer], dict[str, Any]]] = {
    "versions": versions,
    "changes": changes,
    "answers": answers,
}


def _inside(task: str, name: str) -> dict[str, Any]:
    try:
        return TASKS[task](PEERS[name])
    except Exception as error:
        return {"error": error_of(error)}


def run(python: str, task: str, name: str) -> dict[str, Any]:
    """Do one task about one peer in a process of its own, in an empty folder that is its home."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **PEERS[name].environment, "HOME": folder}
        environment["PYTHONPATH"] = str(ROOT) if name == "portnorm" else ""
        done = subprocess.run(
            [python, __file__, "--inside", task, name],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    _, mark, found = done.stdout.rpartition(MARK)
    if not mark:
        return {"error": f"the process ends with {done.returncode}"}
    return json.loads(found)  # type: ignore[no-any-return]


def measure(python: str, name: str) -> dict[str, Any]:
    """Return all that the data file keeps about a peer."""
    peer = {"title": PEERS[name].title, "module": PEERS[name].module}
    return peer | {task: run(python, task, name) for task in TASKS}


def main() -> None:
    """Measure the peers named, and keep what was known of the others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peers", nargs="+", metavar="NAME=PYTHON", help="or, within, TASK NAME")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(MARK + json.dumps(_inside(*arguments.peers)))
        return
    from portnorm import files  # which the environments of the peers lack

    known = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {}
    for name, _, python in (given.partition("=") for given in arguments.peers):
        known[name] = measure(python, name)
        ordered = {name: known[name] for name in PEERS if name in known}
        files.write(DATA, (json.dumps(ordered, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
