"""How another protocol does as it is given more of the target, beside strict zero-shot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_prep.errors import UserError
from xser_brain.evaluation.intervals import FEWEST_UNITS, mean_interval
from xser_brain.evaluation.metrics import confusion_matrix, uar
from xser_brain.evaluation.significance import Comparison, compare


@dataclass(frozen=True)
class Curve:
    """What was predicted of the same utterances under a protocol, point by point.

    Arguments
    ---------
    protocol : str
        What is drawn; results of strict zero-shot stand beside it, in ``strict``.
    ids, speakers : (utterances,) sequence of str
        Of the utterances.
    true : (utterances,) np.ndarray
        Classes.
    strict : (runs, utterances) np.ndarray
        As the runs themselves predicted.
    predicted : mapping of str to (runs, draws, utterances) np.ndarray
        By point, as ``10``, in their order.
    n_classes : int
        Number of labels.
    """

    protocol: str
    ids: Sequence[str]
    speakers: Sequence[str]
    true: np.ndarray
    strict: np.ndarray
    predicted: Mapping[str, np.ndarray]
    n_classes: int

    def joined(self, *others: "Curve") -> "Curve":
        """With those of other seeds: what all of them have; UserError if they differ."""
        curves = [self, *others]
        for curve in others:
            if list(curve.ids) != list(self.ids) or (curve.true != self.true).any():
                raise UserError(
                    "runs of one system tested other utterances: give them one by one"
                )
        points = [x for x in self.predicted if all(x in c.predicted for c in others)]
        return replace(
            self,
            strict=np.concatenate([curve.strict for curve in curves]),
            predicted={
                x: np.concatenate([curve.predicted[x] for curve in curves])
                for x in points
            },
        )

    def points(self) -> dict[str, dict]:
        """The figures of each point, in percent: as ``figures`` gives them."""
        return {
            x: figures(self.true, self.strict, after, self.speakers, self.n_classes)
            for x, after in self.predicted.items()
        }

    def without(self) -> dict:
        """The same figures of strict zero-shot, which gains nothing on itself."""
        found = figures(
            self.true, self.strict, self.strict[:, None], self.speakers, self.n_classes
        )
        del found["gain"]
        return found


def figures(
    true: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    speakers: Sequence[str],
    n_classes: int,
) -> dict:
    """Means over runs and draws, with intervals, and the paired gain.

    Arguments
    ---------
    true : (utterances,) np.ndarray
        Classes.
    before : (runs, utterances) np.ndarray
        As predicted strictly.
    after : (runs, draws, utterances) np.ndarray
        As predicted under the other protocol.
    speakers : (utterances,) sequence of str
        Of the utterances.
    n_classes : int
        Number of labels.

    Returns
    -------
    dict
        ``uar``, ``sd`` (over runs and draws; None of one), ``ci95`` and ``ci95_speaker``
        as in run.json, ``draws``, ``n``, and ``gain``, see there.
    """
    flat = after.reshape(-1, after.shape[-1])
    scores = uar(confusion_matrix(true, flat, n_classes))

    def interval(clusters: Sequence[str] | None) -> dict | None:
        if len(true if clusters is None else set(clusters)) < FEWEST_UNITS:
            return None
        bounds = mean_interval(true, flat, uar, clusters, n_classes=n_classes)
        return {"uar": bounds and list(bounds)}

    return {
        "uar": float(scores.mean()),
        "sd": float(scores.std(ddof=1)) if len(scores) > 1 else None,
        "draws": len(scores),
        "n": len(true),
        "ci95": interval(None),
        "ci95_speaker": interval(speakers),
        "gain": gain(true, np.repeat(before, after.shape[1], 0), flat, speakers),
    }


def gain(
    true: np.ndarray, before: np.ndarray, after: np.ndarray, speakers: Sequence[str]
) -> dict:
    """By how much UAR rises, in points: ``uar``, ``ci95`` and ``ci95_speaker``.

    ``before`` and ``after`` are (utterances,), or (draws, utterances) of which the means
    are compared. The paired intervals are over utterances and over speakers; None with
    too few of them.

    Example
    -------
    >>> true = np.array([0, 0, 1, 1])
    >>> gain(true, np.array([0, 1, 1, 0]), true, list("abab"))["uar"]
    50.0
    """
    utterances, voices = (
        compare(true, after, before, uar, clusters, samples=0)
        for clusters in (None, speakers)
    )
    return {
        "uar": utterances.difference,
        "ci95": _bounds(utterances),
        "ci95_speaker": _bounds(voices),
    }


def _bounds(comparison: Comparison) -> list[float] | None:
    return None if comparison.low is None else [comparison.low, comparison.high]
