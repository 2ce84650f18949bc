"""All figures of one test set: what run.json says of it, and how they are printed."""

from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.errors import UserError
from xser_brain.evaluation.intervals import FEWEST_UNITS, mean_interval
from xser_brain.evaluation.metrics import (
    Metric,
    accuracy,
    confusion_matrix,
    macro_f1,
    recalls,
    uar,
)

OWN = {"uar": uar, "macro_f1": macro_f1}  # those that always have an interval
TAKEN = (*OWN, "accuracy", "n", "recall", "confusion", "labels", "absent", "ci95",
         "ci95_speaker")  # fmt: skip


def summarise(
    true: Sequence[int],
    predicted: Sequence[int],
    speakers: Sequence[str],
    labels: Sequence[str],
    metrics: Mapping[str, Metric] | None = None,
) -> dict:
    """All that run.json says of one test set, in plain Python numbers.

    Arguments
    ---------
    true, predicted : (utterances,) Sequence[int]
        Classes, as positions in labels.
    speakers : (utterances,) Sequence[str]
        Speaker of each utterance.
    labels : (classes,) Sequence[str]
        Names of the classes.
    metrics : mapping of str to Callable, optional
        Further metrics by name, see ``check_metrics``.

    Returns
    -------
    summary : dict
        ``uar``, ``macro_f1``, ``accuracy`` and each further metric in percent (None
        where undefined); ``n``; ``recall`` by label (None for a class without
        utterances); ``confusion`` and its ``labels``; ``absent``, the labels without
        utterances; ``ci95`` and ``ci95_speaker``, the 95 % intervals over utterances
        and over speakers (``mean_interval``) of ``uar``, ``macro_f1`` and each further
        metric, None with fewer than ``FEWEST_UNITS`` of them.

    Raises
    ------
    UserError
        If there is no utterance, or a further metric is refused.

    Example
    -------
    >>> summary = summarise([0, 0, 1], [0, 1, 1], ["a", "b", "b"], ["happy", "sad"])
    >>> summary["uar"], summary["recall"], summary["absent"]
    (75.0, {'happy': 50.0, 'sad': 100.0}, [])
    """
    if len(true) == 0:
        raise UserError("no utterance to score: check the test part of the manifest")
    metrics = dict(metrics or {})
    check_metrics(metrics, len(labels))
    confusion = confusion_matrix(true, predicted, len(labels))
    figures = {**OWN, "accuracy": accuracy, **metrics}

    def intervals(clusters: Sequence[str] | None) -> dict | None:
        if len(true if clusters is None else set(clusters)) < FEWEST_UNITS:
            return None
        found = {
            name: mean_interval(
                true, predicted, metric, clusters, n_classes=len(labels)
            )
            for name, metric in {**OWN, **metrics}.items()
        }
        return {name: bounds and list(bounds) for name, bounds in found.items()}

    return {
        **{name: _number(metric(confusion)) for name, metric in figures.items()},
        "n": len(true),
        "recall": dict(zip(labels, map(_number, recalls(confusion)), strict=True)),
        "confusion": confusion.tolist(),
        "labels": list(labels),
        "absent": [
            label for label, n in zip(labels, confusion.sum(-1), strict=True) if n == 0
        ],
        "ci95": intervals(None),
        "ci95_speaker": intervals(speakers),
    }


def check_metrics(metrics: Mapping[str, Metric], n_classes: int) -> None:
    """Refuse further metrics that run.json could not hold.

    Each takes (..., classes, classes) counts and gives (...) percent, 0 to 100:
    UserError if one gives something else, or its name is taken.

    Example
    -------
    >>> check_metrics({"uar": uar}, 4)
    Traceback (most recent call last):
    data_prep.errors.UserError: a metric cannot be called uar, ...
    """
    right = np.eye(n_classes, dtype=int)
    confusions = np.random.default_rng(0).integers(1, 9, (2, 3, n_classes, n_classes))
    confusions = confusions * np.stack([1 - right, 99 * right + 1])[:, None]
    for name, metric in metrics.items():
        if name in TAKEN:
            raise UserError(
                f"a metric cannot be called {name}, as run.json has that already: "
                "choose another name"
            )
        values = np.asarray(metric(confusions), dtype=float)
        if values.shape != (2, 3):
            raise UserError(
                f"metric {name} makes {values.shape} of confusion matrices "
                f"{confusions.shape}, not (2, 3): reduce their last two axes only"
            )
        if not ((values >= 0) & (values <= 100)).all():
            raise UserError(
                f"metric {name} gives {values.min():.4g} to {values.max():.4g}: it must "
                "be in percent, 0 to 100"
            )


def shown_interval(
    figures: Mapping, metric: str = "uar"
) -> tuple[list[float] | None, str]:
    """The interval that is shown everywhere: its bounds in percent, and its unit.

    The unit is ``speakers``, or ``utterances`` where there are too few speakers.
    """
    speakers = figures.get("ci95_speaker")
    bounds = speakers or figures.get("ci95") or {}
    return bounds.get(metric), "speakers" if speakers else "utterances"


def in_words(figures: Mapping, metric: str = "uar") -> str:
    """A metric of ``summarise`` with the interval that is shown everywhere.

    Example
    -------
    >>> true, predicted = [0, 1] * 30, [0, 1, 1, 1, 0, 0] * 10
    >>> in_words(summarise(true, predicted, ["a"] * 60, ["happy", "sad"]))
    '66.7 % (95 % interval over utterances 53.3-77.8)'
    """
    text = f"{figures[metric]:.1f} %"
    bounds, unit = shown_interval(figures, metric)
    if bounds is None:
        return text
    return f"{text} (95 % interval over {unit} {bounds[0]:.1f}-{bounds[1]:.1f})"


def _number(value: np.ndarray) -> float | None:
    """None in place of nan, which JSON lacks."""
    return None if np.isnan(value) else float(value)
