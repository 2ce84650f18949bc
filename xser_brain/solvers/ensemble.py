"""The mean of several classifiers, which were chosen without the target."""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from data_prep.errors import UserError
from xser_brain.inference.calibration import fit_temperature
from xser_brain.numbers import number
from xser_brain.solvers.base import Solution, Solver, Vectors
from xser_brain.solvers.nested import choose
from xser_brain.solvers.stacked import Fitted, Stacked, side_by_side


class Ensemble(Solver):
    """The best candidates of several solvers, as one linear classifier.

    All candidates are judged on training languages that they have not heard. The scores
    of the best are averaged, each divided by the temperature that makes them mean what
    they say on those languages: what is surer than it should be does not outvote others.

    Arguments
    ---------
    members : sequence of Stacked
        Whose candidates.
    size : int
        How many of the candidates are taken.

    Raises
    ------
    UserError
        If there is no member, or one of another kind.

    Example
    -------
    >>> from xser_brain.solvers import Logistic, Ridge
    >>> rng = np.random.default_rng(0)
    >>> emotions, languages = np.arange(40) % 2, np.arange(40) // 20
    >>> features = rng.normal(size=(40, 3, 4)) + emotions[:, None, None]
    >>> given = Vectors([features.astype(np.float32)], emotions, languages, ["de", "ur"], 2)
    >>> options = {"layers": ["all", [1]], "poolings": ["mean"]}
    >>> members = [Logistic(**options), Ridge(**options)]
    >>> solution = Ensemble(members, size=3).solve(given)
    >>> len(solution.choice["chosen"]), solution.vectors
    (3, [1, 2])
    """

    def __init__(self, members: Sequence[Stacked], size: int = 8):
        if not members or not all(isinstance(one, Stacked) for one in members):
            raise UserError(
                "members of an Ensemble: name at least one solver, as "
                "!new:xser_brain.solvers.Logistic"
            )
        self.members = [*members]
        self.size = number("size", size, least=1, whole=True)
        self.pooling = Stacked.pooling

    def solve(self, vectors: Vectors) -> Solution:
        """See ``Solver.solve``."""
        fitted = [Fitted(member, vectors) for member in self.members]
        candidates = [
            (one, which) for one in fitted for which in range(len(one.candidates))
        ]
        described = [
            {"solver": type(member).__name__, **candidate}
            for member, one in zip(self.members, fitted, strict=True)
            for candidate in one.candidates
        ]
        scores = {}

        def judge(language: str) -> list[float]:
            held_out = [one.held_out(language) for one in fitted]
            scores[language] = [given for each in held_out for given in each]
            return vectors.judge(language, scores[language])

        choice = choose(described, vectors.heard, judge)
        taken = choice.top(self.size)
        true = [vectors.emotions[vectors.where(language)[1]] for language in scores]
        members = []
        for number_of in taken:
            one, which = candidates[number_of]
            temperature = 1.0
            if scores:
                held_out = np.concatenate([each[number_of] for each in scores.values()])
                shares = softmax(held_out, axis=-1)
                temperature = fit_temperature(shares, np.concatenate(true))
            members.append((1.0 / temperature, one.on_all(which)))
        return side_by_side(members, choice.describe(self.size))
