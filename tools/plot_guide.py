"""Draw the pictures of the migration guide's explanations.

    python tools/plot_guide.py           writes them
    python tools/plot_guide.py --check   exits 1 where a picture is out of date

The curves are computed with `portnorm.exact`, and the summation orders are what `trace_sums.py`
writes down while the functions of `portnorm.exact` add up.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from portnorm import files, semantics
from portnorm.exact import mindspore_cpu, torch_cpu

TOOLS = Path(__file__).parent
IMAGES = TOOLS.parent / "migration_guide" / "images"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#007a5a"
GRAY, LIGHT = "#5c656e", "#a9b4bf"
"""Colours that people who are colour-blind can tell apart, all dark enough on white."""
STYLE = {
    "font.size": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "portnorm",
}
WIDTH = 4.7
"""Inches. A phone shows some three quarters of that, where 9 points stay legible."""


# --- gradients -----------------------------------------------------------------------------------

NORMS = np.array([10.0 ** (k / 50) for k in range(-750, 101)])
STEP = 1e-4
"""Of the finite differences, relative to the norm."""


def vectors(across: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return vectors along the first coordinate, and a cotangent across or along them."""
    x, g = np.zeros((2, len(NORMS), 2))
    x[:, 0] = NORMS
    g[:, int(across)] = 1
    return x, g


