"""How sure a mean over test sets is."""

import numpy as np
import pytest

from xser_brain.evaluation.averages import Influence, mean_of
from xser_brain.evaluation.intervals import mean_interval
from xser_brain.evaluation.metrics import uar


def uar_of(confusions):
    return uar(confusions).mean(-1)


def made(seed: int, right: float = 0.6, speakers: int = 20) -> tuple:
    """Classes, predictions and speakers, who differ in how well they are understood."""
    rng = np.random.default_rng(seed)
    units = np.repeat(np.arange(speakers), 12)
    true = np.tile(np.arange(4), 3 * speakers)
    ease = rng.normal(0, 0.15, speakers)[units] + right
    guess = np.where(rng.random(len(true)) < ease, true, rng.integers(0, 4, len(true)))
    return true, guess, units


def test_one_set_has_the_interval_of_the_tables():
    true, guess, units = made(1)
    one = Influence.of(true, guess, [f"a{u}" for u in units], uar_of)
    expected = mean_interval(true, guess, uar, units)
    assert mean_of([one], percent=True)[1:] == pytest.approx(expected)
    mean, low, high = mean_of([one])
    assert low < mean < high


def test_other_speakers_make_surer_and_the_same_do_not():
    sets = []
    for seed in range(4):
        true, guess, units = made(seed)
        sets.append(Influence.of(true, guess, [f"{seed}-{u}" for u in units], uar_of))
    widths = [np.ptp(mean_of(own)[1:]) for own in ([sets[0]], sets, [sets[0]] * 4)]
    assert widths[1] == pytest.approx(widths[0] / 2, rel=0.35)
    assert widths[2] == pytest.approx(widths[0])


def test_too_few_units_have_no_interval():
    true, guess, units = made(1, speakers=4)
    assert Influence.of(true, guess, units, uar_of) is None


@pytest.mark.slow
def test_intervals_of_means_hold_the_truth():
    """Of means over three targets, in 93 to 97 % of cases."""
    truth = np.mean([uar_of_many(seed) for seed in range(2)])
    held = 0
    for trial in range(400):
        sets = []
        for place in range(3):
            true, guess, units = made(1000 + 3 * trial + place)
            names = [f"{place}-{unit}" for unit in units]
            sets.append(Influence.of(true, guess, names, uar_of))
        _, low, high = mean_of(sets)
        held += low <= truth <= high
    assert 0.92 <= held / 400 <= 0.98


def uar_of_many(seed: int) -> float:
    true, guess, _ = made(seed, speakers=20_000)
    return 100 * np.mean([(guess == true)[true == label].mean() for label in range(4)])
