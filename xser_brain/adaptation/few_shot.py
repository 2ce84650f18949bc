"""Few-shot: the linear classifier is fitted anew to a few labelled utterances.

Logistic regression with a penalty on how far the weights move from those that were
trained (maximum a posteriori, as of speakers: Gauvain & Lee, IEEE Transactions on Speech
and Audio Processing 2, 1994). Without utterances it is the trained classifier, with many
it forgets it. The loss is convex, so that there is one answer.
"""

import numpy as np

from data_prep.errors import UserError
from xser_brain.adaptation.linear import Linear

STRENGTH = 0.003  # chosen by leaving training languages out, see docs/protocols.md


def refit(
    linear: Linear,
    embeddings: np.ndarray,
    labels: np.ndarray,
    training: np.ndarray,
    strength: float = STRENGTH,
) -> Linear:
    """Fit a classifier anew to labelled utterances, from where it is.

    Arguments
    ---------
    linear : Linear
        As it was trained.
    embeddings : (utterances, width) np.ndarray
        Of the labelled utterances.
    labels : (utterances,) np.ndarray
        Classes, from 0 on.
    training : (2, width) np.ndarray
        Mean and deviation of the training utterances' embeddings, in which moves of the
        weights are measured.
    strength : float
        Of the penalty, which is on the mean square of the weights' moves.

    Returns
    -------
    Linear

    Raises
    ------
    UserError
        If the fit does not end.

    Example
    -------
    >>> linear = Linear(np.eye(2), np.zeros(2))
    >>> training = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> heard = np.array([[3.0, 1.0], [1.0, -1.0]])  # both are called 0
    >>> refit(linear, heard, np.array([0, 1]), training).predict(heard)
    array([0, 1])
    """
    from scipy.optimize import minimize  # slow to import
    from scipy.special import log_softmax

    mean, deviation = np.asarray(training, np.float64)
    deviation = np.where(deviation > 0, deviation, 1)
    width = len(mean)
    inputs = np.c_[
        (embeddings - mean) / deviation / np.sqrt(width), np.ones(len(labels))
    ]
    # The best moves are sums of the inputs: as many unknowns a class as utterances suffice,
    # measured so that the penalty is the same in all directions.
    values, vectors = np.linalg.eigh(inputs @ inputs.T)
    kept = values > values[-1] * len(values) * np.finfo(float).eps
    axes = vectors[:, kept] * np.sqrt(values[kept])
    before = linear.logits(np.asarray(embeddings, np.float64))
    classes = np.eye(len(linear.bias))[labels]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        along = flat.reshape(axes.shape[1], -1)
        log_posteriors = log_softmax(before + axes @ along, axis=1)
        value = strength / 2 * (along**2).sum() - (classes * log_posteriors).sum()
        gradient = axes.T @ (np.exp(log_posteriors) - classes) + strength * along
        return value, gradient.ravel()

    found = minimize(
        loss,
        np.zeros(axes.shape[1] * classes.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-12, "gtol": 1e-6},
    )
    if not np.isfinite(found.x).all():
        raise UserError("the labelled utterances give no classifier: use others")
    along = found.x.reshape(axes.shape[1], -1)
    moves = (vectors[:, kept] / np.sqrt(values[kept]) @ along).T @ inputs
    weight = moves[:, :-1] / deviation / np.sqrt(width)
    bias = moves[:, -1] - weight @ mean
    return Linear(linear.weight + weight, linear.bias + bias)
