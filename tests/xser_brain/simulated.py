"""Runs with known truth: the errors of seeds go together, as do those of a speaker."""

import numpy as np
from scipy.special import ndtr, ndtri

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
