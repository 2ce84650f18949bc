"""Settings chosen without the target: one training language after another is left out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

HOW = "mean UAR over training languages, each left out in turn"


@dataclass(frozen=True)
class Choice:
    """Which of some candidates did best on languages that were left out.

    Arguments
    ---------
    candidates : sequence of mapping
        Settings by name.
    languages : sequence of str
        The languages left out.
    scores : (candidates, languages) numpy.ndarray
        UAR in percent.
    """

    candidates: Sequence[Mapping]
    languages: Sequence[str]
    scores: np.ndarray

    @property
    def best(self) -> int:
        """The first of those with the highest mean; the first of all without scores."""
        return self.top(1)[0]

    def top(self, count: int) -> list[int]:
        """So many with the highest means, the first of equals first."""
        if not self.scores.size:
            return [*range(min(count, len(self.candidates)))]
        return np.argsort(-self.scores.mean(1), kind="stable")[:count].tolist()

    def describe(self, count: int | None = None) -> dict:
        """What run.json says of it, if the best or so many of the best are taken."""
        judged = self.scores.size > 0
        chosen = [dict(self.candidates[which]) for which in self.top(count or 1)]
        return {
            "by": HOW
            if judged
            else "the first candidate: one language cannot be left out",
            "chosen": chosen[0] if count is None else chosen,
            "candidates": [
                {
                    **candidate,
                    "uar": dict(zip(self.languages, map(float, scores), strict=True)),
                    "mean": float(scores.mean()) if judged else math.nan,
                }
                for candidate, scores in zip(self.candidates, self.scores, strict=True)
            ]
            if judged
            else [],
        }


def choose(
    candidates: Sequence[Mapping],
    languages: Sequence[str],
    judge: Callable[[str], Sequence[float]],
) -> Choice:
    """Judge candidates on each training language, of which they know nothing.

    Arguments
    ---------
    candidates : sequence of mapping
        Settings by name; the first is the default.
    languages : sequence of str
        Of the training utterances.
    judge : callable
        From a language to each candidate's UAR in percent on it, when it is fitted to
        the others.

    Returns
    -------
    Choice

    Example
    -------
    >>> scores = {"de": [50.0, 60.0], "ur": [40.0, 38.0]}
    >>> choice = choose([{"strength": 1}, {"strength": 3}], ["de", "ur"], scores.get)
    >>> choice.describe()["chosen"]
    {'strength': 3}
    """
    if len(candidates) < 2 or len(languages) < 2:
        return Choice(candidates, [], np.zeros((len(candidates), 0)))
    scores = [judge(language) for language in languages]
    return Choice(candidates, languages, np.array(scores, float).T)
