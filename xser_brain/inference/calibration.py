"""Probabilities that mean what they say: temperature scaling, and how far off they are.

Guo et al., "On calibration of modern neural networks", ICML 2017: one temperature,
fitted on validation data, divides the logits; no prediction changes. The expected
calibration error is the mean gap between confidence and accuracy over bins of
confidence.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

BINS = 15
THRESHOLD = 0.5  # below it, the emotion named is more likely wrong than right
RANGE = (0.05, 20.0)  # of temperatures


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities at another temperature: above 1 less sure, below 1 surer."""
    return np.exp(log_softmax(_logits(probabilities) / temperature, axis=-1))


def fit_temperature(probabilities: np.ndarray, true: np.ndarray) -> float:
    """Find the temperature, from 0.05 to 20, at which the true classes are most likely.

    Of validation utterances: (utterances, classes) probabilities at temperature 1.

    Example
    -------
    >>> sure = np.array([[0.99, 0.01]] * 4)
    >>> temperature = fit_temperature(sure, np.array([0, 0, 0, 1]))
    >>> temper(sure, temperature)[0].round(2)
    array([0.75, 0.25])
    """
    logits = _logits(probabilities)
    chosen = logits[np.arange(len(true)), true]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float(np.mean(logsumexp(logits * scale, axis=-1) - chosen * scale))

    found = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded")
    return float(np.exp(found.x))


def expected_calibration_error(
    probabilities: np.ndarray, true: np.ndarray, bins: int = BINS
) -> float:
    """Mean gap between confidence and accuracy, in percent.

    Over equal bins of confidence, each weighted by its utterances.

    Example
    -------
    >>> sure = np.array([[0.75, 0.25]] * 4)
    >>> expected_calibration_error(sure, np.array([0, 0, 1, 1]))
    25.0
    """
    confidence = probabilities.max(-1).astype(np.float64)
    right = probabilities.argmax(-1) == true
    # Bins are open below: (0, 1/15], (1/15, 2/15], ...
    cell = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(cell, confidence - right, minlength=bins)
    return float(100 * np.abs(gaps).sum() / len(true))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    # An emotion of which single precision has made 0 has a logit all the same.
    tiny = np.finfo(np.float32).tiny
    return np.log(np.maximum(probabilities.astype(np.float64), tiny))
