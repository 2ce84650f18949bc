"""Adaptation to unlabelled recordings: another protocol than zero-shot, kept apart.

The embeddings of the recordings given are standardised by their own mean and standard
deviation and brought to those of the training utterances, as if the recordings were one
more part of the training corpora. No label is used, but what a recording is called then
depends on the others: such figures are never those of a zero-shot system.
"""

from collections.abc import Sequence

import numpy as np

from data_prep.errors import UserError
from xser_brain.inference.model import EmotionModel

PROTOCOLS = {
    "corpus": "transductive (corpus statistics)",
    "speaker": "transductive (speaker statistics)",
}
FEWEST = 10  # recordings; of fewer, mean and deviation are mostly chance


def require(model: EmotionModel, normalise: str | None) -> None:
    """Refuse an unknown protocol, and a model without statistics of its training."""
    if normalise and normalise not in PROTOCOLS:
        raise UserError(f"unknown normalise {normalise!r}: use corpus or speaker")
    if normalise and model.statistics is None:
        raise UserError(
            "this model holds no statistics of training embeddings to normalise to: "
            "train it with --embeddings=500 or so"
        )


def statistics(embeddings: np.ndarray) -> np.ndarray:
    """The (2, width) mean and deviation of embeddings, some dozens of them at least."""
    embeddings = embeddings.astype(np.float64)
    return np.stack([embeddings.mean(0), embeddings.std(0)]).astype(np.float32)


def standardise(
    embeddings: np.ndarray, groups: Sequence[str], training: np.ndarray
) -> np.ndarray:
    """Bring the mean and deviation of each group to those of training.

    Arguments
    ---------
    embeddings : (utterances, width) np.ndarray
        Of all recordings; UserError if they are fewer than 10.
    groups : sequence of str
        Whose statistics apply to each. A group of fewer than 10 has those of all.
    training : (2, width) np.ndarray
        From ``statistics``.

    Returns
    -------
    (utterances, width) float32 np.ndarray

    Example
    -------
    >>> embeddings = np.arange(10.0)[:, None]
    >>> moved = standardise(embeddings, ["a"] * 10, np.array([[5.0], [1.0]]))
    >>> print(moved.mean().round(3), moved.std().round(3))
    5.0 1.0
    """
    if len(embeddings) < FEWEST:
        raise UserError(
            f"{len(embeddings)} recordings are too few to normalise by: give {FEWEST} or "
            "more, or leave --normalise out"
        )
    result = np.empty(embeddings.shape, np.float32)
    groups = np.asarray(groups)
    for group in np.unique(groups):
        own = groups == group
        mean, deviation = statistics(embeddings[own if own.sum() >= FEWEST else ...])
        # What is constant in the recordings given stays constant.
        scale = training[1] / np.where(deviation > 0, deviation, 1)
        result[own] = (embeddings[own] - mean) * scale + training[0]
    return result
