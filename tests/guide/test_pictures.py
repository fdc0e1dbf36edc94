"""The pictures of the guide: they are fresh, they show what the code does, and are described."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.exact import orders
from tests.exact.rational import fractions, round_to
from tests.imports.blocked import start_python

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "migration_guide"
PICTURES = sorted((GUIDE / "images").glob("*.svg"))

round_float32: orders.Round = partial(round_to, dtype="float32")


def matplotlib_is_pinned() -> bool:
    (pinned,) = re.findall(r"^matplotlib==(.+)$", (ROOT / "constraints.txt").read_text(), re.M)
    found = importlib.util.find_spec("matplotlib") is not None
    return found and importlib.metadata.version("matplotlib") == pinned


def run_tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    run = "import runpy, sys; sys.argv[0] = {0!r}; runpy.run_path({0!r}, run_name='__main__')"
    return start_python(run.format(str(ROOT / "tools" / name)), *arguments)


@pytest.mark.skipif(not matplotlib_is_pinned(), reason="needs the matplotlib of constraints.txt")
def test_pictures_are_what_the_script_draws_and_a_stale_one_is_found(tmp_path: Path) -> None:
    images = tmp_path / "images"
    shutil.copytree(GUIDE / "images", images)
    with (images / "gradient.svg").open("ab") as file:
        file.write(b"\n")
    (images / "order_lanes.svg").unlink()
    before = sorted(path.name for path in images.iterdir())
    done = run_tool("plot_guide.py", "--check", "--images", str(images))
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == ["out of date: gradient.svg", "out of date: order_lanes.svg"]
    assert sorted(path.name for path in images.iterdir()) == before


@pytest.fixture(scope="module")
def traces() -> dict[str, Any]:
    done = run_tool("trace_sums.py")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def add_up(trace: dict[str, Any], x: list[Fraction]) -> Fraction:
    """Do the additions that a picture shows."""
    terms = orders.squares(x, round_float32) if trace["squares"] else list(x)
    for left, right, fused in trace["additions"]:
        added = x[right] * x[right] if fused else terms[right]
        terms.append(round_float32(terms[left] + added))
    return terms[-1]


def in_chunks(x: orders.Terms, r: orders.Round) -> Fraction:
    parts = [orders.squares_left_to_right(x[i : i + 7], r, False) for i in range(0, len(x), 7)]
    return orders.add_all(parts[1:], r, parts[0])


DESCRIBED: dict[str, Callable[..., Fraction]] = {
    "left_to_right": partial(orders.squares_left_to_right, fused=False),
    "lanes": partial(orders.squares_in_lanes, lanes=8, step=8, fused=False, plain_tail=4),
    "thread_chunks": in_chunks,
    "cascade": orders.cascade,
    "four_cascades": orders.interleaved,
    "registers": partial(orders.in_registers, lanes=8, paired=False),
    "halving": orders.halved,
    "block": partial(orders.in_block, threads=8),
}


def random_fractions(rng: np.random.Generator, count: int) -> list[Fraction]:
    values = np.ldexp(rng.uniform(0.5, 1, count), rng.integers(-4, 5, count))
    return fractions((values * rng.choice([-1, 1], count)).astype(np.float32))


def test_every_order_is_drawn(traces: dict[str, Any]) -> None:
    drawn = {path.stem.removeprefix("order_") for path in PICTURES} - {"gradient"}
    assert drawn == traces.keys() == DESCRIBED.keys()


@pytest.mark.parametrize("name", DESCRIBED)
def test_an_order_is_as_described(
    rng: np.random.Generator, traces: dict[str, Any], name: str
) -> None:
    for _ in range(20):
        x = random_fractions(rng, traces[name]["elements"])
        assert add_up(traces[name], x) == DESCRIBED[name](x, r=round_float32)


@pytest.mark.parametrize("name", DESCRIBED)
def test_elements_in_another_order_are_found(
    rng: np.random.Generator, traces: dict[str, Any], name: str
) -> None:
    """A draw finds it with a chance of a third or more."""
    last = traces[name]["elements"] - 1
    backwards = [
        [last - number if number <= last else number for number in (left, right)] + [fused]
        for left, right, fused in traces[name]["additions"]
    ]
    faulty = {**traces[name], "additions": backwards}
    draws = [random_fractions(rng, last + 1) for _ in range(60)]
    found = [add_up(faulty, x) != DESCRIBED[name](x, r=round_float32) for x in draws]
    print(f"{sum(found)} of {len(found)}")
    assert any(found)


def shown() -> list[tuple[str, str]]:
    """Return description and file name of every picture on the pages."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in GUIDE.glob("**/*.md"))
    return re.findall(r"!\[([^\]]*)\]\((?:[^)]*/)?([^)/]+\.svg)\)", text)


def test_every_picture_is_shown_and_described() -> None:
    assert PICTURES
    assert {path.name for path in PICTURES} <= {name for _, name in shown()}
    assert [name for description, name in shown() if len(description.split()) < 10] == []


@pytest.mark.parametrize("picture", PICTURES, ids=[path.stem for path in PICTURES])
def test_a_picture_has_a_background_and_does_not_depend_on_time(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    assert '<g id="patch_1">' in text
    assert "fill: #ffffff" in text
    assert "<dc:date>" not in text
