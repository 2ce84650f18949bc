"""Multinomial logistic regression: convex, so that nothing is drawn and all is found."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from xser_brain.numbers import number
from xser_brain.solvers.stacked import LEAST, Fit, Stacked


class Logistic(Stacked):
    """A logistic regression for each vector; see ``Stacked``.

    Arguments
    ---------
    iterations : int
        Of L-BFGS, at most; what is not quite converged is regularised a little more.
    **options
        See ``Stacked``; a strength is what the squared weights are multiplied by.

    Example
    -------
    >>> from xser_brain.solvers import Vectors
    >>> rng = np.random.default_rng(0)
    >>> emotions, languages = np.arange(40) % 2, np.arange(40) // 20
    >>> features = rng.normal(size=(40, 3, 4)) + emotions[:, None, None]
    >>> given = Vectors([features.astype(np.float32)], emotions, languages, ["de", "ur"], 2)
    >>> Logistic(poolings=["mean"]).solve(given).weights.shape
    (2, 8)
    """

    def __init__(self, *args, iterations: int = 50, **options):
        super().__init__(*args, **options)
        self.iterations = number("iterations", iterations, least=1, whole=True)

    def fitter(self, training):
        """See ``Stacked.fitter``."""

        def fit(language, strength):
            own = training.without(language)
            weights = own.weights / own.weights.sum()
            mean = weights @ own.x
            scale = np.sqrt(weights @ np.square(own.x - mean)) + LEAST
            model = LogisticRegression(
                C=1 / max(strength, LEAST), max_iter=self.iterations, tol=1e-6
            )
            x = ((own.x - mean) / scale).astype(np.float32)
            # Threads that wait for each other cost more than products so small: with two,
            # on cores that others use too, fifty times as much.
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(x, own.emotions, weights)
            return Fit(mean, scale, *_of_all(model, own.classes))

        return fit


def _of_all(model: LogisticRegression, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """(width, classes) weights and (classes,) bias, of two classes as of more."""
    weights, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row, for the second against the first
        weights = np.concatenate([-weights, weights]) / 2
        bias = np.concatenate([-bias, bias]) / 2
    every = np.zeros((weights.shape[1], classes)), np.full(classes, -np.inf)
    every[0][:, model.classes_] = weights.T
    every[1][model.classes_] = bias
    return every
