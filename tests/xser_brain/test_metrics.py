"""Metrics against scikit-learn, and the summary of run.json."""

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from data_prep.errors import UserError
from xser_brain.metrics import (
    accuracy,
    confusion_matrix,
    macro_f1,
    recalls,
    summarise,
    uar,
)

LABELS = ("neutral", "happy", "angry", "sad")


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


def test_summary_of_a_known_case():
    true = [0, 0, 0, 0, 1, 1, 2, 2]  # no sad one
    predicted = [0, 0, 0, 1, 1, 1, 3, 2]
    speakers = ["a", "a", "b", "b", "a", "b", "a", "b"]
    summary = summarise(true, predicted, speakers, LABELS, seed=1)
    assert summary["uar"] == pytest.approx((75 + 100 + 50) / 3)
    assert summary["macro_f1"] == pytest.approx(100 * (6 / 7 + 4 / 5 + 2 / 3) / 3)
    assert summary["accuracy"] == 75 and summary["n"] == 8
    recall = {"neutral": 75.0, "happy": 100.0, "angry": 50.0, "sad": None}
    assert summary["recall"] == recall
    assert summary["confusion"] == [
        [3, 1, 0, 0],
        [0, 2, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 0, 0],
    ]
    assert summary["labels"] == list(LABELS) and summary["absent"] == ["sad"]
    for metric in ("uar", "macro_f1"):
        low, high = summary["ci95"][metric]
        assert 0 <= low < summary[metric] < high <= 100
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary == summarise(true, predicted, speakers, LABELS, seed=1)


def test_all_right_has_no_spread():
    summary = summarise([0, 1, 2, 3] * 5, [0, 1, 2, 3] * 5, list("abcde") * 4, LABELS)
    whole = {"uar": [100, 100], "macro_f1": [100, 100]}
    assert summary["uar"] == summary["macro_f1"] == summary["accuracy"] == 100
    assert summary["ci95"] == summary["ci95_speaker"] == whole


@pytest.mark.parametrize(("speakers", "interval"), [(1, False), (4, False), (5, True)])
def test_few_speakers_have_no_speaker_interval(speakers, interval):
    names = [f"s{i % speakers}" for i in range(20)]
    summary = summarise([0, 1] * 10, [0, 1, 0, 0] * 5, names, LABELS)
    assert (summary["ci95_speaker"] is not None) == interval
    assert summary["ci95"] is not None


def test_alike_utterances_of_a_speaker_widen_the_interval():
    """Half the speakers always right, half always wrong: speakers are what varies."""
    speakers = np.repeat(np.arange(8), 40)
    true = np.tile([0, 1, 2, 3], 80)
    predicted = np.where(speakers % 2, true, (true + 1) % 4)
    summary = summarise(true, predicted, speakers.astype(str), LABELS)
    widths = [np.ptp(summary[name]["uar"]) for name in ("ci95", "ci95_speaker")]
    assert widths[0] < 15 and widths[1] > 50


def test_nothing_to_summarise():
    with pytest.raises(UserError, match="no utterance"):
        summarise([], [], [], LABELS)
