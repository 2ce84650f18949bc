"""What a solver is given, and what it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from xser_brain.encoders.pooling import POOLINGS
from xser_brain.evaluation.metrics import confusion_matrix, uar


@dataclass(frozen=True)
class Vectors:
    """What a frozen encoder makes of the training utterances.

    Arguments
    ---------
    views : sequence of (utterances, vectors, width) float32 numpy.ndarray
        The first of the recordings as they are, the others of changed copies.
    emotions, languages : (utterances,) numpy.ndarray
        Indices.
    names : sequence of str
        Of the languages.
    classes : int
        Number of labels.
    poolings : sequence of str
        Each has the vectors of all layers, in this order.
    """

    views: Sequence[np.ndarray]
    emotions: np.ndarray
    languages: np.ndarray
    names: Sequence[str]
    classes: int
    poolings: Sequence[str] = ("mean",)

    @property
    def layers(self) -> int:
        """Of the encoder, its input included."""
        return self.views[0].shape[1] // len(self.poolings)

    @property
    def heard(self) -> list[str]:
        """The languages that there are utterances of."""
        there = set(self.languages.tolist())
        return [name for index, name in enumerate(self.names) if index in there]

    def where(self, language: str) -> tuple[int, np.ndarray]:
        """A language's index, and (utterances,) whether each is of it."""
        index = [*self.names].index(language)
        return index, self.languages == index

    def judge(self, language: str, scores: Sequence[np.ndarray]) -> list[float]:
        """UAR in percent of each of some (utterances, classes) scores of a language."""
        true = self.emotions[self.where(language)[1]]
        return [
            float(uar(confusion_matrix(true, given.argmax(1), self.classes)))
            for given in scores
        ]

    def of(self, vector: int) -> np.ndarray:
        """One vector of all views: (views * utterances, width) float64."""
        return np.concatenate([view[:, vector] for view in self.views]).astype(float)


@dataclass(frozen=True)
class Solution:
    """A head, a classifier, and how they were chosen.

    Arguments
    ---------
    vectors : sequence of int
        Those of the encoder's that are used, side by side.
    mean, scale : (vectors * width,) numpy.ndarray
        By which the embedding is standardised.
    weights : (classes, vectors * width) numpy.ndarray
        Of the classifier.
    bias : (classes,) numpy.ndarray
        Of the classifier.
    choice : mapping
        For run.json: what was chosen among what.
    """

    vectors: Sequence[int]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    choice: Mapping = field(default_factory=dict)


class Solver:
    """Computes a head and a classifier at once; subclass it and write ``solve``.

    Attributes
    ----------
    pooling : str
        What it needs of the encoder, see ``Encoder``.
    """

    pooling: str = next(iter(POOLINGS))

    def solve(self, vectors: Vectors) -> Solution:
        """Fit the training utterances.

        Arguments
        ---------
        vectors : Vectors
            Nothing but training utterances.

        Returns
        -------
        Solution
        """
        raise NotImplementedError
