"""A contrastive head in the style of CLIP, which runs on torch and on MindSpore.

    python examples/training.py clip --host both

Images and texts are mapped to vectors of length 1. The loss is the cross-entropy of each image
among all texts, and of each text among all images. To move the code to MindSpore, change the
import of `F`; the command above does so, and trains on both.
"""

import portnorm.torch as F


def loss(image_map, text_map, log_scale, images, texts):
    """Return the mean of the two losses.

    Args:
        image_map: weights of shape (pixels, features).
        text_map: weights of shape (words, features).
        log_scale: a weight of shape (1,), the logarithm of what cosines are multiplied by.
        images: of shape (pairs, pixels).
        texts: of shape (pairs, words).
    """
    image_features = F.normalize(images @ image_map, dim=-1)
    text_features = F.normalize(texts @ text_map, dim=-1)
    cosines = image_features @ text_features.T
    likelihoods = (log_scale.exp() * (cosines - 1)).exp()  # exponents are at most 0
    right = log_scale.exp() * ((image_features * text_features).sum(axis=1) - 1)
    of_images = (likelihoods.sum(axis=1).log() - right).mean()
    of_texts = (likelihoods.sum(axis=0).log() - right).mean()
    return (of_images + of_texts) / 2


def arrays(rng):
    """Return initial weights and data: images and texts that show the same things."""
    things = rng.normal(size=(64, 12))
    images = things @ rng.normal(size=(12, 48)) + 0.1 * rng.normal(size=(64, 48))
    texts = things @ rng.normal(size=(12, 32)) + 0.1 * rng.normal(size=(64, 32))
    weights = 0.1 * rng.normal(size=(48, 24)), 0.1 * rng.normal(size=(32, 24)), [2.3]
    return weights, (images, texts)
