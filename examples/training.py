"""Train the model of an example on one framework or on both, and compare.

    python examples/training.py arcface --host both

All normalisation runs under parity="strict". What each call of `normalize` is given, and the
gradient that comes back to it, is kept; afterwards both frameworks normalise these same arrays, and
the results are compared bit by bit. What is left in the losses is then not of the normalisation.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import portnorm

NAMES = {"torch": "torch", "mindspore": "MindSpore"}
STEPS = 50
RATE = 0.01


def main():
    """Train from the command line; exit with 1 if strict normalisation differs in any bit."""
    options = parse_options()
    file = Path(__file__).with_name(f"{options.model}.py")
    hosts = [Host(name) for name in (NAMES if options.host == "both" else [options.host])]
    arrays = initial_arrays(file, hosts[0])
    runs = [Run(host, file, arrays) for host in hosts]
    show_losses(runs)
    if options.plot:
        plot_losses(runs, options.plot)
    if len(runs) == 2 and show_normalisation(runs):
        sys.exit("Normalisation differs under parity='strict'.")


def parse_options():
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Train a model on one framework or on both.")
    parser.add_argument("model", choices=["arcface", "clip"])
    parser.add_argument("--host", choices=[*NAMES, "both"], default="both")
    parser.add_argument("--plot", metavar="FILE", help="draw the losses; needs matplotlib")
    options = parser.parse_args()
    needed = list(NAMES) if options.host == "both" else [options.host]
    for package in [*needed, "matplotlib"] if options.plot else needed:
        if importlib.util.find_spec(package) is None:
            parser.error(f"{package} is not installed")
    return options


# --- one run --------------------------------------------------------------------------------------


class Host:
    """A framework: its part of portnorm, and what the examples need besides."""

    def __init__(self, name):
        self.name = NAMES[name]
        self.module = f"portnorm.{name}"
        self.functions = importlib.import_module(self.module)
        self.tensors = importlib.import_module(f"on_{name}")


class Run:
    """A model trained on one host.

    Attributes:
        losses: before each step.
        calls: what its normalisation was given.
    """

    def __init__(self, host, file, arrays):
        self.host = host
        model = load_model(file, host.module)
        recorder = model.F = Recorder(host)
        weights, data = arrays
        with portnorm.set_options(parity="strict"):
            self.losses = host.tensors.train(model.loss, weights, data, STEPS, RATE)
        self.calls = recorder.calls


def load_model(file, module):
    """Return the model as it is when its one import is changed to a module of portnorm."""
    source = file.read_text(encoding="utf-8")
    changed = source.replace("import portnorm.torch as F", f"import {module} as F")
    model = ModuleType(file.stem)
    exec(compile(changed, file, "exec"), model.__dict__)
    return model


def initial_arrays(file, host, seed=0):
    """Return initial weights, and data, as float32."""
    groups = load_model(file, host.module).arrays(np.random.default_rng(seed))
    return [[np.asarray(array, np.float32) for array in group] for group in groups]


@dataclasses.dataclass
class Call:
    """What one call of `normalize` was given, and the gradient that came back to its result."""

    x: Any
    dim: int
    cotangent: Any = None


class Recorder:
    """Stands in for `F` in a model, and keeps the calls."""

    def __init__(self, host):
        self.host = host
        self.calls = []

    def normalize(self, x, dim):
        """Do what the function of the host does."""
        call = Call(self.host.tensors.array(x), dim)
        self.calls.append(call)
        y = self.host.functions.normalize(x, dim=dim)
        self.host.tensors.on_gradient(y, lambda array: setattr(call, "cotangent", array))
        return y


# --- the losses -----------------------------------------------------------------------------------


def show_losses(runs):
    """Print the losses of each step, and how far apart they are."""
    both = len(runs) == 2
    print("step", *(f"{run.host.name:>12}" for run in runs), *(["  difference"] if both else []))
    for step in range(STEPS):
        losses = [run.losses[step] for run in runs]
        difference = [f"{abs(losses[0] - losses[1]):12.1e}"] if both else []
        print(f"{step + 1:4}", *(f"{loss:12.8f}" for loss in losses), *difference)


def plot_losses(runs, file):
    """Draw the losses."""
    from matplotlib import pyplot

    for run, style in zip(runs, ["-", "--"], strict=False):
        pyplot.plot(range(1, STEPS + 1), run.losses, style, label=run.host.name)
    pyplot.xlabel("step")
    pyplot.ylabel("loss")
    pyplot.legend()
    pyplot.savefig(file)


# --- the normalisation ----------------------------------------------------------------------------


def show_normalisation(runs):
    """Print where results for the same arrays differ; return how many words do under "strict"."""
    calls = [call for run in runs for call in run.calls]
    total = sum(call.x.size for call in calls)
    print(f"\nThe normalisation, given the same {len(calls)} inputs and cotangents on both hosts:")
    print(f"{f'of {total:,} words differ':32}     forward    gradient")
    counts = {}
    for title, normalize in WAYS.items():
        counts[title] = sum(words_that_differ(runs, normalize, call) for call in calls)
        print(f"{title:32}", *(f"{count:11,}" for count in counts[title]))
    return counts[STRICT].sum()


def words_that_differ(runs, normalize, call):
    """Return how many words of the result and of the gradient differ between the hosts."""
    one, other = (results(run.host, normalize, call) for run in runs)
    return np.array([np.count_nonzero(a != b) for a, b in zip(one, other, strict=True)])


def results(host, normalize, call):
    """Return the words of the result and of the gradient."""
    found = host.tensors.with_gradient(
        lambda x: normalize(host, x, call.dim), call.x, call.cotangent
    )
    return [array.view(np.uint32) for array in found]


def with_parity(parity):
    """Return what calls the normalize of a host at a level of parity."""
    return lambda host, x, dim: host.functions.normalize(x, dim=dim, parity=parity)


STRICT = 'normalize, parity="strict"'
WAYS = {
    STRICT: with_parity("strict"),
    'normalize, parity="semantic"': with_parity("semantic"),
    "F.normalize and ops.L2Normalize": lambda host, x, dim: host.tensors.own_normalize(x, dim),
}


if __name__ == "__main__":
    main()
