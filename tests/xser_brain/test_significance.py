"""Tests of differences against scipy, explicit loops, and simulations (slow)."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats
from simulated import EVEN, SPEAKERS, URDU, mean_uar, members, runs, simulate

from data_prep.errors import UserError
from xser_brain.evaluation import significance
from xser_brain.evaluation.intervals import FEWEST_UNITS
from xser_brain.evaluation.metrics import accuracy, confusion_matrix, macro_f1, uar
from xser_brain.evaluation.significance import (
    cohens_d_z,
    compare,
    holm,
    randomisation_test,
    signed_rank,
)


@pytest.mark.parametrize("n", [4, 5])
def test_few_units_have_no_interval(n):
    true, predicted = runs(60, errors=0.8)
    result = compare(true, predicted, np.zeros_like(predicted), uar, np.arange(60) % n)
    few = n < FEWEST_UNITS
    assert (result.low is None, result.high is None) == (few, few)
    assert (result.units, result.utterances) == (n, 60)


def test_order_of_utterances_and_seeds_does_not_matter():
    true, first = runs()
    second = np.roll(first, 3, axis=1)
    order = np.random.default_rng(0).permutation(len(true))
    for clusters in (None, SPEAKERS):
        results = [
            compare(true, first, second, uar, clusters, samples=300),
            compare(
                true[order],
                first[::-1, order],
                second[:, order],
                uar,
                None if clusters is None else clusters[order],
                samples=300,
            ),
        ]
        assert results[0].difference == pytest.approx(results[1].difference)
        assert results[0].low == pytest.approx(results[1].low)
        assert results[0].p == pytest.approx(results[1].p, abs=0.05)


@pytest.mark.parametrize("size", [1, 5])
def test_comparison_of_accuracies_is_the_paired_t_test(size):
    true, first = runs(60)
    second = np.where(runs(60, seed=5, errors=0.5)[1] == runs(60, seed=5)[0], true, 0)
    scores = [
        100 * (predicted == true).mean(0).reshape(-1, size).mean(1)
        for predicted in (first, second)
    ]
    expected = stats.ttest_rel(*scores)
    clusters = None if size == 1 else np.arange(60) // size
    result = compare(true, first, second, accuracy, clusters)
    assert result.difference == pytest.approx(np.subtract(*scores).mean())
    assert (result.low, result.high) == pytest.approx(
        expected.confidence_interval(0.95)
    )
    assert result.effect == pytest.approx(expected.statistic / np.sqrt(60 // size))
    assert result.unit == ("utterances" if size == 1 else "speakers")
    assert (result.utterances, result.units) == (60, 60 // size)


def test_comparison_over_unequal_speakers_against_explicit_jackknife():
    true, first = runs()
    second = runs(seed=0, errors=0.6)[1]
    units = members(SPEAKERS, len(true))
    kept = [np.setdiff1d(np.arange(len(true)), unit) for unit in units]
    without = np.array(
        [mean_uar(true[i], first[:, i]) - mean_uar(true[i], second[:, i]) for i in kept]
    )
    k, sizes = len(units), np.array([len(unit) for unit in units])
    whole = mean_uar(true, first) - mean_uar(true, second)
    error = np.sqrt((k - 1) / k * ((without - without.mean()) ** 2).sum())
    margin = error * stats.t.ppf(0.975, sizes.sum() ** 2 / (sizes**2).sum() - 1)
    result = compare(true, first, second, uar, SPEAKERS)
    np.testing.assert_allclose(
        [result.difference, result.low, result.high],
        [whole, whole - margin, whole + margin],
    )


@pytest.mark.parametrize("clusters", [None, SPEAKERS])
def test_the_same_system_twice(clusters):
    true, predicted = runs()
    result = compare(true, predicted, predicted, uar, clusters)
    assert (result.difference, result.low, result.high) == (0, 0, 0)
    assert (result.p, result.effect) == (1, 0)
    # Seeds have no order.
    assert randomisation_test(true, predicted, predicted[::-1], uar, clusters) == 1


def scipy_p(true, first, second, metric, unit, **options):
    """What scipy says, which exchanges numbers: of a unit, below k is the first's."""
    k = unit.max() + 1

    def difference(*samples):
        means = []
        for sample in samples:
            predicted = np.where((sample >= k)[unit], second, first)
            confusions = [confusion_matrix(true, one, 4) for one in predicted]
            means.append(metric(np.stack(confusions)).mean())
        return round(means[0] - means[1], 9)

    return stats.permutation_test(
        (np.arange(k), np.arange(k) + k),
        difference,
        permutation_type="samples",
        vectorized=False,
        **options,
    ).pvalue


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("metric", [uar, macro_f1])
@pytest.mark.parametrize("unit", ["utterances", "speakers"])
def test_exact_randomisation_against_scipy(metric, unit, seeds):
    n = 9 if unit == "utterances" else 42
    units = np.arange(n) % 7 if unit == "speakers" else np.arange(n)
    true, first = runs(n, seeds, seed=3)
    rng = np.random.default_rng(5)
    second = np.where(rng.random(first.shape) < 0.6, rng.integers(4, size=n), true)
    clusters = units if unit == "speakers" else None
    expected = scipy_p(true, first, second, metric, units)
    p = randomisation_test(true, first, second, metric, clusters)
    assert p == pytest.approx(expected)


