"""Linear classifiers, one for each of the encoder's vectors, whose scores are averaged."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.errors import UserError
from xser_brain.encoders.pooling import FIXED
from xser_brain.numbers import number
from xser_brain.solvers.base import Solution, Solver, Vectors
from xser_brain.solvers.nested import choose

LEAST = 1e-6  # of a standard deviation


@dataclass(frozen=True)
class Fit:
    """A linear classifier of one vector, on its standardised values.

    Arguments
    ---------
    mean, scale : (width,) numpy.ndarray
        By which it is standardised.
    weights : (width, classes) numpy.ndarray
        Of the standardised vector.
    bias : (classes,) numpy.ndarray
        What is added.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray

    def scores(self, x: np.ndarray) -> np.ndarray:
        """(utterances, width) to (utterances, classes)."""
        return (x - self.mean) / self.scale @ self.weights + self.bias


@dataclass(frozen=True)
class Training:
    """One vector of all training utterances, and of their changed copies.

    Arguments
    ---------
    x : (utterances, width) float64 numpy.ndarray
        The vector.
    emotions, languages : (utterances,) numpy.ndarray
        Indices.
    weights : (utterances,) numpy.ndarray
        How much each counts.
    classes : int
        Number of labels.
    """

    x: np.ndarray
    emotions: np.ndarray
    languages: np.ndarray
    weights: np.ndarray
    classes: int

    def without(self, language: int | None) -> "Training":
        """The same without a language; all of it for None."""
        if language is None:
            return self
        kept = self.languages != language
        arrays = self.x, self.emotions, self.languages, self.weights
        return Training(*(array[kept] for array in arrays), self.classes)


# From the index of a language to leave out, or None, and a strength.
Fitter = Callable[[int | None, float], Fit]


def cell_weights(languages: np.ndarray, emotions: np.ndarray) -> np.ndarray:
    """Weights by which each cell of a language and an emotion counts as much as another.

    Arguments
    ---------
    languages, emotions : (utterances,) numpy.ndarray
        Indices.

    Returns
    -------
    (utterances,) float64 numpy.ndarray

    Example
    -------
    >>> cell_weights(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    array([0.5, 0.5, 1. , 1. ])
    """
    cells = np.stack([languages, emotions])
    _, which, counts = np.unique(cells, axis=1, return_inverse=True, return_counts=True)
    return 1.0 / counts[which.reshape(-1)]


class Stacked(Solver):
    """A classifier for each vector of the encoder; subclass it and write ``fitter``.

    The average of their scores is linear, too, so what comes out is one linear classifier
    of the vectors side by side. Which layers, which pooling and how strong a penalty it
    takes is chosen among those given by leaving out one training language after another.

    Arguments
    ---------
    layers : sequence of (str or sequence of int)
        Candidates: numbers of layers (0 is the transformer's input), or ``all`` but the
        input, ``middle`` (the one half-way up), ``last``.
    poolings : sequence of str
        Candidates: ``mean``, ``loud``, ``energy``, or ``both`` or ``all`` of them.
    strengths : sequence of float
        Candidates: of the penalty, on standardised vectors and weights that add up to 1.
    balanced : sequence of bool
        Candidates: whether each (language, emotion) cell counts as much as another,
        instead of each utterance.

    Raises
    ------
    UserError
        If a candidate makes no sense.
    """

    # Whatever is taken of them: so all such solvers share what is cached.
    pooling = "all"

    def __init__(
        self,
        layers: Sequence = ("all",),
        poolings: Sequence[str] = ("both",),
        strengths: Sequence[float] = (1.0,),
        balanced: Sequence[bool] = (True,),
    ):
        unknown = [name for name in poolings if name not in FIXED]
        if unknown or not poolings:
            raise UserError(
                f"poolings is {list(poolings)}: name some of {', '.join(FIXED)}"
            )
        if not layers or not strengths or balanced in ([], ()):
            raise UserError("name at least one of layers, of strengths and of balanced")
        self.layers, self.poolings = [*layers], [*poolings]
        self.strengths = [number("strengths", value, least=0.0) for value in strengths]
        self.balanced = [balanced] if isinstance(balanced, bool) else [*balanced]

    def fitter(self, training: Training) -> Fitter:
        """Make ready to fit one vector, with languages left out or not.

        Arguments
        ---------
        training : Training
            All utterances.

        Returns
        -------
        callable
            ``fit(language, strength) -> Fit``; strengths come from high to low.
        """
        raise NotImplementedError

    def candidates(self, vectors: Vectors) -> list[dict]:
        """All settings to choose from.

        Arguments
        ---------
        vectors : Vectors
            They say how many layers there are.

        Returns
        -------
        list of dict
            ``layers`` (list of int), ``pooling``, ``strength`` and ``balanced``.
        """
        layers = [_numbers(value, vectors.layers) for value in self.layers]
        return [
            dict(
                zip(("layers", "pooling", "strength", "balanced"), values, strict=True)
            )
            for values in itertools.product(
                layers, self.poolings, self.strengths, self.balanced
            )
        ]

    def solve(self, vectors: Vectors) -> Solution:
        """See ``Solver.solve``."""
        fitted = Fitted(self, vectors)
        choice = choose(fitted.candidates, vectors.heard, fitted.judge)
        return side_by_side([(1.0, fitted.on_all(choice.best))], choice.describe())


