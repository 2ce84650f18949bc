"""Whether systems differ: paired tests, effect sizes and a correction for their number.

Units, utterances or speakers, are those of ``xser_brain.evaluation.intervals``. They are
exchanged whole, with the predictions of all seeds: so a test is about other utterances or
speakers, with the models as trained. About other models is ``signed_rank`` over settings,
each of which has its own.

``pytest -m slow tests/xser_brain/test_significance.py`` simulates how often systems that
are alike are said to differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.errors import UserError
from xser_brain.evaluation.intervals import FEWEST_UNITS, Units
from xser_brain.evaluation.metrics import Metric

BLOCK = 2**22  # numbers drawn at a time


@dataclass(frozen=True)
class Comparison:
    """How two systems compare on one test set.

    Arguments
    ---------
    difference : float
        First less second, means over seeds, in points.
    low, high : float, optional
        Interval of the difference; None with fewer than ``FEWEST_UNITS`` units.
    p : float, optional
        Two-sided, of ``randomisation_test``, if it was asked for.
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
    p: float | None
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
    true, metric, clusters, level
        See ``mean_interval``.
    first, second : (seeds, utterances) np.ndarray
        Classes, of each seed; as many seeds each.
    samples, seed : int
        See ``randomisation_test``; without samples there is no test.

    Returns
    -------
    Comparison

    Raises
    ------
    UserError
        If the systems differ in their number of seeds.

    Example
    -------
    >>> from xser_brain.evaluation.metrics import uar
    >>> true = [0, 1] * 10
    >>> result = compare(true, true, [0, 1, 0, 0] * 5, uar)
    >>> result.difference, round(result.low, 1), round(result.high, 1)
    (25.0, 7.1, 42.9)
    """
    units = _paired(true, first, second, clusters)
    difference, parts = units.contributions(lambda c: _difference(c, metric))
    low = high = None
    if units.number >= FEWEST_UNITS:
        margin = units.margin(parts, level)
        low, high = difference - margin, difference + margin
    return Comparison(
        difference,
        low,
        high,
        randomisation_test(true, first, second, metric, clusters, samples, seed)
        if samples
        else None,
        cohens_d_z(parts),
        len(true),
        units.number,
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
    are these models: with enough utterances, two sets of seeds of one system differ
    too.

    Arguments
    ---------
    true, metric, clusters
        See ``mean_interval``.
    first, second : (seeds, utterances) np.ndarray
        Classes, of each seed; as many seeds each.
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
        If the systems differ in their number of seeds.

    Example
    -------
    >>> from xser_brain.evaluation.metrics import uar
    >>> randomisation_test([0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 1, 0], uar)
    0.5
    """
    units = _paired(true, first, second, clusters)
    confusions = np.repeat(units.confusions, units.counts, axis=0)
    totals = confusions.sum(0)
    ones, others = np.split(confusions, 2, axis=1)
    moves = others - ones
    moves = moves[moves.any((1, 2, 3))]  # other exchanges change nothing
    differing = len(moves)
    exact = 2**differing <= samples
    tries = 2**differing if exact else samples
    rng = np.random.default_rng(seed)
    seen = abs(_difference(totals, metric)) - 1e-9  # but for rounding
    extreme = 0
    for block in _blocks(tries, differing):
        if exact:
            exchanged = np.array(block)[:, None] >> np.arange(differing) & 1
        else:
            exchanged = rng.integers(2, size=(len(block), differing), dtype=np.int8)
        moved = _weighted_sums(exchanged, moves)
        differences = _difference(
            totals + np.concatenate([moved, -moved], axis=1), metric
        )
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

    Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988, chapter 2. 0
    if all are zero; None with fewer than two, or if all are the same otherwise. Single
    utterances differ more than speakers or settings do: compare it only with that of
    the same unit.

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
    """Correct a family of p-values for their number, to be compared with the level.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6, 1979: the chance of any false rejection stays below the
    level, however the tests depend on each other.

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


def _paired(true, first, second, clusters) -> Units:
    """Units of two systems: the runs are the first's seeds, then the second's."""
    both = [np.atleast_2d(predicted) for predicted in (first, second)]
    if len(both[0]) != len(both[1]):
        raise UserError(
            f"systems of {len(both[0])} and {len(both[1])} seeds cannot be compared: "
            "give those seeds that both have"
        )
    return Units.of(true, np.concatenate(both), clusters)


def _difference(confusions, metric):
    """First less second mean over seeds: (..., runs, classes, classes) to (...)."""
    first, second = np.split(metric(confusions), 2, axis=-1)
    return first.mean(-1) - second.mean(-1)


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