def test_approximate_randomisation_against_scipy():
    true, first = runs(60, seeds=2)
    second = np.where(np.roll(first == true, 9, axis=1), true, (true + 1) % 4)
    second[:, :6] = first[:, :6]
    options = {"n_resamples": 1500, "random_state": np.random.default_rng(0)}
    expected = scipy_p(true, first, second, uar, np.arange(60), **options)
    p = randomisation_test(true, first, second, uar)
    assert p == pytest.approx(expected, abs=0.04)
    assert 0.01 < p < 0.9
    assert p == pytest.approx(randomisation_test(true, second, first, uar), abs=0.02)


def test_randomisation_by_hand():
    # The first is right where the second is wrong: on 2 of 4 neutral utterances, on 1
    # of 2 happy ones. Exchanging these leaves differences of (±25 ± 25 ± 50) / 2.
    true = [0, 0, 0, 0, 1, 1]
    second = [0, 0, 1, 1, 1, 0]
    assert randomisation_test(true, true, second, uar) == 2 / 8
    # Of one of each, (±25 ± 50) / 2: half of them are no smaller than the 37.5 seen.
    assert randomisation_test(true, true, [0, 0, 0, 1, 1, 0], uar) == 2 / 4
    # First better on a neutral one, worse on another: ±25 ± 25, seen 0.
    assert randomisation_test(true, [0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1], uar) == 1


@pytest.mark.parametrize("speakers", [1, 2, 4, 10])
def test_all_speakers_agree(speakers):
    true = np.tile(np.arange(4), 3 * speakers)
    names = np.repeat(np.arange(speakers), 12)
    second = np.where(np.arange(12 * speakers) % 12 == names % 12, true + 1, true) % 4
    p = randomisation_test(true, true, second, uar, names, samples=2**speakers)
    assert p == 2 / 2**speakers


def test_only_what_differs_counts_towards_exactness():
    true = np.arange(400) % 4
    second = true.copy()
    second[:3] = 3
    assert randomisation_test(true, true, second, uar) == 2 / 2**3


def test_smallest_approximate_p():
    true = np.arange(200) % 4
    second = (true + (np.arange(200) % 3 == 0)) % 4
    assert randomisation_test(true, true, second, uar, samples=99) == 1 / 100


def test_blocks_change_nothing(monkeypatch):
    true, first = runs(11)
    second = runs(11, seed=0, errors=0.9)[1]
    whole = randomisation_test(true, first, second, macro_f1)
    monkeypatch.setattr(significance, "BLOCK", 64)
    assert randomisation_test(true, first, second, macro_f1) == whole


def test_systems_of_other_numbers_of_seeds_are_refused():
    true, predicted = runs(20)
    with pytest.raises(UserError, match="3 and 2 seeds"):
        compare(true, predicted, predicted[:2], uar)


