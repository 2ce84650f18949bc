"""UAR, macro-F1 and accuracy, in percent: the project's one definition of them.

All come from a confusion matrix over a fixed list of classes. A class without a test
utterance has no recall: it is left out of UAR and of macro-F1, which so average over
the same classes. What is wrongly predicted as such a class still counts as an error of
its true class.

``recalls``, ``uar``, ``macro_f1`` and ``accuracy`` take (..., classes, classes) counts,
(true, predicted), and give percent, one (...) figure for each matrix (``recalls``: one
for each class as well); nan where there is no utterance.

Example
-------
>>> confusion = np.array([[3, 1], [0, 0]])
>>> recalls(confusion), float(uar(confusion))
(array([75., nan]), 75.0)
>>> confusion = np.array([[3, 1], [1, 1]])
>>> [round(float(of(confusion)), 1) for of in (uar, macro_f1, accuracy)]
[62.5, 62.5, 66.7]
"""

from collections.abc import Callable, Sequence

import numpy as np

Metric = Callable[[np.ndarray], np.ndarray]
"""(..., classes, classes) counts to (...) percent, as ``uar``."""


def confusion_matrix(
    true: Sequence[int],
    predicted: Sequence[int] | np.ndarray,
    n_classes: int,
    units: Sequence[int] | None = None,
) -> np.ndarray:
    """Counts of every pair of true and predicted class.

    Arguments
    ---------
    true : (utterances,) Sequence[int]
        Classes from 0 on.
    predicted : (..., utterances) Sequence[int]
        Classes, of one run or of several.
    n_classes : int
        Number of classes.
    units : (utterances,) Sequence[int], optional
        Unit of each utterance, as its speaker, from 0 on, to count each separately.

    Returns
    -------
    confusion : (..., classes, classes) or (units, ..., classes, classes) np.ndarray
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
    >>> confusion_matrix([0, 0, 1], [[0, 1, 1]] * 5, 2, units=[0, 1, 1]).shape
    (2, 5, 2, 2)
    """
    true, predicted = (np.asarray(labels, dtype=int) for labels in (true, predicted))
    *runs, _ = np.indices(predicted.shape, sparse=True)
    shape, index = (
        [*predicted.shape[:-1], n_classes, n_classes],
        [*runs, true, predicted],
    )
    if units is not None:
        shape, index = [max(units) + 1, *shape], [np.asarray(units), *index]
    cells = np.ravel_multi_index(np.broadcast_arrays(*index), shape)
    return np.bincount(cells.ravel(), minlength=np.prod(shape)).reshape(shape)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Percent of each class that is recognised, (..., classes)."""
    return 100 * _ratio(_hits(confusion), confusion.sum(-1))


def uar(confusion: np.ndarray) -> np.ndarray:
    """Unweighted average recall, over the classes with utterances."""
    return _mean_over_present(recalls(confusion), confusion)


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Unweighted average F1 score, over the classes with utterances."""
    f1 = 200 * _ratio(_hits(confusion), confusion.sum(-1) + confusion.sum(-2))
    return _mean_over_present(f1, confusion)


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Percent of the utterances that are recognised."""
    return 100 * _ratio(_hits(confusion).sum(-1), confusion.sum((-2, -1)))


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
