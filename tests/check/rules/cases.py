"""What the tests of all rules share."""

from __future__ import annotations

from portnorm.check import DEFAULT, Checked, check, selected
from portnorm.source.files import SourceFile

MINDSPORE = """\
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import operations as P
import portnorm.mindspore as pm
import portnorm.torch as pt
"""
TORCH = """\
import math
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.transforms.functional as TF
import portnorm.mindspore as pm
"""


def checked(text: str, *codes: str, fix: bool = False, path: str = "a.py") -> Checked:
    source = SourceFile.parse(path, text.encode())
    return check(source, frozenset(codes) or selected(DEFAULT, ()), fix)


def marked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Take the marks out of a text and return where they were."""
    places = []
    while (at := text.find("«")) >= 0:
        before = text[:at]
        places.append((before.count("\n") + 1, at - before.rfind("\n")))  # both from 1
        text = before + text[at + 1 :]
    return text, places


def assert_marked(code: str, head: str, case: str) -> None:
    """A rule reports the places that are marked, and nothing else."""
    text, places = marked(f"{head}{case}\n")
    found = checked(text, code)
    assert [(one.line, one.column) for one in found.findings] == places
    assert {one.code for one in found.findings} <= {code}


def message(code: str, head: str, case: str) -> str:
    """Return the message of the only finding."""
    (found,) = checked(f"{head}{case}\n".replace("«", ""), code).findings
    return found.message