@pytest.mark.parametrize(
    "differences",
    [
        [3.0, 1.0, 4.0, 1.5],
        [0.3, -1.2, 2.2, 4.1, -0.7, 1.9, 5.0, 0.4, 1.1],
        [0.3, 0.0, 2.2, 4.1, -0.7, 0.0, 5.0],
        [-1.0, 2.0],
        [2.5],
        [1.0, -1.0, 2.0, 2.0, 3.0],
    ],
)
def test_signed_rank_against_all_signs(differences):
    values = np.array([value for value in differences if value])
    ranks = stats.rankdata(abs(values))
    sums = [abs(np.dot(signs, ranks)) for signs in product((-1, 1), repeat=len(ranks))]
    p, effect = signed_rank(differences)
    assert p == pytest.approx(np.mean(np.array(sums) >= abs(np.sign(values) @ ranks)))
    assert effect == cohens_d_z(differences)


def test_signed_rank_of_darwins_maize():
    # Fisher 1935, chapter III: of 15 pairs two are negative, with ranks 10 and 14.
    pairs = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert signed_rank(pairs)[0] == pytest.approx(0.041259765625)


def test_signed_rank_without_any_difference():
    assert signed_rank([0.0, 0.0, 0.0]) == (1, 0)


def test_cohens_d_z_is_the_t_statistic_per_root_n():
    values = np.random.default_rng(0).normal(1, 2, size=24)
    expected = stats.ttest_1samp(values, 0).statistic / np.sqrt(24)
    assert cohens_d_z(values) == pytest.approx(expected)
    assert cohens_d_z(-values) == pytest.approx(-expected)


def test_cohens_d_z_without_spread():
    assert cohens_d_z([0.0, 0.0]) == 0
    assert cohens_d_z([1.0, 1.0]) is None
    assert cohens_d_z([1.0]) is None


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.3], [0.3]),
        ([0.6, 0.7], [1, 1]),
        ([0.04, 0.01, 0.04], [0.08, 0.03, 0.08]),
    ],
)
def test_holm_of_known_values(p, expected):
    np.testing.assert_allclose(holm(p), expected)


def test_holm_is_closed_bonferroni():
    # Marcus, Peritz & Gabriel 1976: reject what each intersection with it rejects.
    p = np.random.default_rng(0).random(7) ** 3
    for i, adjusted in enumerate(holm(p)):
        tests = [
            min(1, size * p[list(chosen)].min())
            for size in range(1, 8)
            for chosen in combinations(range(7), size)
            if i in chosen
        ]
        assert adjusted == pytest.approx(max(tests))


def comparisons(levels, samples=1024, **options):
    """How many hold the known difference, and how many reject at 5 %, in percent."""
    held, rejected = [], []
    for seed, (true, systems, clusters, known) in enumerate(
        simulate(levels, 3, uar, **options)
    ):
        result = compare(true, *systems, uar, clusters, samples=samples, seed=seed)
        held.append(result.low <= known[0] - known[1] <= result.high)
        rejected.append(result.p <= 0.05)
    return 100 * np.mean(held), 100 * np.mean(rejected)


UNITS = pytest.mark.parametrize(
    "options",
    [
        {"n": 38},
        {"n": 100},
        {"n": 300},
        {"sizes": EVEN[10], "between": 0.5},
        {"sizes": EVEN[24], "between": 0.5},
        {"sizes": URDU, "between": 0.5},
    ],
    ids=["38", "100", "300", "10 speakers", "24 speakers", "urdu"],
)


@pytest.mark.slow
@UNITS
def test_systems_alike_are_told_apart_in_one_case_of_twenty(options):
    # Alike: the same recalls of each class, in all seeds.
    covered, rejected = comparisons(
        [70, 70], turn=0, seeds_differ=0, repeats=4000, **options
    )
    assert 4 <= rejected <= 6
    assert 93 <= covered <= 97


@pytest.mark.slow
@UNITS
@pytest.mark.parametrize("levels", [[75, 65], [92, 88], [60, 60]])
def test_intervals_of_differences_cover(levels, options):
    covered, _ = comparisons(levels, samples=1, **options)
    assert 93 <= covered <= 97
