"""What `portnorm compare` runs on when no file is given."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import numpy as np

from portnorm.readers import ArraySource, Source

DOCUMENTED = ((1.0, 2.0, 3.0), (1e-10, 2e-10, 3e-10))
"""The pair of vectors with which the difference of the two functions is explained."""

EMBEDDINGS = "sentence_embeddings.npy"
"""Sentence embeddings of a small encoder before its normalisation: float32, (200, 384)."""


def samples() -> Iterator[Source]:
    """Yield the two documented vectors and the embeddings, in float32."""
    for vector in DOCUMENTED:
        name = f"[{', '.join(f'{value:g}' for value in vector)}]"
        yield ArraySource(np.array(vector, np.float32), name)
    with resources.files(__name__).joinpath(EMBEDDINGS).open("rb") as stream:
        yield ArraySource(np.load(stream, allow_pickle=False), EMBEDDINGS)
