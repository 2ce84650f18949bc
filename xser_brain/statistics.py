"""How sure a result is: intervals, tests and effect sizes of confusion matrices.

A test set consists of units: utterances, or speakers, where those of a speaker are
alike, as in all acted corpora. Units are left out, drawn or exchanged whole, with the
predictions of all seeds, which are of the same utterances. So what is said holds for
other utterances or speakers, of the models as they were trained. It does not hold for
other seeds: for these look at their standard deviation, and at ``signed_rank`` over
settings, each of which has models of its own.

``metric`` is a function of confusion matrices that gives percent, (..., classes,
classes) to (...), as ``xser_brain.metrics.uar``.

Intervals come from the jackknife. Simulated 95 % intervals, of 38 to 500 utterances or
6 to 29 speakers, hold the truth in 93 to 97 % of cases (92 where six of 97 speakers
have most utterances, as in MELD); percentile intervals of the bootstrap in 87 to 95 %.
``pytest -m slow tests/xser_brain/test_statistics.py`` repeats the simulations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, stdtrit

from data_prep.errors import UserError

FEWEST_UNITS = 5  # of fewer, there is no interval worth the name
BLOCK = 2**22  # numbers drawn at a time

Metric = Callable[[np.ndarray], np.ndarray]


def bootstrap_confusions(
    confusion: np.ndarray, samples: int = 10_000, seed: int = 0
) -> np.ndarray:
    """Confusion matrices of test sets whose utterances are drawn with replacement.

    Arguments
    ---------
    confusion : (classes, classes) np.ndarray
        Counts, of at least one utterance.
    samples : int
        Number of resampled test sets.
    seed : int
        Seed of the draws.

    Returns
    -------
    confusions : (samples, classes, classes) np.ndarray
        Counts.

    Example
    -------
    >>> bootstrap_confusions(np.array([[8, 2], [1, 9]]), samples=3).sum(axis=(1, 2))
    array([20, 20, 20])
    """
    n = confusion.sum()
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, confusion.ravel() / n, size=samples)
    return counts.reshape(samples, *confusion.shape)


def bootstrap_confusions_by_speaker(
    per_speaker: np.ndarray, samples: int = 10_000, seed: int = 0
) -> np.ndarray:
    """Confusion matrices of test sets whose speakers are drawn with replacement.

    The utterances of a speaker are alike: in corpora of few (acted) speakers, this
    interval is the honest one.

    Arguments
    ---------
    per_speaker : (speakers, classes, classes) np.ndarray
        Counts of each speaker.
    samples : int
        Number of resampled test sets.
    seed : int
        Seed of the draws.

    Returns
    -------
    confusions : (samples, classes, classes) np.ndarray
        Counts.

    Example
    -------
    >>> speakers = np.array([[[1, 0], [0, 1]], [[0, 2], [2, 0]]])
    >>> sorted(set(bootstrap_confusions_by_speaker(speakers).sum(axis=(1, 2)).tolist()))
    [4, 6, 8]
    """
    speakers = len(per_speaker)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(speakers, np.full(speakers, 1 / speakers), size=samples)
    return np.tensordot(times, per_speaker, axes=1)


def percentile_interval(values: np.ndarray, level: float = 95) -> tuple[float, float]:
    """The central interval that holds a level of the values.

    Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    Arguments
    ---------
    values : (samples,) np.ndarray
        A statistic of each resample.
    level : float
        Percent.

    Returns
    -------
    low, high : tuple[float, float]
        The bounds.

    Example
    -------
    >>> percentile_interval(np.arange(101), level=90)
    (5.0, 95.0)
    """
    low, high = np.percentile(values, [50 - level / 2, 50 + level / 2])
    return float(low), float(high)


def mean_interval(
    true: Sequence[int],
    predicted: np.ndarray,
    metric: Metric,
    clusters: Sequence | None = None,
    level: float = 95,
) -> tuple[float, float] | None:
    """Interval of the mean over seeds, by the jackknife over units.

    The standard error is that of leaving one unit out (Tukey 1958; Efron & Tibshirani
    1993, chapter 11; of clusters: MacKinnon, Nielsen & Webb, Journal of Applied
    Econometrics 38, 2023). It is taken on the logit scale, as for proportions of
    clustered surveys (Dean & Pagano, Journal of Survey Statistics and Methodology 3,
    2015), with Student's t of the effective number of units,
    (sum of sizes)² / sum of sizes² (Kish 1965), less one. Where all is right, or
    nothing, there is no spread: the bound is that of Clopper & Pearson 1934, of so many
    trials as units (Korn & Graubard, Survey Methodology 24, 1998).

    Arguments
    ---------
    true : (utterances,) Sequence[int]
        Classes from 0 on.
    predicted : (seeds, utterances) np.ndarray
        Classes, of each seed.
    metric : Callable
        Of confusion matrices, see the module.
    clusters : (utterances,) Sequence, optional
        Speaker of each utterance; by default the units are utterances.
    level : float
        Percent.

    Returns
    -------
    low, high : tuple[float, float], optional
        The bounds, percent; None with fewer than ``FEWEST_UNITS`` units.

    Example
    -------
    >>> from xser_brain.metrics import uar
    >>> low, high = mean_interval([0, 1] * 30, [0, 1, 1, 1, 0, 0] * 10, uar)
    >>> round(low, 1), round(high, 1)
    (53.3, 77.8)
    """
    confusions, counts = _units(true, predicted, clusters)
    if counts.sum() < FEWEST_UNITS:
        return None
    mean, parts = _pseudo_values(confusions, counts, lambda c: metric(c).mean(-1))
    effective = _effective_number(confusions, counts)
    if not 0 < mean < 100:
        bound = 100 * (0.5 - level / 200) ** (1 / effective)
        return (bound, 100.0) if mean > 0 else (0.0, 100 - bound)
    share = mean / 100
    margin = _margin(parts, effective, level) / 100 / (share * (1 - share))
    low, high = 100 * expit(logit(share) + margin * np.array([-1, 1]))
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """How two systems compare on one test set.

    Arguments
    ---------
    difference : float
        First less second, means over seeds, in points.
    low, high : float, optional
        Interval of the difference; None with fewer than ``FEWEST_UNITS`` units.
    p : float
        Two-sided, of ``randomisation_test``.
    effect : float, optional
        ``cohens_d_z`` of what the units contribute to the difference.
    utterances, units : int
        How many.
    unit : str
        What is left out and exchanged: ``speakers`` or ``utterances``.
    """

    difference: float
    low: float | None
    high: float | None
    p: float
    effect: float | None
    utterances: int
    units: int
    unit: str


def compare(
    true: Sequence[int],
    first: np.ndarray,
    second: np.ndarray,
    metric: Metric,
    clusters: Sequence | None = None,
    level: float = 95,
    samples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two systems' means over seeds on the same utterances.

    The interval is difference ± Student's t times the jackknife's standard error, see
    ``mean_interval``: a unit is left out of both systems at once, so it is paired. What
    a unit contributes is its pseudo-value (Tukey 1958).

    Arguments
    ---------
    true : (utterances,) Sequence[int]
        Classes from 0 on.
    first, second : (seeds, utterances) np.ndarray
        Classes, of each seed; as many seeds each.
    metric : Callable
        Of confusion matrices, see the module.
    clusters : (utterances,) Sequence, optional
        Speaker of each utterance; by default the units are utterances.
    level : float
        Of the interval, percent.
    samples, seed : int
        See ``randomisation_test``.

    Returns
    -------
    Comparison

    Raises
    ------
    UserError
        If the systems have not as many seeds.

    Example
    -------
    >>> from xser_brain.metrics import uar
    >>> true = [0, 1] * 10
    >>> result = compare(true, true, [0, 1, 0, 0] * 5, uar)
    >>> result.difference, round(result.low, 1), round(result.high, 1)
    (25.0, 7.1, 42.9)
    """
    confusions, counts = _paired_units(true, first, second, clusters)
    difference, parts = _pseudo_values(
        confusions, counts, lambda c: _difference(c, metric)
    )
    low = high = None
    if counts.sum() >= FEWEST_UNITS:
        margin = _margin(parts, _effective_number(confusions[:, 0], counts), level)
        low, high = difference - margin, difference + margin
    return Comparison(
        difference,
        low,
        high,
        randomisation_test(true, first, second, metric, clusters, samples, seed),
        cohens_d_z(parts),
        len(true),
        int(counts.sum()),
        "utterances" if clusters is None else "speakers",
    )


