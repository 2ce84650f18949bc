"""Which checkpoint of a run is kept, decided without the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.errors import UserError
from data_prep.manifest import Row
from xser_brain.evaluation.metrics import confusion_matrix, uar


@dataclass(frozen=True)
class Validation:
    """What a validation gives.

    Arguments
    ---------
    languages : sequence of str
        Names, in the order of ``language``.
    language, true : (utterances,) numpy.ndarray
        Indices of languages, and of labels.
    probabilities : (utterances, classes) numpy.ndarray
        Of the emotions.
    loss : float
        Mean cross-entropy.
    step : int
        Optimiser steps done.
    """

    languages: Sequence[str]
    language: np.ndarray
    true: np.ndarray
    probabilities: np.ndarray
    loss: float
    step: int

    def uar(self) -> dict[str, float]:
        """UAR in percent, of each language that has utterances."""
        classes, predicted = self.probabilities.shape[1], self.probabilities.argmax(-1)
        scores = {}
        for index, name in enumerate(self.languages):
            own = self.language == index
            if own.any():
                confusion = confusion_matrix(self.true[own], predicted[own], classes)
                scores[name] = float(uar(confusion))
        return scores


class Selection:
    """Keep the checkpoint of the highest score; by default the mean UAR over languages.

    Subclass it and write ``score``, and ``divide`` to judge by other utterances.
    """

    stops_early = True  # whether a run ends after ``patience`` validations without gain

    def divide(
        self, train: Sequence[Row], valid: Sequence[Row]
    ) -> tuple[list[Row], list[Row]]:
        """Decide which utterances train and which judge.

        Arguments
        ---------
        train, valid : sequence of Row
            Of the corpora trained on, by their splits.

        Returns
        -------
        list of Row, list of Row
            The same parts unless a subclass says otherwise.
        """
        return list(train), list(valid)

    def score(self, validation: Validation) -> float:
        """How good a checkpoint is.

        Arguments
        ---------
        validation : Validation
            On what ``divide`` gave to judge by.

        Returns
        -------
        float
            The higher, the better.
        """
        return float(np.mean(list(validation.uar().values())))

    def describe(self) -> str:
        """What run.json says of it."""
        return "mean UAR over training languages"


class LeftOut(Selection):
    """One training language judges; nothing is trained on it.

    Arguments
    ---------
    language : str
        ISO 639-1 code, of training corpora.
    """

    def __init__(self, language: str):
        self.language = str(language)

    def divide(self, train, valid):
        """See ``Selection.divide``: all of the language judges."""
        rows = [*train, *valid]
        judge = [row for row in rows if row.language == self.language]
        if not judge:
            there = ", ".join(sorted({row.language for row in rows}))
            raise UserError(
                f"selection: no utterance in {self.language!r} to judge by: use one of "
                f"{there}"
            )
        rest = [row for row in train if row.language != self.language]
        return rest, judge

    def describe(self):
        """See ``Selection.describe``."""
        return f"UAR on {self.language}, which is not trained on"


class LastStep(Selection):
    """No selection: the last step counts, after the whole budget."""

    stops_early = False

    def score(self, validation):
        """See ``Selection.score``."""
        return float(validation.step)

    def describe(self):
        """See ``Selection.describe``."""
        return "none: the last step"


def selection_of(value: object) -> Selection:
    """Read ``selection`` of a recipe: mean, last, ``{language: CODE}`` or an object.

    Example
    -------
    >>> selection_of({"language": "ur"}).describe()
    'UAR on ur, which is not trained on'
    """
    if isinstance(value, Selection):
        return value
    if value in ("mean", "last"):
        return Selection() if value == "mean" else LastStep()
    if isinstance(value, Mapping) and list(value) == ["language"]:
        return LeftOut(value["language"])
    raise UserError(
        f"selection is {value!r}: use mean, last, {{language: CODE}}, or an object of a "
        "subclass of xser_brain.training.selection.Selection"
    )
