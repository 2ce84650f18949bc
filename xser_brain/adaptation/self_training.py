"""Self-training: the linear classifier is fitted anew to what it is sure of.

In each round the surest part of what is called each emotion counts as labelled so
(pseudo-labels; Scudder 1965, class-balanced as in Zou et al., ECCV 2018), and ridge
regression onto these labels, in closed form, makes the next classifier. Each emotion that
was called weighs the same. No label of the recordings is used.
"""

import numpy as np

from xser_brain.adaptation.linear import Linear
from xser_brain.ridge import penalised

# Chosen by leaving training languages out, see docs/protocols.md.
ROUNDS, SHARE, STRENGTH = 3, 0.7, 3.0
SCALES = np.log((1e-3, 1e6))  # of scores, when they are made as sure as before


def self_train(
    embeddings: np.ndarray,
    linear: Linear,
    rounds: int = ROUNDS,
    share: float = SHARE,
    strength: float = STRENGTH,
) -> Linear:
    """Fit a classifier anew to unlabelled embeddings.

    Arguments
    ---------
    embeddings : (utterances, width) np.ndarray
        Of all recordings, standardised to training (see ``standardise``).
    linear : Linear
        The model's.
    rounds : int
        How often.
    share : float
        Of what is called an emotion, the surest of which count as labelled.
    strength : float
        Of the ridge, see ``ridge``.

    Returns
    -------
    Linear
        As sure on average as the model is.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> true = np.arange(60) % 2
    >>> embeddings = rng.normal(0, 0.5, (60, 2)) + np.stack([4 * true - 2] * 2, 1)
    >>> coarse = Linear(np.array([[0.0, 0.0], [1.0, -0.6]]), np.zeros(2))
    >>> adapted = self_train(embeddings, coarse)
    >>> [int((way.predict(embeddings) == true).sum()) for way in (coarse, adapted)]
    [58, 60]
    """
    embeddings = np.asarray(embeddings, np.float64)
    mean, deviation = embeddings.mean(0), embeddings.std(0)
    deviation = np.where(deviation > 0, deviation, 1)
    standard = (embeddings - mean) / deviation
    probabilities = np.exp(linear.log_posteriors(embeddings))
    sureness = probabilities.max(1).mean()
    for _ in range(rounds):
        called, sure = _surest(probabilities, share)
        classes = len(linear.bias)
        sizes = np.bincount(called[sure], minlength=classes)
        weight, bias = ridge(
            standard[sure],
            np.eye(classes)[called[sure]],
            1 / sizes[called[sure]],
            strength,
        )
        scale = _as_sure(standard @ weight.T + bias, sureness)
        weight = scale * weight / deviation
        linear = Linear(weight, scale * bias - weight @ mean)
        probabilities = np.exp(linear.log_posteriors(embeddings))
    return linear


def ridge(
    inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted ridge regression in closed form.

    Arguments
    ---------
    inputs : (utterances, width) np.ndarray
        Standardised, in float64.
    targets : (utterances, outputs) np.ndarray
        What is regressed onto.
    weights : (utterances,) np.ndarray
        What each counts.
    strength : float
        Of the penalty, in mean eigenvalues of the inputs' covariance.

    Returns
    -------
    (outputs, width) np.ndarray, (outputs,) np.ndarray
        Weight and bias; the bias has no penalty.

    Example
    -------
    >>> weight, bias = ridge(np.array([[-1.0], [1.0]]), np.eye(2), np.ones(2), 1.0)
    >>> weight.round(2).tolist(), bias.tolist()
    ([[-0.25], [0.25]], [0.5, 0.5])
    """
    weights = weights[:, None] / weights.sum()
    mean, middle = (weights * inputs).sum(0), (weights * targets).sum(0)
    centred = inputs - mean
    weighted = weights * centred
    cross = weighted.T @ (targets - middle)
    weight = penalised(weighted.T @ centred, cross, strength).T
    return weight, middle - weight @ mean


def _surest(probabilities: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """What each is called, and which are surest among those that are called so."""
    called, sureness = probabilities.argmax(1), probabilities.max(1)
    sure = []
    for emotion in np.unique(called):
        own = np.flatnonzero(called == emotion)
        order = own[np.argsort(-sureness[own], kind="stable")]
        sure.append(order[: int(np.ceil(share * len(own)))])
    return called, np.concatenate(sure)


def _as_sure(scores: np.ndarray, sureness: float) -> float:
    """The scale at which the mean probability of what is called is as given."""
    from scipy.optimize import brentq  # slow to import
    from scipy.special import softmax

    def excess(log_scale: float) -> float:
        return softmax(np.exp(log_scale) * scores, axis=1).max(1).mean() - sureness

    low, high = map(excess, SCALES)
    if low >= 0 or high <= 0:
        return float(np.exp(SCALES[int(low < 0)]))
    return float(np.exp(brentq(excess, *SCALES)))
