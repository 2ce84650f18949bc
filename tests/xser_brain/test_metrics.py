"""Metrics against scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from xser_brain.evaluation.metrics import (
    accuracy,
    confusion_matrix,
    macro_f1,
    recalls,
    uar,
)


def predictions(n=60, classes=4, seed=0, true_classes=None):
    rng = np.random.default_rng(seed)
    true = rng.choice(true_classes or classes, n)
    wrong = rng.random(n) < 0.4
    return true, np.where(wrong, rng.integers(classes, size=n), true)


@pytest.mark.parametrize("true_classes", [None, [0, 1, 3], [2]])
@pytest.mark.parametrize("n", [1, 5, 60, 500])
@pytest.mark.parametrize("seed", range(5))
def test_against_sklearn(seed, n, true_classes):
    true, predicted = predictions(n, seed=seed, true_classes=true_classes)
    confusion = confusion_matrix(true, predicted, 4)
    present = np.unique(true)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            uar: sk.balanced_accuracy_score(true, predicted),
            macro_f1: sk.f1_score(true, predicted, labels=present, average="macro"),
            accuracy: sk.accuracy_score(true, predicted),
        }
        recall = sk.recall_score(true, predicted, labels=present, average=None)
    assert np.array_equal(
        confusion, sk.confusion_matrix(true, predicted, labels=range(4))
    )
    assert np.allclose(recalls(confusion)[present], 100 * recall)
    assert np.isnan(np.delete(recalls(confusion), present)).all()
    for metric, value in expected.items():
        assert metric(confusion) == pytest.approx(100 * value)


@pytest.mark.parametrize("metric", [recalls, uar, macro_f1, accuracy])
def test_leading_dimensions(metric):
    confusions = np.stack(
        [confusion_matrix(*predictions(9, seed=s), 4) for s in range(6)]
    )
    confusions[0] = 0
    expected = np.stack([metric(c) for c in confusions])
    result = metric(confusions.reshape(2, 3, 4, 4))
    np.testing.assert_array_equal(result.reshape(expected.shape), expected)


@pytest.mark.parametrize("metric", [recalls, uar, macro_f1, accuracy])
def test_no_utterance_is_nan_without_a_warning(metric):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(metric(confusion_matrix([], [], 4))).all()


@pytest.mark.parametrize("pair", [([0, 4], [0, 1]), ([0, 1], [0, 4]), ([0], [-1])])
def test_a_class_out_of_range_is_refused(pair):
    with pytest.raises(ValueError):
        confusion_matrix(*pair, 4)


def test_several_runs_and_units_are_counted_apart():
    true, predicted = predictions(40)
    runs = np.stack([predicted, np.roll(predicted, 3), true])
    unit = np.arange(40) % 5
    confusions = confusion_matrix(true, runs, 4, unit)
    assert confusions.shape == (5, 3, 4, 4)
    for k, r in np.ndindex(5, 3):
        own = unit == k
        expected = sk.confusion_matrix(true[own], runs[r][own], labels=range(4))
        np.testing.assert_array_equal(confusions[k, r], expected)
    np.testing.assert_array_equal(confusion_matrix(true, runs, 4), confusions.sum(0))
