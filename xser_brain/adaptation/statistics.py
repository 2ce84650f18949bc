"""Statistics of unlabelled recordings: of all that are given, or of each speaker.

The embeddings of the recordings given are standardised by their own mean and standard
deviation and brought to those of the training utterances, as if the recordings were one
more part of the training corpora. No label is used, but what a recording is called then
depends on the others: such figures are never those of a zero-shot system.
"""

from collections.abc import Sequence

import numpy as np

FEWEST = 10  # recordings; of fewer, mean and deviation are mostly chance


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
        Of all recordings, 10 or more.
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
    result = np.empty(embeddings.shape, np.float32)
    groups = np.asarray(groups)
    for group in np.unique(groups):
        own = groups == group
        mean, deviation = statistics(embeddings[own if own.sum() >= FEWEST else ...])
        result[own] = move(embeddings[own], mean, deviation, training)
    return result


def move(
    embeddings: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    training: np.ndarray,
) -> np.ndarray:
    """Bring embeddings of some mean and deviation to those of training.

    Arguments
    ---------
    embeddings, mean, deviation : (..., width) np.ndarray
        What is constant, of deviation 0, stays so.
    training : (2, width) np.ndarray
        From ``statistics``.

    Returns
    -------
    (..., width) np.ndarray

    Example
    -------
    >>> move(np.array([3.0]), np.array([1.0]), np.array([2.0]), np.array([[5.0], [1.0]]))
    array([6.])
    """
    scale = training[1] / np.where(deviation > 0, deviation, 1)
    return (embeddings - mean) * scale + training[0]
