"""How much of speaker and language can still be read from embeddings.

A linear probe (Alain & Bengio, "Understanding intermediate layers using linear classifier
probes", 2016): what it finds is there; what it does not find may still be there. Where a
language has one corpus, the language probe may go by its room and microphone.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from xser_brain.evaluation import embeddings
from xser_brain.evaluation.metrics import confusion_matrix, uar

FOLDS = 5
MOST = 1000  # utterances of one probe
PENALTIES = np.logspace(-1, 4, 6)


def balanced_sample(labels: Sequence[Hashable], most: int, seed: int = 0) -> np.ndarray:
    """Draw at most ``most`` items, as many of each class as possible: sorted indices.

    A class too small for its share is taken whole; the others share what it leaves.

    Example
    -------
    >>> np.isin([2, 9], balanced_sample("aabaaaaaab", most=4)).tolist()
    [True, True]
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    before: Counter = Counter()
    turns = []
    for index in order:
        turns.append(before[labels[index]])
        before[labels[index]] += 1
    return np.sort(order[np.argsort(turns, kind="stable")][:most])


def probe(
    features: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    folds: int = FOLDS,
) -> float:
    """Cross-validated balanced accuracy of a linear classifier, in percent.

    Ridge regression onto the classes, from standardised features; its penalty is
    chosen within the training part of each fold.

    Arguments
    ---------
    features : (utterances, width) numpy.ndarray
        Embeddings.
    labels : (utterances,) numpy.ndarray
        What to read from them.
    groups : (utterances,) numpy.ndarray, optional
        What must not be on both sides of a fold, as speakers.
    folds : int
        Number of folds.

    Example
    -------
    >>> labels = np.arange(40) % 2
    >>> probe(np.stack([labels, np.cos(np.arange(40))], 1), labels)
    100.0
    """
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.model_selection import (
        StratifiedGroupKFold,
        StratifiedKFold,
        cross_val_predict,
    )
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    split = StratifiedKFold if groups is None else StratifiedGroupKFold
    classes, label = np.unique(labels, return_inverse=True)
    predicted = cross_val_predict(
        make_pipeline(StandardScaler(), RidgeClassifierCV(PENALTIES)),
        np.asarray(features, np.float64),
        label,
        groups=groups,
        cv=split(folds, shuffle=True, random_state=0),
    )
    return float(uar(confusion_matrix(label, predicted, len(classes))))


def probe_run(arrays: Mapping[str, np.ndarray]) -> list[dict]:
    """Read speaker and language from one run's embeddings.

    Only utterances of the training languages count. Speakers are classified within
    their language; a language is read from speakers that the probe was not trained on.

    Arguments
    ---------
    arrays : mapping
        From ``xser_brain.evaluation.embeddings.load``.

    Returns
    -------
    list of dict
        ``probe`` (``language`` or ``speaker``), ``within`` (the language of the
        speakers, or None), ``accuracy`` (balanced) and ``chance`` in percent,
        ``classes`` and ``n`` (utterances). What has but one class is left out, and so
        are speakers of fewer than ``FOLDS`` utterances.
    """
    usable = np.isin(arrays["part"], ["train", "valid"]) & (arrays["speaker"] != "")
    _, once = np.unique(arrays["ids"][usable], return_index=True)
    features, language, speaker = (
        arrays[name][usable][once] for name in ("embeddings", "language", "speaker")
    )
    languages = np.unique(language).tolist()
    rows = []
    speakers = [len(np.unique(speaker[language == name])) for name in languages]
    folds = min([FOLDS, *speakers])
    if len(languages) > 1 and folds > 1:
        chosen = balanced_sample(language, MOST)
        accuracy = probe(features[chosen], language[chosen], speaker[chosen], folds)
        rows.append(_row("language", None, accuracy, len(languages), len(chosen)))
    counts = Counter(speaker.tolist())
    often = np.array([counts[name] >= FOLDS for name in speaker.tolist()], bool)
    for name in languages:
        own = np.flatnonzero((language == name) & often)
        own = own[balanced_sample(speaker[own], MOST)]
        classes = len(np.unique(speaker[own]))
        if classes > 1:
            accuracy = probe(features[own], speaker[own])
            rows.append(_row("speaker", name, accuracy, classes, len(own)))
    return rows


def _row(name: str, within: str | None, accuracy: float, classes: int, n: int) -> dict:
    return {
        "probe": name,
        "within": within,
        "accuracy": accuracy,
        "chance": 100 / classes,
        "classes": classes,
        "n": n,
    }


def probe_rows(runs: Sequence[dict]) -> list[dict]:
    """Probe all runs that kept embeddings.

    As ``probe_run``, with ``system``, ``zero_shot`` and ``seed`` in each row.
    """
    rows = []
    for run in runs:
        arrays = embeddings.load(run["folder"])
        if arrays is not None:
            about = {key: run[key] for key in ("system", "zero_shot", "seed")}
            rows += [{**about, **row} for row in probe_run(arrays)]
    return rows
