"""A head in the style of ArcFace, which runs on torch and on MindSpore.

    python examples/training.py arcface --host both

Features and class weights are normalised, over dims 1 and 0, so their product holds cosines. The
angle to the right class gets a margin, and the loss is the cross-entropy of the cosines. The code
below uses one thing that is not a method of tensors: `F.normalize`. To move it to MindSpore, change
the import of `F`; the command above does so, and trains on both.
"""

import numpy as np

import portnorm.torch as F

SCALE = 16.0
MARGIN = 0.3


def loss(embedding, classes, images, labels):
    """Return the mean loss.

    Args:
        embedding: weights of shape (pixels, features).
        classes: weights of shape (features, classes).
        images: of shape (images, pixels).
        labels: one-hot, of shape (images, classes).
    """
    features = F.normalize(images @ embedding, dim=1)
    cosines = features @ F.normalize(classes, dim=0)
    angles = cosines.acos() + MARGIN * labels
    logits = SCALE * (angles.cos() - 1)  # at most 0, so that exp cannot overflow
    return (logits.exp().sum(axis=1).log() - (logits * labels).sum(axis=1)).mean()


def arrays(rng):
    """Return initial weights and data: noisy images of ten patterns."""
    label = rng.integers(10, size=128)
    patterns = rng.normal(size=(10, 48))
    images = patterns[label] + 2.0 * rng.normal(size=(128, 48))
    weights = 0.1 * rng.normal(size=(48, 24)), 0.1 * rng.normal(size=(24, 10))
    return weights, (images, np.eye(10)[label])