def gradient_of_torch(x: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    """Return the gradient of F.normalize."""
    return torch_cpu.normalize_vjp(x, g)


def gradient_of_mindspore(x: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    """Return what MindSpore's kernel for the gradient of L2Normalize gives."""
    return mindspore_cpu.l2_normalize_vjp(x, mindspore_cpu.l2_normalize(x, 1), g, 1)


def slope_of_mindspore(x: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    """Return how L2Normalize changes with x, which the gradient ought to be."""
    step = g * NORMS[:, None] * STEP
    ahead, behind = (mindspore_cpu.l2_normalize(x + s, 1) for s in (step, -step))
    return (ahead - behind) / (2 * step.sum(axis=1, keepdims=True))


CURVES: dict[Callable[..., NDArray[Any]], tuple[str, dict[str, Any]]] = {
    gradient_of_torch: ("F.normalize", {"color": BLUE}),
    gradient_of_mindspore: ("L2Normalize: gradient kernel", {"color": ORANGE}),
    slope_of_mindspore: (
        "L2Normalize: slope of its values",
        {"color": GREEN, "linestyle": (0, (4, 2))},
    ),
}


def draw_gradients(axes: Axes, across: bool) -> None:
    """Draw the size of all gradients against the norm."""
    x, g = vectors(across)
    for gradient, (label, style) in CURVES.items():
        size = np.linalg.norm(gradient(x, g), axis=1)
        axes.loglog(NORMS, size, label=label, linewidth=1.6, **style)
    axes.set_xlim(NORMS[0], NORMS[-1])
    axes.set_ylim(1e-2, 1e14)
    axes.xaxis.set_major_locator(LogLocator(numticks=20, base=100))
    axes.yaxis.set_major_locator(LogLocator(numticks=20, base=10000))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.set_title(f"cotangent {'across' if across else 'along'} x", fontsize=9, loc="left")
    axes.set_ylabel("size of the gradient")
    for floor in (semantics.NORMALIZE.floor(), semantics.L2NORMALIZE.floor()):
        axes.axvline(floor, color=GRAY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        axes.annotate(
            f"floor {floor:g}", (floor, 2e-2), (3, 0), textcoords="offset points", color=GRAY
        )


def gradients() -> Figure:
    """The gradient of both functions below, at and above their floors."""
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    draw_gradients(upper, across=True)
    draw_gradients(lower, across=False)
    lower.set_xlabel("norm of x")
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper left", frameon=False)
    return figure


# --- summation orders ----------------------------------------------------------------------------

ROW, SLOPE = 0.13, 0.25
"""Inches between one addition and the next that needs it, and at least this part of how far it
reaches to the side."""


def traced_sums() -> dict[str, Any]:
    """Return what trace_sums.py writes."""
    command = [sys.executable, str(TOOLS / "trace_sums.py")]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


Place = tuple[float, float]
"""Column, and inches below the elements."""


def places(log: dict[str, Any]) -> list[Place]:
    """Return where each element stands, and each result.

    A result stands below the operand that is added, one step deeper than the deeper one of the
    two. Steps that reach far to the side reach further down, so that lines stay apart.
    """
    columns, depths = list(range(log["elements"])), [0] * log["elements"]
    reach: dict[int, int] = {0: 0}
    for left, right, _ in log["additions"]:
        columns.append(columns[right])
        depths.append(1 + max(depths[left], depths[right]))
        aside = abs(columns[left] - columns[right])
        reach[depths[-1]] = max(aside, reach.get(depths[-1], 0))
    column = WIDTH / log["elements"]
    steps = [max(ROW, SLOPE * column * reach[depth]) for depth in range(1, len(reach))]
    down = np.cumsum([0.0, *steps]).tolist()
    return [(column, down[depth]) for column, depth in zip(columns, depths, strict=True)]


def longest_way(log: dict[str, Any]) -> int:
    """Return the most additions that an element takes part in, itself or in a sum."""
    ways = [0] * log["elements"]
    for left, right, _ in log["additions"]:
        ways.append(1 + max(ways[left], ways[right]))
    return ways[-1]


def draw_sum(log: dict[str, Any]) -> Figure:
    """Draw one summation order: elements above, the result below."""
    at, elements = places(log), log["elements"]
    figure = Figure(figsize=(WIDTH, 1.35 + at[-1][1]), layout="constrained")
    axes = figure.subplots()
    for result, (left, right, _) in enumerate(log["additions"], elements):
        for operand in (right, left):
            is_sum = operand >= elements
            style = {"color": BLUE, "lw": 1.3} if is_sum else {"color": LIGHT, "lw": 0.9}
            axes.plot(*zip(at[operand], at[result], strict=True), zorder=1, **style)
    draw_numbers(axes, at, log)
    style_order(axes, elements, at[-1][1])
    note = f"{elements} elements; the longest way down has {longest_way(log)} additions"
    figure.supxlabel(note, fontsize=9)
    figure.legend(loc="outside upper left", frameon=False, ncols=2, handletextpad=0.1)
    return figure


def draw_numbers(axes: Axes, at: list[Place], log: dict[str, Any]) -> None:
    """Draw elements and results, each kind in its own way."""
    elements = log["elements"]
    fused = [elements + i for i, (*_, fused) in enumerate(log["additions"]) if fused]
    unrounded = [log["additions"][i - elements][1] for i in fused]
    rest = set(range(len(at) - 1)) - set(fused) - set(unrounded)
    what = "square, rounded" if log["squares"] else "element"
    kinds = [
        (what, [i for i in rest if i < elements], {"marker": "s", "c": BLUE}),
        ("sum, rounded", [i for i in rest if i >= elements], {"marker": "o", "c": BLUE}),
        ("square, not rounded", unrounded, {"marker": "s", "c": "white", "ec": ORANGE}),
        ("fused multiply-add", [i for i in fused if i < len(at) - 1], {"marker": "D", "c": ORANGE}),
        ("result", [len(at) - 1], {"marker": "o", "c": "black", "s": 34}),
    ]
    if fused[-1:] == [len(at) - 1]:
        kinds[-1] = (
            "fused multiply-add: the result",
            fused[-1:],
            {"marker": "D", "c": ORANGE, "s": 30},
        )
    for label, numbers, style in kinds:
        if numbers:
            x, y = zip(*(at[i] for i in sorted(numbers)), strict=True)
            axes.scatter(x, y, label=label, zorder=2, **{"s": 13, "linewidths": 1, **style})


def style_order(axes: Axes, elements: int, depth: float) -> None:
    """Number the elements above, and show nothing else of the axes."""
    axes.set_xlim(-0.7, elements - 0.3)
    axes.set_ylim(depth + ROW / 2, -ROW / 2)
    axes.xaxis.tick_top()
    axes.set_xticks([*range(0, elements - 3, 8), elements - 1])
    axes.tick_params(length=0, pad=2)
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


# --- files ---------------------------------------------------------------------------------------


def pictures() -> dict[str, bytes]:
    """Return the pictures by the names of their files."""
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        figures = {"gradient.svg": gradients()}
        for name, log in traced_sums().items():
            figures[f"order_{name}.svg"] = draw_sum(log)
        return {name: svg(figure) for name, figure in figures.items()}


def svg(figure: Figure) -> bytes:
    """Return a figure as a file that does not depend on when it was made."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    # Trailing spaces do not survive editors.
    return b"".join(line.rstrip() + b"\n" for line in file.getvalue().splitlines())


def main() -> int:
    """Write or check every picture; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    parser.add_argument("--images", type=Path, default=IMAGES, help="the folder of the pictures")
    arguments = parser.parse_args()
    stale = []
    for name, content in pictures().items():
        path = arguments.images / name
        if path.is_file() and path.read_bytes() == content:
            continue
        stale.append(name)
        if not arguments.check:
            files.write(path, content)
    for name in stale:
        print(f"{'out of date' if arguments.check else 'written'}: {name}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
