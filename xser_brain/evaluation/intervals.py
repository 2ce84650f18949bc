"""How sure a figure is: intervals by the jackknife.

A test set consists of units: utterances, or speakers, where those of a speaker are
alike, as in all acted corpora. Units are left out whole, with the predictions of all
seeds, which are of the same utterances. So an interval is about other utterances or
speakers, with the models as trained. About other seeds it says nothing: see their
standard deviation.

Simulated 95 % intervals, of 38 to 500 utterances or 6 to 29 speakers, hold the truth in
93 to 97 % of cases (92 where six of 97 speakers have most utterances, as in MELD).
``pytest -m slow tests/xser_brain/test_intervals.py`` repeats the simulations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, stdtrit

from xser_brain.evaluation.metrics import Metric, confusion_matrix

FEWEST_UNITS = 5  # with fewer, an interval is of no use


def mean_interval(
    true: Sequence[int],
    predicted: np.ndarray,
    metric: Metric,
    clusters: Sequence | None = None,
    level: float = 95,
    n_classes: int | None = None,
) -> tuple[float, float] | None:
    """Interval of the mean over seeds, by the jackknife over units.

    The standard error is that of leaving one unit out (Tukey 1958; Efron & Tibshirani
    1993, chapter 11; of clusters: MacKinnon, Nielsen & Webb, Journal of Applied
    Econometrics 38, 2023). It is taken on the logit scale, as for proportions of
    clustered surveys (Dean & Pagano, Journal of Survey Statistics and Methodology 3,
    2015), with Student's t of the effective number of units,
    (sum of sizes)² / sum of sizes² (Kish 1965), less one. Where all is right, or
    nothing, there is no spread: the bound is that of Clopper & Pearson 1934, of as many
    trials as units (Korn & Graubard, Survey Methodology 24, 1998).

    Arguments
    ---------
    true : (utterances,) Sequence[int]
        Classes from 0 on.
    predicted : (seeds, utterances) np.ndarray
        Classes, of each seed.
    metric : Callable
        Of confusion matrices, in percent, see ``xser_brain.evaluation.metrics``.
    clusters : (utterances,) Sequence, optional
        Speaker of each utterance; by default the units are utterances.
    level : float
        Percent.
    n_classes : int, optional
        Number of classes, for metrics that ask for a certain class; by default as many
        as occur.

    Returns
    -------
    low, high : tuple[float, float], optional
        The bounds, percent; None with fewer than ``FEWEST_UNITS`` units, or where the
        metric is undefined without one of them.

    Example
    -------
    >>> from xser_brain.evaluation.metrics import uar
    >>> low, high = mean_interval([0, 1] * 30, [0, 1, 1, 1, 0, 0] * 10, uar)
    >>> round(low, 1), round(high, 1)
    (53.3, 77.8)
    """
    units = Units.of(true, predicted, clusters, n_classes)
    if units.number < FEWEST_UNITS:
        return None
    mean, parts = units.contributions(lambda confusions: metric(confusions).mean(-1))
    if np.isnan(parts).any():
        return None
    if not 0 < mean < 100:
        bound = 100 * (0.5 - level / 200) ** (1 / units.effective_number)
        return (bound, 100.0) if mean > 0 else (0.0, 100 - bound)
    share = mean / 100
    margin = units.margin(parts, level) / 100 / (share * (1 - share))
    low, high = 100 * expit(logit(share) + margin * np.array([-1, 1]))
    return float(low), float(high)


@dataclass(frozen=True)
class Units:
    """The units of a test set, and what was predicted of each.

    Arguments
    ---------
    confusions : (kinds, runs, classes, classes) np.ndarray
        Counts, (true, predicted). Utterances alike in all runs are one kind.
    counts : (kinds,) np.ndarray
        How many units are of a kind.
    """

    confusions: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(
        cls,
        true: Sequence[int],
        predicted: np.ndarray,
        clusters: Sequence | None = None,
        n_classes: int | None = None,
    ) -> "Units":
        """Count predictions by unit; arguments as of ``mean_interval``."""
        true, predicted = np.asarray(true), np.atleast_2d(predicted)
        classes = n_classes or max(true.max(), predicted.max()) + 1
        if clusters is None:
            kinds, counts = np.unique(
                np.vstack([true, predicted]), axis=1, return_counts=True
            )
            true, predicted, unit = kinds[0], kinds[1:], np.arange(len(counts))
        else:
            names, unit = np.unique(clusters, return_inverse=True)
            counts = np.ones(len(names), dtype=int)
        return cls(confusion_matrix(true, predicted, classes, unit), counts)

    @property
    def number(self) -> int:
        """How many units there are."""
        return int(self.counts.sum())

    @property
    def effective_number(self) -> float:
        """How many units of equal size would be as informative (Kish 1965)."""
        sizes = self.confusions[:, 0].sum((-2, -1))
        return np.dot(self.counts, sizes) ** 2 / np.dot(self.counts, sizes**2)

    def contributions(
        self, statistic: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[float, np.ndarray]:
        """A statistic of all units, and the (units,) pseudo-values (Tukey 1958).

        Their mean is the statistic, but for the jackknife's bias. It is given as a
        function of (..., runs, classes, classes) counts to (...).
        """
        total = np.tensordot(self.counts, self.confusions, axes=1)
        whole, without = statistic(total), statistic(total - self.confusions)
        parts = self.number * whole - (self.number - 1) * without
        return float(whole), np.repeat(parts, self.counts)

    def margin(self, parts: np.ndarray, level: float) -> float:
        """Half the width of the interval of the mean of ``contributions``."""
        error = parts.std(ddof=1) / np.sqrt(len(parts))
        return float(stdtrit(self.effective_number - 1, 0.5 + level / 200) * error)
