"""Measure what other tools make of the calls that portnorm ports.

    python tools/measure_peers.py PYTHON OLDER

PYTHON is the interpreter of an environment with MindSpore 2.10.0, mindtorch, msadapter and ivy,
OLDER that of one with MindSpore 2.7.1 and mindnlp 0.5.1 (installed without what it requires, but
for typing_extensions, ml_dtypes and requests). Each peer is asked in a process of its own. Writes
migration_guide/data/peers.json, of which `tools/generate_tables.py` makes the table.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from atomic import write_text

DATA = Path(__file__).parent.parent / "migration_guide" / "data" / "peers.json"

_ARRAY = "array = lambda y: y.detach().numpy() if hasattr(y, 'detach') else y.numpy()"
PEERS = {
    "torch": f"import torch as lib; F = lib.nn.functional; {_ARRAY}",
    "mindspore.mint": (
        "import mindspore as lib; F = lib.mint.nn.functional; array = lambda y: y.asnumpy()"
    ),
    "mindnlp": f"import mindtorch as lib; F = lib.nn.functional; {_ARRAY}",
    "mindtorch": f"import mindtorch as lib; F = lib.nn.functional; {_ARRAY}",
    "msadapter": f"import msadapter as lib; F = lib.nn.functional; {_ARRAY}",
    "ivy": (
        "import ivy; ivy.set_backend('numpy'); import ivy.functional.frontends.torch as lib; "
        "F = lib.nn.functional; array = lambda y: numpy.asarray(ivy.to_numpy(y.ivy_array))"
    ),
}
"""How each is imported; every one of them offers torch's signature."""

ASK = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy
before = set(sys.modules)
answers = {}
QUESTIONS = json.loads(sys.argv[1])
try:
    exec(sys.argv[2])
    make = getattr(lib, "tensor", None) or lib.Tensor
except BaseException as error:
    answers = dict.fromkeys(QUESTIONS, f"cannot be imported: {type(error).__name__}")
else:
    for name, (values, dtype, arguments) in QUESTIONS.items():
        try:
            x = make(numpy.array(values, dtype).tolist(), dtype=getattr(lib, dtype))
            y = array(F.normalize(x, **arguments))
            answers[name] = " ".join(f"{v + 0.0:.4g}" for v in numpy.asarray(y).ravel())
        except BaseException as error:
            answers[name] = type(error).__name__
answers["torch"] = "yes" if "torch" in sys.modules and "torch" not in before else "no"
print("ANSWERS" + json.dumps(answers))
"""

QUESTIONS: dict[str, tuple[list[object], str, dict[str, object]]] = {
    "unit": ([1, 2, 3], "float32", {"dim": 0}),
    "small": ([1e-10, 2e-10, 3e-10], "float32", {"dim": 0}),
    "eps": ([1, 2, 2], "float32", {"dim": 0, "eps": 30.0}),
    "zero": ([0, 0], "float32", {"dim": 0}),
    "nan": ([float("nan"), 1, 2], "float32", {"dim": 0}),
    "half": ([300, 300, 300], "float16", {"dim": 0}),
    "three": ([1, 2, 3], "float32", {"dim": 0, "p": 3}),
    "dim": ([[3, 1], [4, 1]], "float32", {}),
}


def ask(python: str, code: str) -> dict[str, str]:
    """Put the questions to one peer."""
    done = subprocess.run(
        [python, "-c", ASK, json.dumps(QUESTIONS), code],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS")]
    if not lines:
        return dict.fromkeys(QUESTIONS, "the process ends")
    answers: dict[str, str] = json.loads(lines[0].removeprefix("ANSWERS"))
    return answers


def version(python: str, distribution: str) -> str:
    """Return the version of a distribution in an environment."""
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    found = subprocess.check_output([python, "-c", code], text=True)
    return found.strip().partition("+")[0]


def main(python: str, older: str) -> None:
    """Ask all, and write what they say."""
    pythons = dict.fromkeys(PEERS, python) | {"torch": sys.executable, "mindnlp": older}
    peers = {}
    for name, code in PEERS.items():
        distribution = name.partition(".")[0]
        answers = ask(pythons[name], code)
        peers[name] = {"version": version(pythons[name], distribution), "answers": answers}
    write_text(DATA, json.dumps(peers, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
