"""The process of `builds.InSubprocess`: one JSON object a line, on stdin and stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, TextIO

from portnorm.certify.builds import InProcess, Share
from portnorm.certify.check import Tally
from portnorm.errors import StrictParityError

_BETWEEN_REPORTS = 0.1


def main(name: str, device: str) -> None:
    """Say which build of the framework this is, then run the share of cases that comes in."""
    # What a framework itself prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        build = InProcess(name, device=device)
    except (ImportError, OSError, StrictParityError) as error:
        _send(answers, {"unavailable": f"{name} cannot be used: {error}"})
        return
    _send(answers, {"reference": build.reference.to_json()})
    line = sys.stdin.readline()
    if line:
        tally = build.run(Share(**json.loads(line)), _Reporter(answers))
        _send(answers, {"done": True, "tally": tally.to_dict()})


class _Reporter:
    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._next = 0.0

    def __call__(self, tally: Tally) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _BETWEEN_REPORTS
            _send(self._answers, {"done": False, "tally": tally.to_dict()})


def _send(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
