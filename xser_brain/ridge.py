"""The normal equations of ridge regression, which all of its uses share."""

import numpy as np


def penalised(covariance: np.ndarray, cross: np.ndarray, strength: float) -> np.ndarray:
    """Solve ridge regression of centred values, whose bias has no penalty.

    Arguments
    ---------
    covariance : (width, width) float64 numpy.ndarray
        Of the inputs.
    cross : (width, outputs) float64 numpy.ndarray
        Their covariance with what is regressed onto.
    strength : float
        Of the penalty, as a multiple of the mean eigenvalue of the inputs' covariance; of
        1 where they do not vary.

    Returns
    -------
    (width, outputs) float64 numpy.ndarray

    Example
    -------
    >>> penalised(np.diag([3.0, 1.0]), np.ones((2, 1)), 0.5).round(2).tolist()
    [[0.25], [0.5]]
    """
    penalty = strength * covariance.trace() / len(covariance) or strength
    return np.linalg.solve(covariance + penalty * np.eye(len(covariance)), cross)