def side_by_side(
    members: Sequence[tuple[float, Mapping[int, Fit]]], choice: Mapping
) -> Solution:
    """The mean of members' scores, each of them the mean over its vectors, as one.

    Arguments
    ---------
    members : sequence of (float, mapping of int to Fit)
        What the scores of each are multiplied by, and its classifiers by vector.
    choice : mapping
        For the solution.

    Returns
    -------
    Solution
    """
    first = {}  # of each vector: by its mean and scale the others are told, too
    for _, fits in members:
        first = {**fits, **first}
    classes = len(next(iter(first.values())).bias)
    weights = {vector: np.zeros_like(fit.weights) for vector, fit in first.items()}
    bias = np.zeros(classes)
    for factor, fits in members:
        share = factor / len(fits) / len(members)
        for vector, fit in fits.items():
            kept = first[vector]
            weights[vector] += share * fit.weights * (kept.scale / fit.scale)[:, None]
            bias += share * fit.scores(kept.mean)
    vectors = sorted(first)
    return Solution(
        vectors,
        np.concatenate([first[vector].mean for vector in vectors]),
        np.concatenate([first[vector].scale for vector in vectors]),
        np.concatenate([weights[vector] for vector in vectors]).T,
        bias,
        choice,
    )


def _numbers(value: object, layers: int) -> list[int]:
    """The layers that a candidate names."""
    named = {
        "all": list(range(min(1, layers - 1), layers)),
        "middle": [layers // 2],
        "last": [layers - 1],
    }
    if isinstance(value, str) and value in named:
        return named[value]
    numbers = [value] if isinstance(value, int) else value
    if isinstance(numbers, str) or not all(
        isinstance(one, int) and 0 <= one < layers for one in numbers
    ):
        raise UserError(
            f"layers: {value!r} is none of this encoder's: name numbers from 0 to "
            f"{layers - 1}, {', '.join(named)}"
        )
    return list(numbers)


def _vectors(candidate: Mapping, vectors: Vectors) -> list[int]:
    """Where a candidate's vectors stand among the encoder's."""
    return [
        vectors.poolings.index(pooling) * vectors.layers + layer
        for pooling in FIXED[candidate["pooling"]]
        for layer in candidate["layers"]
    ]


class Fitted:
    """Classifiers of all vectors that some candidate uses, with languages left out.

    Arguments
    ---------
    solver : Stacked
        Whose candidates.
    vectors : Vectors
        Of the training utterances.
    """

    def __init__(self, solver: Stacked, vectors: Vectors):
        self.vectors, self.candidates = vectors, solver.candidates(vectors)
        self.used = sorted({v for c in self.candidates for v in _vectors(c, vectors)})
        views = len(vectors.views)
        emotions, languages = (
            np.tile(array, views) for array in (vectors.emotions, vectors.languages)
        )
        weights = {True: cell_weights(vectors.languages, vectors.emotions)}
        weights[False] = np.ones_like(weights[True])
        self.fitters = {
            (vector, balanced): solver.fitter(
                Training(
                    vectors.of(vector),
                    emotions,
                    languages,
                    np.tile(weights[balanced], views),
                    vectors.classes,
                )
            )
            for vector, balanced in itertools.product(self.used, solver.balanced)
        }

    def on_all(self, number: int) -> dict[int, Fit]:
        """The classifiers of a candidate by vector, fitted to all languages."""
        candidate = self.candidates[number]
        return {
            vector: self.fitters[vector, candidate["balanced"]](
                None, candidate["strength"]
            )
            for vector in _vectors(candidate, self.vectors)
        }

    def held_out(self, language: str) -> list[np.ndarray]:
        """Each candidate's scores of a language, fitted to the others.

        Arguments
        ---------
        language : str
            One that was trained on.

        Returns
        -------
        list of (utterances, classes) numpy.ndarray
        """
        index, own = self.vectors.where(language)
        scores = {}
        strengths = sorted({c["strength"] for c in self.candidates}, reverse=True)
        for (vector, balanced), fit in self.fitters.items():
            x = self.vectors.views[0][own, vector].astype(float)
            for strength in strengths:
                scores[vector, balanced, strength] = fit(index, strength).scores(x)
        return [
            np.mean(
                [
                    scores[vector, candidate["balanced"], candidate["strength"]]
                    for vector in _vectors(candidate, self.vectors)
                ],
                axis=0,
            )
            for candidate in self.candidates
        ]

    def judge(self, language: str) -> list[float]:
        """Each candidate's UAR in percent on a language, fitted to the others."""
        return self.vectors.judge(language, self.held_out(language))
