"""How recordings are adapted to, without labels."""

from collections.abc import Sequence

import numpy as np

from data_prep.errors import UserError
from xser_brain.adaptation import PROTOCOLS
from xser_brain.adaptation.linear import Linear
from xser_brain.adaptation.running import RunningStatistics
from xser_brain.adaptation.self_training import self_train
from xser_brain.adaptation.statistics import FEWEST, standardise


def require(by: str, training: object) -> None:
    """Refuse an unknown way to adapt, and a model without statistics of its training.

    Arguments
    ---------
    by : str
        One of ``PROTOCOLS``.
    training : object
        The model's statistics, None if it has none.
    """
    if by not in PROTOCOLS:
        raise UserError(f"unknown adapt {by!r}: use {', '.join(PROTOCOLS)}")
    require_statistics(training)


def require_statistics(training: object) -> None:
    """Refuse a model without statistics of its training, which are then None."""
    if training is None:
        raise UserError(
            "this model holds no statistics of training embeddings to adapt to: "
            "train it with --embeddings=500 or so"
        )


def adapt(
    by: str,
    embeddings: np.ndarray,
    speakers: Sequence[str],
    linear: Linear,
    training: np.ndarray,
) -> tuple[np.ndarray, Linear]:
    """Adapt to recordings, without labels.

    Arguments
    ---------
    by : str
        One of ``PROTOCOLS``.
    embeddings : (utterances, width) np.ndarray
        Of all recordings, in the order in which they are heard.
    speakers : sequence of str
        Of each; only ``speaker`` looks at them.
    linear : Linear
        The model's classifier.
    training : (2, width) np.ndarray
        Mean and deviation of the training utterances' embeddings.

    Returns
    -------
    (utterances, width) float32 np.ndarray, Linear
        The embeddings as the classifier is to see them, and the classifier.

    Raises
    ------
    UserError
        If there are fewer than 10 recordings, but for ``running``.

    Example
    -------
    >>> linear = Linear(np.eye(2), np.zeros(2))
    >>> embeddings = np.arange(24.0).reshape(12, 2)
    >>> training = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> moved, _ = adapt("corpus", embeddings, [""] * 12, linear, training)
    >>> bool(np.allclose(moved.mean(0), 0, atol=1e-6))
    True
    """
    require(by, training)
    if by == "running":
        running = RunningStatistics(training)
        return np.array([running(embedding) for embedding in embeddings]), linear
    if len(embeddings) < FEWEST:
        raise UserError(
            f"{len(embeddings)} recordings are too few to adapt to: give {FEWEST} or "
            "more, or do without --adapt"
        )
    groups = speakers if by == "speaker" else [""] * len(embeddings)
    moved = standardise(embeddings, groups, training)
    return moved, self_train(moved, linear) if by == "self_training" else linear
