"""Bootstrap intervals against scipy and against explicit resampling."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

from xser_brain.metrics import accuracy, confusion_matrix, macro_f1, uar
from xser_brain.statistics import (
    bootstrap_confusions,
    bootstrap_confusions_by_speaker,
    percentile_interval,
)


def predictions(n, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.integers(4, size=n)
    return true, np.where(rng.random(n) < 0.3, rng.integers(4, size=n), true)


def sk_macro_f1(true, predicted):
    return f1_score(true, predicted, average="macro", labels=np.unique(true))


@pytest.mark.parametrize(
    ("metric", "oracle"), [(accuracy, accuracy_score), (macro_f1, sk_macro_f1)]
)
def test_against_scipy(metric, oracle):
    true, predicted = predictions(120)
    expected = stats.bootstrap(
        (true, predicted),
        oracle,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=1000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    confusions = bootstrap_confusions(confusion_matrix(true, predicted, 4))
    interval = percentile_interval(metric(confusions))
    np.testing.assert_allclose(interval, 100 * np.array(expected), atol=1.5)


def test_by_speaker_against_explicit_resampling():
    rng = np.random.default_rng(0)
    sizes = [5, 30, 12, 50, 8, 20]
    tests = [predictions(n, seed) for seed, n in enumerate(sizes)]
    # Speakers differ in how well they are recognised.
    tests = [
        (true, np.where(rng.random(len(true)) < i / 10, (true + 1) % 4, predicted))
        for i, (true, predicted) in enumerate(tests)
    ]
    values = []
    for _ in range(4000):
        drawn = [tests[i] for i in rng.integers(len(tests), size=len(tests))]
        true, predicted = (np.concatenate(part) for part in zip(*drawn, strict=True))
        values.append(uar(confusion_matrix(true, predicted, 4)))
    expected = np.percentile(values, [2.5, 97.5])
    confusions = bootstrap_confusions_by_speaker(
        np.stack([confusion_matrix(*test, 4) for test in tests])
    )
    interval = percentile_interval(uar(confusions))
    np.testing.assert_allclose(interval, expected, atol=1.5)


@pytest.mark.parametrize("samples", [1, 50])
def test_utterances_are_resampled_from_what_was_seen(samples):
    confusion = np.array([[5, 0, 2], [0, 0, 0], [1, 0, 3]])
    confusions = bootstrap_confusions(confusion, samples, seed=3)
    assert confusions.shape == (samples, 3, 3)
    assert (confusions.sum((1, 2)) == 11).all()
    assert (confusions[:, confusion == 0] == 0).all()
    np.testing.assert_array_equal(
        confusions, bootstrap_confusions(confusion, samples, seed=3)
    )
    if samples > 1:
        other = bootstrap_confusions(confusion, samples, seed=4)
        assert (confusions != other).any()


def test_one_speaker_never_varies():
    confusion = confusion_matrix(*predictions(20), 4)
    confusions = bootstrap_confusions_by_speaker(confusion[None], samples=20)
    assert (confusions == confusion).all()


def test_speakers_are_drawn_whole():
    per_speaker = np.zeros((3, 2, 2), dtype=int)
    per_speaker[[0, 1, 2], [0, 0, 1], [0, 1, 1]] = 10, 100, 1000
    confusions = bootstrap_confusions_by_speaker(per_speaker, samples=2000)
    times = confusions[:, [0, 0, 1], [0, 1, 1]] / (10, 100, 1000)
    assert (times.sum(1) == 3).all() and (times == times.round()).all()
    np.testing.assert_allclose(times.mean(0), 1, atol=0.1)


@pytest.mark.parametrize("level", [50, 90, 95])
def test_percentile_interval(level):
    values = np.random.default_rng(0).normal(size=50_000)
    np.testing.assert_allclose(
        percentile_interval(values, level), stats.norm.interval(level / 100), atol=0.05
    )
