"""How sure a mean over test sets is, some of whose speakers may be the same.

Each unit (a speaker or an utterance, as in ``xser_brain.evaluation.intervals``) moves the
mean by what it moves its test sets; a unit of several sets moves it by the sum. Targets
are few and chosen, so the interval is about other speakers of these, and not about other
languages.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, stdtrit

from xser_brain.evaluation.intervals import FEWEST_UNITS, Units


@dataclass(frozen=True)
class Influence:
    """A statistic of a test set, and by how much each unit moves it.

    Arguments
    ---------
    value : float
        The statistic.
    moves : mapping of str to float
        By unit; the sum of their squares is the squared standard error.
    freedom : float
        Degrees of freedom of that, fewer where units differ in size.
    """

    value: float
    moves: Mapping[str, float]
    freedom: float

    @classmethod
    def of(
        cls,
        true: Sequence[int],
        predicted: np.ndarray,
        units: Sequence[str],
        statistic: Callable[[np.ndarray], np.ndarray],
        n_classes: int | None = None,
    ) -> "Influence | None":
        """By the jackknife; None with fewer than ``FEWEST_UNITS`` units.

        Arguments
        ---------
        true, predicted, n_classes
            See ``xser_brain.evaluation.intervals.mean_interval``.
        units : (utterances,) sequence of str
            What each utterance belongs to, named as in the other test sets.
        statistic : callable
            Of (..., runs, classes, classes) counts to (...).

        Returns
        -------
        Influence, or None
            None too where the statistic is undefined without one of the units.
        """
        counted = Units.of(true, predicted, units, n_classes)
        number = counted.number
        if number < FEWEST_UNITS:
            return None
        value, parts = counted.contributions(statistic)
        if np.isnan(parts).any():
            return None
        moves = (parts - parts.mean()) / np.sqrt(number * (number - 1))
        names = map(str, np.unique(units))
        return cls(
            value,
            dict(zip(names, moves.tolist(), strict=True)),
            counted.effective_number - 1,
        )


def mean_of(
    sets: Sequence[Influence], level: float = 95, percent: bool = False
) -> tuple[float, float, float]:
    """The mean over test sets, and its interval.

    Degrees of freedom are those of Welch 1947, of the sets' variances; where sets share
    units, the fewest of a set.

    Arguments
    ---------
    sets : sequence of Influence
        One of each, as of each setting.
    level : float
        Percent.
    percent : bool
        Whether the statistic ends at 0 and 100: the interval is then that of the logit,
        as in ``mean_interval``.

    Returns
    -------
    mean, low, high : float

    Example
    -------
    >>> one = Influence(60.0, {"a": 3.0, "b": -3.0}, 9.0)
    >>> other = Influence(70.0, {"c": 3.0, "d": -3.0}, 9.0)
    >>> [round(x, 1) for x in mean_of([one, other])]
    [65.0, 58.7, 71.3]
    >>> [round(x, 1) for x in mean_of([one, one])]  # the same speakers: no surer
    [60.0, 50.4, 69.6]
    """
    moves: dict[str, float] = defaultdict(float)
    for item in sets:
        for unit, move in item.moves.items():
            moves[unit] += move / len(sets)
    variances = [sum(move**2 for move in item.moves.values()) for item in sets]
    freedom = min(item.freedom for item in sets)
    apart = len(moves) == sum(len(item.moves) for item in sets)
    if apart and any(variances):
        terms = [v**2 / item.freedom for v, item in zip(variances, sets, strict=True)]
        freedom = sum(variances) ** 2 / sum(terms)
    mean = float(np.mean([item.value for item in sets]))
    error = np.sqrt(sum(move**2 for move in moves.values()))
    margin = float(stdtrit(freedom, 0.5 + level / 200) * error)
    if not percent or not 0 < mean < 100:
        return mean, mean - margin, mean + margin
    share = mean / 100
    spread = margin / 100 / (share * (1 - share)) * np.array([-1, 1])
    low, high = 100 * expit(logit(share) + spread)
    return mean, float(low), float(high)