def randomisation_test(
    true: Sequence[int],
    first: np.ndarray,
    second: np.ndarray,
    metric: Metric,
    clusters: Sequence | None = None,
    samples: int = 10_000,
    seed: int = 0,
) -> float:
    """Paired approximate randomisation test of two systems' means over seeds.

    Noreen 1989; Yeh, "More accurate tests for the statistical significance of result
    differences", COLING 2000. If the systems were alike, exchanging what they made of a
    unit would change nothing. A unit is exchanged with all its seeds at once: how the
    seeds of two systems pair is arbitrary, and their errors go together. What is tested
    are these models: with enough utterances, two sets of seeds of one system differ too.

    Arguments
    ---------
    true : (utterances,) Sequence[int]
        Classes from 0 on.
    first, second : (seeds, utterances) np.ndarray
        Classes, of each seed; as many seeds each.
    metric : Callable
        Of confusion matrices, see the module.
    clusters : (utterances,) Sequence, optional
        Speaker of each utterance; by default the units are utterances.
    samples : int
        Random exchanges. Where there are no more possible ones than this, each is made
        once and the test is exact: of 10 speakers, 1024.
    seed : int
        Seed of the exchanges.

    Returns
    -------
    p : float
        Two-sided: the share of exchanges whose difference is no smaller, what was seen
        counted in, (1 + b) / (1 + samples).

    Raises
    ------
    UserError
        If the systems have not as many seeds.

    Example
    -------
    >>> from xser_brain.metrics import uar
    >>> randomisation_test([0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 1, 0], uar)
    0.5
    """
    confusions, counts = _paired_units(true, first, second, clusters)
    confusions = np.repeat(confusions, counts, axis=0)
    totals = confusions.sum(0)
    moves = confusions[:, 1] - confusions[:, 0]
    moves = moves[moves.any((1, 2, 3))]  # other exchanges change nothing
    units = len(moves)
    exact = 2**units <= samples
    tries = 2**units if exact else samples
    rng = np.random.default_rng(seed)
    seen = abs(_difference(totals, metric)) - 1e-9  # rounding is no difference
    extreme = 0
    for block in _blocks(tries, units):
        if exact:
            exchanged = np.array(block)[:, None] >> np.arange(units) & 1
        else:
            exchanged = rng.integers(2, size=(len(block), units), dtype=np.int8)
        moved = _weighted_sums(exchanged, moves)
        differences = _difference(totals + np.stack([moved, -moved], axis=1), metric)
        extreme += np.count_nonzero(abs(differences) >= seen)
    return float(extreme / tries if exact else (1 + extreme) / (1 + tries))


