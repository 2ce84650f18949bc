"""Intervals against scipy, explicit loops, and simulations (slow)."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit
from simulated import EVEN, MELD, SPEAKERS, URDU, mean_uar, members, runs, simulate

from xser_brain.evaluation.intervals import FEWEST_UNITS, mean_interval
from xser_brain.evaluation.metrics import accuracy, confusion_matrix, macro_f1, uar


def logit_interval(mean, error, df, level=95):
    t = stats.t.ppf(0.5 + level / 200, df)
    slope = 1 / (mean / 100 * (1 - mean / 100)) / 100
    return tuple(
        100 * expit(logit(mean / 100) + sign * t * error * slope) for sign in (-1, 1)
    )


@pytest.mark.parametrize("level", [80, 95])
@pytest.mark.parametrize("seeds", [1, 4])
def test_interval_of_mean_accuracy_has_a_closed_form(seeds, level):
    true, predicted = runs(60, seeds)
    right = 100 * (predicted == true).mean(0)
    expected = logit_interval(right.mean(), stats.sem(right), 59, level)
    interval = mean_interval(true, predicted, accuracy, level=level)
    np.testing.assert_allclose(interval, expected)


def test_interval_over_speakers_of_one_size_has_a_closed_form():
    true, predicted = runs(60)
    right = 100 * (predicted == true).mean(0).reshape(12, 5).mean(1)
    expected = logit_interval(right.mean(), stats.sem(right), 11)
    speakers = [f"speaker{i // 5}" for i in range(60)]
    interval = mean_interval(true, predicted, accuracy, speakers)
    np.testing.assert_allclose(interval, expected)


@pytest.mark.parametrize("clusters", [None, SPEAKERS])
def test_interval_of_mean_uar_against_explicit_jackknife(clusters):
    true, predicted = runs()
    units = members(clusters, len(true))
    kept = [np.setdiff1d(np.arange(len(true)), unit) for unit in units]
    without = np.array([mean_uar(true[i], predicted[:, i]) for i in kept])
    k, sizes = len(units), np.array([len(unit) for unit in units])
    error = np.sqrt((k - 1) / k * ((without - without.mean()) ** 2).sum())
    expected = logit_interval(
        mean_uar(true, predicted), error, sizes.sum() ** 2 / (sizes**2).sum() - 1
    )
    interval = mean_interval(true, predicted, uar, clusters)
    np.testing.assert_allclose(interval, expected)


@pytest.mark.parametrize("metric", [uar, macro_f1])
def test_interval_of_a_large_test_set_is_the_bootstraps(metric):
    true, predicted = runs(1500)
    rng = np.random.default_rng(0)
    draws = [rng.integers(1500, size=1500) for _ in range(4000)]
    confusions = [
        [np.bincount(4 * true[d] + seed[d], minlength=16) for seed in predicted]
        for d in draws
    ]
    means = metric(np.reshape(confusions, (4000, 3, 4, 4))).mean(-1)
    np.testing.assert_allclose(
        mean_interval(true, predicted, metric),
        np.percentile(means, [2.5, 97.5]),
        atol=0.25,
    )


@pytest.mark.parametrize("right", [0, 38])
def test_interval_where_all_or_none_is_right(right):
    true = np.arange(38) % 4
    predicted = true if right else (true + 1) % 4
    expected = stats.binomtest(right, 38).proportion_ci(method="exact")
    interval = mean_interval(true, predicted, uar)
    np.testing.assert_allclose(interval, 100 * np.array(expected))


def test_interval_stays_within_bounds():
    true = np.arange(38) % 4
    predicted = np.where(np.arange(38) == 7, 0, true)
    low, high = mean_interval(true, predicted, uar)
    assert 75 < low < uar(confusion_matrix(true, predicted, 4)) < high < 100


@pytest.mark.parametrize("n", [4, 5])
def test_few_units_have_no_interval(n):
    true, predicted = runs(60, errors=0.8)
    speakers = np.arange(60) % n
    few = n < FEWEST_UNITS
    assert (mean_interval(true, predicted, uar, speakers) is None) == few
    assert (mean_interval(true[:n], predicted[:, :n], uar) is None) == few


def test_a_speaker_of_most_utterances_widens_the_interval():
    true, predicted = runs(80)
    intervals = [
        mean_interval(true, predicted, uar, np.repeat(np.arange(8), sizes))
        for sizes in ([10] * 8, [59, 3, 3, 3, 3, 3, 3, 3])
    ]
    even, uneven = (high - low for low, high in intervals)
    assert uneven > 1.5 * even


def test_a_metric_of_a_class_that_does_not_occur():
    """It sees all classes if it is told of them, and is undefined without its own."""

    def of_the_last(confusion):
        with np.errstate(invalid="ignore"):
            return 100 * confusion[..., 3, 3] / confusion[..., 3, :].sum(-1)

    true, predicted = np.array([0, 1, 2] * 4), np.array([0, 2, 1] * 4)
    assert mean_interval(true, predicted, of_the_last, n_classes=4) is None
    true[:6], predicted[:4] = 3, 3
    low, high = mean_interval(true, predicted, of_the_last, n_classes=4)
    assert low < 100 * 4 / 6 < high
    true[1:6] = 2
    assert mean_interval(true, predicted, of_the_last, n_classes=4) is None


def coverage(level, seeds, metric, **options):
    """How many of the intervals hold the known mean, in percent."""
    held = []
    for true, (predicted,), clusters, (known,) in simulate(
        [level], seeds, metric, **options
    ):
        low, high = mean_interval(true, predicted, metric, clusters)
        held.append(low <= known <= high)
    return 100 * np.mean(held)


@pytest.mark.slow
@pytest.mark.parametrize("metric", [uar, macro_f1])
@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("level", [50, 70, 90])
@pytest.mark.parametrize("n", [38, 100, 500])
def test_intervals_over_utterances_cover(n, level, seeds, metric):
    assert 93 <= coverage(level, seeds, metric, n=n) <= 97


@pytest.mark.slow
@pytest.mark.parametrize("metric", [uar, macro_f1])
@pytest.mark.parametrize("between", [0.3, 0.7])
@pytest.mark.parametrize("level", [50, 70, 90])
@pytest.mark.parametrize("speakers", EVEN)
def test_intervals_over_speakers_cover(speakers, level, between, metric):
    covered = coverage(level, 3, metric, sizes=EVEN[speakers], between=between)
    assert 93 <= covered <= 97


@pytest.mark.slow
@pytest.mark.parametrize("level", [50, 70, 90])
@pytest.mark.parametrize("sizes", [URDU, MELD], ids=["urdu", "meld"])
def test_intervals_over_speakers_of_very_unequal_size_cover(sizes, level):
    assert 92 <= coverage(level, 3, uar, sizes=sizes, between=0.5) <= 97
