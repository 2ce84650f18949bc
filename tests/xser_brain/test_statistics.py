"""Intervals and tests against scipy, explicit loops, and simulations (slow)."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit, ndtr, ndtri
from sklearn.metrics import accuracy_score, f1_score

from data_prep.errors import UserError
from xser_brain import statistics
from xser_brain.metrics import accuracy, confusion_matrix, macro_f1, uar
from xser_brain.statistics import (
    bootstrap_confusions,
    bootstrap_confusions_by_speaker,
    cohens_d_z,
    compare,
    holm,
    mean_interval,
    percentile_interval,
    randomisation_test,
    signed_rank,
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
        n_resamples=500,
        random_state=np.random.default_rng(0),
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


SPEAKERS = np.repeat(np.arange(8), [5, 30, 12, 50, 8, 20, 9, 16])  # of 150


def runs(n=150, seeds=3, seed=0, errors=0.4):
    """True classes, and predictions of seeds whose errors go together."""
    rng = np.random.default_rng(seed)
    true = rng.integers(4, size=n)
    hard = rng.random(n) < errors
    wrong = hard & (rng.random((seeds, n)) < 0.7)
    return true, np.where(wrong, rng.integers(4, size=(seeds, n)), true)


def mean_uar(true, predicted):
    """Over seeds: these share their classes' numbers of utterances."""
    return np.mean(
        [100 * (predicted[:, true == c] == c).mean() for c in np.unique(true)]
    )


def members(clusters, n):
    """The utterances of each unit."""
    if clusters is None:
        return [[i] for i in range(n)]
    return [np.flatnonzero(clusters == name) for name in np.unique(clusters)]


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
        mean_interval(true, predicted, metric), percentile_interval(means), atol=0.25
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
    few = n < statistics.FEWEST_UNITS
    assert (mean_interval(true, predicted, uar, speakers) is None) == few
    result = compare(true, predicted, np.zeros_like(predicted), uar, speakers)
    assert (result.low is None, result.high is None) == (few, few)
    assert (result.units, result.utterances) == (n, 60)
    assert (mean_interval(true[:n], predicted[:, :n], uar) is None) == few


def test_a_speaker_of_most_utterances_widens_the_interval():
    true, predicted = runs(80)
    intervals = [
        mean_interval(true, predicted, uar, np.repeat(np.arange(8), sizes))
        for sizes in ([10] * 8, [59, 3, 3, 3, 3, 3, 3, 3])
    ]
    even, uneven = (high - low for low, high in intervals)
    assert uneven > 1.5 * even


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
    monkeypatch.setattr(statistics, "BLOCK", 64)
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


# Simulations: a probit model of known recalls, whose truth has a closed form.
PRIOR = np.array([79, 71, 127, 62]) / 339  # EMO-DB's
ODD_ONES = np.array([0.7, 0.3])  # how errors go to the next class and the one after
EVEN = {k: [m] * k for k, m in [(6, 50), (10, 34), (12, 42), (24, 28)]}
URDU = [80, 48, 40, 38, 28, 28, 22, 14, 14, 12, 12, 10, 6, 6, *[4] * 6, *[2] * 9]
MELD = [355, 318, 309, 307, 285, 233, 28, 15, 14, 12, 11, 10, *[4] * 40, *[2] * 45]


def simulate(
    levels, seeds, metric, n=None, sizes=None, between=0.0, seeds_differ=0.1,
    turn=1, repeats=2000,
):  # fmt: skip
    """Draw utterances, speakers and seeds anew.

    Utterances differ in ease by 1, speakers by ``between``, by 0.4 more for each
    emotion, by 0.3 for each system. The recalls of classes differ, and with ``turn``
    otherwise in each system. Of a system in each seed, known are its recalls among all
    utterances and speakers there could be, and so the metric.

    Yields
    ------
    true, predicted, clusters, known : np.ndarray
        (n,), (systems, seeds, n), (n,) or None, and the mean over seeds (systems,).
    """
    rng = np.random.default_rng(0)
    clusters = None if sizes is None else np.repeat(np.arange(len(sizes)), sizes)
    k, systems = len(sizes or []), len(levels)
    variance = 2 + (between**2 + 0.4**2 + 0.3**2 if sizes else 0)
    profiles = [np.roll([6, -6, 3, -3], turn * system) for system in range(systems)]
    recalls = (np.array(levels)[:, None] + profiles) / 100
    for _ in range(repeats):
        ease = ndtri(recalls)[:, None] * np.sqrt(variance)
        ease = ease + seeds_differ * rng.normal(size=(systems, seeds, 1))
        known = expected_metric(ndtr(ease / np.sqrt(variance)), metric)
        true = rng.choice(4, size=n or sum(sizes), p=PRIOR)
        ease = ease[..., true] + rng.normal(size=len(true))
        if sizes:
            voices = between * rng.normal(size=(k, 1)) + 0.4 * rng.normal(size=(k, 4))
            tastes = 0.3 * rng.normal(size=(systems, 1, k))
            ease = ease + voices[clusters, true] + tastes[..., clusters]
        right = rng.random(ease.shape) < ndtr(ease)
        wrong = (true + 1 + (rng.random(ease.shape) > ODD_ONES[0])) % 4
        yield true, np.where(right, true, wrong), clusters, known


def expected_metric(recalls, metric):
    """Of infinitely many utterances: recalls (systems, seeds, 4) to (systems,)."""
    confusions = np.zeros((*recalls.shape, 4))
    for c in range(4):
        confusions[..., c, c] = PRIOR[c] * recalls[..., c]
        for step, share in enumerate(ODD_ONES, start=1):
            missed = PRIOR[c] * share * (1 - recalls[..., c])
            confusions[..., c, (c + step) % 4] = missed
    return metric(confusions).mean(-1)


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