def signed_rank(differences: Sequence[float]) -> tuple[float, float | None]:
    """Wilcoxon's signed-rank test of paired differences, as over settings.

    Wilcoxon 1945; Demšar, "Statistical comparisons of classifiers over multiple data
    sets", JMLR 2006. Exact for few differences, so p cannot be below 2 / 2^n: 0.125
    with 4 settings, 0.004 with 9.

    Arguments
    ---------
    differences : (settings,) Sequence[float]
        Zeros are left out.

    Returns
    -------
    p : float
        Two-sided; 1 if all are zero.
    effect : float, optional
        Their ``cohens_d_z``.

    Example
    -------
    >>> p, effect = signed_rank([3.0, 1.0, 4.0, 1.5])
    >>> p, round(effect, 2)
    (0.125, 1.72)
    """
    from scipy import stats  # slow to import

    values = np.asarray(differences, dtype=float)
    p = float(stats.wilcoxon(values[values != 0]).pvalue) if values.any() else 1.0
    return p, cohens_d_z(values)


def cohens_d_z(differences: Sequence[float]) -> float | None:
    """Effect size of paired differences: their mean over their standard deviation.

    Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, chapter 2.
    Single utterances differ more than speakers or settings do: compare it only with
    that of the same unit.

    Arguments
    ---------
    differences : (n,) Sequence[float]
        Of pairs.

    Returns
    -------
    d_z : float, optional
        0 if all are zero; None with fewer than two, or if all are the same otherwise.

    Example
    -------
    >>> cohens_d_z([1.0, 2.0, 3.0])
    2.0
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return None
    mean, spread = values.mean(), values.std(ddof=1)
    if np.isclose(spread, 0):
        return 0.0 if np.isclose(mean, 0) else None
    return float(mean / spread)


def holm(p: Sequence[float]) -> np.ndarray:
    """Correct a family of p-values for their number.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6, 1979: the chance of any false rejection stays below the
    level, however the tests depend on each other.

    Arguments
    ---------
    p : (tests,) Sequence[float]
        As the tests gave them.

    Returns
    -------
    adjusted : (tests,) np.ndarray
        To be compared with the level.

    Example
    -------
    >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _units(true, predicted, clusters):
    """Confusions, (units, runs, classes, classes), and how many units have them.

    Utterances alike in all runs are one row.
    """
    true, predicted = np.asarray(true), np.atleast_2d(predicted)
    classes = max(true.max(), predicted.max()) + 1
    if clusters is None:
        kinds, counts = np.unique(
            np.vstack([true, predicted]), axis=1, return_counts=True
        )
        true, predicted = kinds[0], kinds[1:]
        unit = np.arange(len(counts))
    else:
        names, unit = np.unique(clusters, return_inverse=True)
        counts = np.ones(len(names), dtype=int)
    shape = (len(counts), len(predicted), classes, classes)
    run = np.arange(len(predicted))[:, None]
    cells = np.ravel_multi_index(np.broadcast_arrays(unit, run, true, predicted), shape)
    return np.bincount(cells.ravel(), minlength=np.prod(shape)).reshape(shape), counts


