"""Ridge regression on one-hot labels: closed form, in float64, with nothing to draw."""

from dataclasses import dataclass

import numpy as np

from xser_brain.ridge import penalised
from xser_brain.solvers.stacked import LEAST, Fit, Stacked


@dataclass(frozen=True)
class Moments:
    """Weighted sums of one vector over some utterances, which add up.

    Arguments
    ---------
    weight : float
        Of all utterances together.
    first : (width,) numpy.ndarray
        Of the vector.
    second : (width, width) numpy.ndarray
        Of its products with itself.
    labels : (classes,) numpy.ndarray
        Of the one-hot labels.
    cross : (width, classes) numpy.ndarray
        Of its products with them.
    """

    weight: float
    first: np.ndarray
    second: np.ndarray
    labels: np.ndarray
    cross: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> "Moments":
        """Sum over utterances.

        Arguments
        ---------
        x : (utterances, width) numpy.ndarray
            The vector.
        y : (utterances, classes) numpy.ndarray
            One-hot labels.
        weights : (utterances,) numpy.ndarray
            Of the utterances.

        Returns
        -------
        Moments
        """
        weighted = x * weights[:, None]
        return cls(
            float(weights.sum()),
            weighted.sum(0),
            weighted.T @ x,
            weights @ y,
            weighted.T @ y,
        )

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(*(a + b for a, b in self._with(other)))

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(*(a - b for a, b in self._with(other)))

    def _with(self, other: "Moments"):
        return zip(vars(self).values(), vars(other).values(), strict=True)

    def solve(self, strength: float) -> Fit:
        """Solve the regression.

        Arguments
        ---------
        strength : float
            Of the penalty, as a multiple of the mean eigenvalue.

        Returns
        -------
        Fit
        """
        mean, labels = self.first / self.weight, self.labels / self.weight
        covariance = self.second / self.weight - np.outer(mean, mean)
        scale = np.sqrt(np.maximum(covariance.diagonal(), 0.0)) + LEAST
        covariance = covariance / np.outer(scale, scale)
        cross = (self.cross / self.weight - np.outer(mean, labels)) / scale[:, None]
        return Fit(mean, scale, penalised(covariance, cross, strength), labels)


class Ridge(Stacked):
    """A ridge regression on one-hot labels for each vector; see ``Stacked``.

    Arguments
    ---------
    **options
        See ``Stacked``; a strength is a multiple of the mean eigenvalue.

    Example
    -------
    >>> from xser_brain.solvers import Vectors
    >>> rng = np.random.default_rng(0)
    >>> emotions, languages = np.arange(40) % 2, np.arange(40) // 20
    >>> features = rng.normal(size=(40, 3, 4)) + emotions[:, None, None]
    >>> given = Vectors([features.astype(np.float32)], emotions, languages, ["de", "ur"], 2)
    >>> solution = Ridge(layers=["all", [1]], poolings=["mean"]).solve(given)
    >>> solution.weights.shape[1] == 4 * len(solution.vectors)
    True
    """

    def fitter(self, training):
        """See ``Stacked.fitter``: sums over a language are made once, and add up."""
        labels = np.eye(training.classes)[training.emotions]
        moments = {
            language: Moments.of(training.x[own], labels[own], training.weights[own])
            for language in np.unique(training.languages).tolist()
            for own in [training.languages == language]
        }

        def fit(language, strength):
            first, *rest = (m for own, m in moments.items() if own != language)
            return sum(rest, first).solve(strength)

        return fit
