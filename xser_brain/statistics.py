"""Bootstrap intervals of whatever a confusion matrix gives.

Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: the percentile
interval. Counts suffice, the resampled predictions themselves are never made.
"""

import numpy as np


def bootstrap_confusions(
    confusion: np.ndarray, samples: int = 10_000, seed: int = 0
) -> np.ndarray:
    """Confusion matrices of test sets whose utterances are drawn with replacement.

    Arguments
    ---------
    confusion : (classes, classes) np.ndarray
        Counts, of at least one utterance.
    samples : int
        Number of resampled test sets.
    seed : int
        Seed of the draws.

    Returns
    -------
    confusions : (samples, classes, classes) np.ndarray
        Counts.

    Example
    -------
    >>> bootstrap_confusions(np.array([[8, 2], [1, 9]]), samples=3).sum(axis=(1, 2))
    array([20, 20, 20])
    """
    n = confusion.sum()
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, confusion.ravel() / n, size=samples)
    return counts.reshape(samples, *confusion.shape)


def bootstrap_confusions_by_speaker(
    per_speaker: np.ndarray, samples: int = 10_000, seed: int = 0
) -> np.ndarray:
    """Confusion matrices of test sets whose speakers are drawn with replacement.

    The utterances of a speaker are alike: in corpora of few (acted) speakers, this
    interval is the honest one.

    Arguments
    ---------
    per_speaker : (speakers, classes, classes) np.ndarray
        Counts of each speaker.
    samples : int
        Number of resampled test sets.
    seed : int
        Seed of the draws.

    Returns
    -------
    confusions : (samples, classes, classes) np.ndarray
        Counts.

    Example
    -------
    >>> speakers = np.array([[[1, 0], [0, 1]], [[0, 2], [2, 0]]])
    >>> sorted(set(bootstrap_confusions_by_speaker(speakers).sum(axis=(1, 2)).tolist()))
    [4, 6, 8]
    """
    speakers = len(per_speaker)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(speakers, np.full(speakers, 1 / speakers), size=samples)
    return np.tensordot(times, per_speaker, axes=1)


def percentile_interval(values: np.ndarray, level: float = 95) -> tuple[float, float]:
    """The central interval that holds a level of the values.

    Arguments
    ---------
    values : (samples,) np.ndarray
        A statistic of each resample.
    level : float
        Percent.

    Returns
    -------
    low, high : tuple[float, float]
        The bounds.

    Example
    -------
    >>> percentile_interval(np.arange(101), level=90)
    (5.0, 95.0)
    """
    low, high = np.percentile(values, [50 - level / 2, 50 + level / 2])
    return float(low), float(high)