def _paired_units(true, first, second, clusters):
    """As _units, of two systems: (units, 2, seeds, classes, classes)."""
    both = [np.atleast_2d(predicted) for predicted in (first, second)]
    if len(both[0]) != len(both[1]):
        raise UserError(
            f"systems of {len(both[0])} and {len(both[1])} seeds cannot be compared: "
            "give those seeds that both have"
        )
    confusions, counts = _units(true, np.concatenate(both), clusters)
    units, runs, *classes = confusions.shape
    return confusions.reshape(units, 2, runs // 2, *classes), counts


def _difference(confusions, metric):
    """First less second mean over seeds: (..., 2, seeds, classes, classes) to (...)."""
    means = metric(confusions).mean(-1)
    return means[..., 0] - means[..., 1]


def _blocks(samples, width):
    """Numbers of samples, so many at a time that memory is spared."""
    step = max(1, BLOCK // max(1, width))
    return (
        range(start, min(start + step, samples)) for start in range(0, samples, step)
    )


def _weighted_sums(weights, confusions):
    """(samples, units) and (units, ...) to (samples, ...); counts are exact in fp32."""
    sums = np.tensordot(weights.astype(np.float32), confusions.astype(np.float32), 1)
    return sums.astype(float)


def _pseudo_values(confusions, counts, statistic):
    """A statistic of all units, and what each of them contributes."""
    n, total = counts.sum(), np.tensordot(counts, confusions, axes=1)
    whole = statistic(total)
    without = statistic(total - confusions)
    return float(whole), np.repeat(n * whole - (n - 1) * without, counts)


def _effective_number(confusions, counts):
    """How many units of equal size would tell as much: (units, runs, ...) to a number."""
    sizes = confusions[:, 0].sum((-2, -1))
    return np.dot(counts, sizes) ** 2 / np.dot(counts, sizes**2)


def _margin(parts, effective, level):
    """Half the width of the interval of a mean of parts."""
    error = parts.std(ddof=1) / np.sqrt(len(parts))
    return float(stdtrit(effective - 1, 0.5 + level / 200) * error)
