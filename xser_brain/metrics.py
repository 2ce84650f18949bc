"""UAR, macro-F1 and accuracy, in percent: the project's one definition of them.

All come from a confusion matrix over a fixed list of classes. A class without a test
utterance has no recall: it is left out of UAR and of macro-F1, which so average over
the same classes. What is wrongly predicted as such a class still counts as an error of
its true class.
"""

from collections.abc import Sequence

import numpy as np

from data_prep.errors import UserError
from xser_brain.statistics import (
    FEWEST_UNITS,
    bootstrap_confusions,
    bootstrap_confusions_by_speaker,
    percentile_interval,
)


def confusion_matrix(
    true: Sequence[int], predicted: Sequence[int], n_classes: int
) -> np.ndarray:
    """Counts of every pair of true and predicted class.

    Arguments
    ---------
    true, predicted : (utterances,) Sequence[int]
        Classes from 0 on.
    n_classes : int
        Number of classes.

    Returns
    -------
    confusion : (classes, classes) np.ndarray
        Counts, (true, predicted).

    Raises
    ------
    ValueError
        If a class is out of range.

    Example
    -------
    >>> confusion_matrix([0, 0, 1], [0, 1, 1], n_classes=2)
    array([[1, 1],
           [0, 1]])
    """
    return _confusions([true, predicted], (n_classes, n_classes))


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Percent of each class that is recognised; nan for a class without utterances.

    Arguments
    ---------
    confusion : (..., classes, classes) np.ndarray
        Counts, (true, predicted).

    Returns
    -------
    recalls : (..., classes) np.ndarray
        Percent.

    Example
    -------
    >>> recalls(np.array([[3, 1], [0, 0]]))
    array([75., nan])
    """
    return 100 * _ratio(_hits(confusion), confusion.sum(-1))


def uar(confusion: np.ndarray) -> np.ndarray:
    """Unweighted average recall, over the classes with utterances.

    Arguments
    ---------
    confusion : (..., classes, classes) np.ndarray
        Counts, (true, predicted).

    Returns
    -------
    uar : (...) np.ndarray
        Percent; nan without utterances.

    Example
    -------
    >>> float(uar(np.array([[3, 1], [1, 1]])))
    62.5
    """
    return _mean_over_present(recalls(confusion), confusion)


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Unweighted average F1 score, over the classes with utterances.

    Arguments
    ---------
    confusion : (..., classes, classes) np.ndarray
        Counts, (true, predicted).

    Returns
    -------
    macro_f1 : (...) np.ndarray
        Percent; nan without utterances.

    Example
    -------
    >>> float(macro_f1(np.array([[3, 1], [1, 1]])))
    62.5
    """
    f1 = 200 * _ratio(_hits(confusion), confusion.sum(-1) + confusion.sum(-2))
    return _mean_over_present(f1, confusion)


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Percent of the utterances that are recognised.

    Arguments
    ---------
    confusion : (..., classes, classes) np.ndarray
        Counts, (true, predicted).

    Returns
    -------
    accuracy : (...) np.ndarray
        Percent; nan without utterances.

    Example
    -------
    >>> float(accuracy(np.array([[3, 1], [0, 1]])))
    80.0
    """
    return 100 * _ratio(_hits(confusion).sum(-1), confusion.sum((-2, -1)))


def summarise(
    true: Sequence[int],
    predicted: Sequence[int],
    speakers: Sequence[str],
    labels: Sequence[str],
    seed: int = 0,
) -> dict:
    """All that run.json says of one test set, in plain Python numbers.

    Arguments
    ---------
    true, predicted : (utterances,) Sequence[int]
        Classes, as positions in labels.
    speakers : (utterances,) Sequence[str]
        Speaker of each utterance.
    labels : (classes,) Sequence[str]
        Names of the classes.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    summary : dict
        ``uar``, ``macro_f1``, ``accuracy`` in percent; ``n``; ``recall`` by label (None
        for a class without utterances); ``confusion`` and its ``labels``; ``absent``,
        the labels without utterances; ``ci95`` and ``ci95_speaker``, the intervals of
        ``uar`` and ``macro_f1`` when utterances, or whole speakers, are resampled (None
        with fewer than ``FEWEST_UNITS`` speakers).

    Raises
    ------
    UserError
        If there is no utterance.

    Example
    -------
    >>> summary = summarise([0, 0, 1], [0, 1, 1], ["a", "b", "b"], ["happy", "sad"])
    >>> summary["uar"], summary["recall"], summary["absent"]
    (75.0, {'happy': 50.0, 'sad': 100.0}, [])
    """
    if len(true) == 0:
        raise UserError("no utterance to score: check the test part of the manifest")
    names, speaker = np.unique(np.asarray(speakers), return_inverse=True)
    per_speaker = _confusions(
        [speaker, true, predicted], (len(names), len(labels), len(labels))
    )
    confusion = per_speaker.sum(0)
    return {
        "uar": float(uar(confusion)),
        "macro_f1": float(macro_f1(confusion)),
        "accuracy": float(accuracy(confusion)),
        "n": len(true),
        "recall": {
            label: None if np.isnan(recall) else recall
            for label, recall in zip(labels, recalls(confusion).tolist(), strict=True)
        },
        "confusion": confusion.tolist(),
        "labels": list(labels),
        "absent": [
            label for label, n in zip(labels, confusion.sum(-1), strict=True) if n == 0
        ],
        "ci95": _intervals(bootstrap_confusions(confusion, seed=seed)),
        "ci95_speaker": (
            _intervals(bootstrap_confusions_by_speaker(per_speaker, seed=seed))
            if len(names) >= FEWEST_UNITS
            else None
        ),
    }


def _intervals(confusions):
    """95 % intervals of resampled confusion matrices."""
    return {
        "uar": list(percentile_interval(uar(confusions))),
        "macro_f1": list(percentile_interval(macro_f1(confusions))),
    }


def _confusions(indices, shape):
    """How often each cell of an array of this shape is indexed."""
    cells = np.ravel_multi_index([np.asarray(i, dtype=int) for i in indices], shape)
    return np.bincount(cells, minlength=np.prod(shape)).reshape(shape)


def _hits(confusion):
    """The rightly recognised utterances of each class: (..., classes)."""
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _ratio(part, whole):
    """Part / whole; nan where there is nothing."""
    with np.errstate(invalid="ignore"):
        return np.divide(part, whole)


def _mean_over_present(scores, confusion):
    """Mean over the classes with utterances: (..., classes) to (...)."""
    present = confusion.sum(-1) > 0
    return _ratio(np.where(present, scores, 0).sum(-1), present.sum(-1))
