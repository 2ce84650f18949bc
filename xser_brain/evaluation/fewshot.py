"""Few-shot: a run's classifier fitted anew to utterances of speakers who are not tested."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from xser_brain.adaptation import FEW_SHOT
from xser_brain.adaptation.few_shot import STRENGTH, refit
from xser_brain.adaptation.linear import Linear
from xser_brain.adaptation.unlabelled import require_statistics
from xser_brain.evaluation import embeddings as kept
from xser_brain.evaluation.curve import Curve
from xser_brain.evaluation.finished import Finished
from xser_brain.inference.loading import load

NAME = "fewshot.json"
SCHEMA = 1
SHOTS = (1, 2, 5, 10, 20)  # labelled utterances of each emotion
DRAWS, SEED = 20, 0
TRIES = 200  # of a division of the speakers that leaves enough on both sides


def score_run(
    folder: str | Path,
    shots: Sequence[int] = SHOTS,
    draws: int = DRAWS,
    seed: int = SEED,
    encoder_source: str | None = None,
) -> Curve:
    """Score a run after a few labelled utterances, and write ``fewshot.json``.

    In each draw the speakers are halved at random; each half is tested after utterances of
    the other. No audio is needed: the embeddings are those that the run has kept.

    Arguments
    ---------
    folder : path
        A finished zero-shot run with its ``model/`` and ``embeddings.npz``.
    shots : sequence of int
        Labelled utterances of each emotion; those of which a half has too few are left
        out.
    draws, seed : int
        How many draws.
    encoder_source : str, optional
        Where the pretrained encoder is, if it has moved since training.

    Returns
    -------
    Curve
        By shots; what is written are its points, and what it was made by.

    Raises
    ------
    UserError
        If the run is not finished, was trained on the target, kept no embeddings of it, or
        the target does not tell who speaks.
    """
    run = Finished.read(folder)
    if not all(run.speakers) or len(set(run.speakers)) < 2:
        raise UserError(
            f"{run.target} does not tell who speaks, or has one speaker: few-shot is "
            "scored on speakers other than those who are labelled"
        )
    model, _ = load(run.folder / "model", encoder_source)
    require_statistics(model.statistics)
    embeddings = _embeddings(run, model.classifier.in_features)
    linear, training = Linear.of(model), model.statistics.numpy()
    true = run.classes()
    predicted = after_shots(
        embeddings, true, run.speakers, linear, training, shots, draws, seed
    )
    curve = Curve(
        FEW_SHOT,
        [row["ID"] for row in run.rows],
        run.speakers,
        true,
        run.classes("predicted")[None],
        {str(k): rows[None] for k, rows in predicted.items()},
        len(run.labels),
    )
    written = {
        "schema": SCHEMA,
        "protocol": FEW_SHOT,
        **run.about(),
        "draws": draws,
        "draw_seed": seed,
        "strength": STRENGTH,
        "strict": curve.without(),
        "points": [
            {
                "labelled_per_emotion": int(k),
                "labelled": int(k) * len(np.unique(true)),
                **point,
            }
            for k, point in curve.points().items()
        ],
    }
    text = json.dumps(written, indent=1) + "\n"
    write_atomic(run.folder / NAME, text.encode())
    return curve


def after_shots(
    embeddings: np.ndarray,
    true: np.ndarray,
    speakers: Sequence[str],
    linear: Linear,
    training: np.ndarray,
    shots: Sequence[int] = SHOTS,
    draws: int = DRAWS,
    seed: int = SEED,
    strength: float = STRENGTH,
) -> dict[int, np.ndarray]:
    """Predictions after labelled utterances of speakers who are not tested.

    Arguments
    ---------
    embeddings : (utterances, width) np.ndarray
        Of the target.
    true : (utterances,) np.ndarray
        Classes.
    speakers : (utterances,) sequence of str
        Of each.
    linear : Linear
        The model's classifier.
    training : (2, width) np.ndarray
        Mean and deviation of the training utterances' embeddings.
    shots : sequence of int
        Labelled utterances of each class; left out where a half has too few.
    draws, seed : int
        How many draws.
    strength : float
        See ``refit``.

    Returns
    -------
    dict of int to (draws, utterances) np.ndarray
        Classes, by shots.
    """
    predicted: dict[int, list] = {k: [] for k in shots}
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        half = divide(speakers, true, max(shots), rng)
        found = {k: np.empty_like(true) for k in shots}
        for tested in (half, ~half):
            pools = [
                rng.permutation(np.flatnonzero(~tested & (true == emotion)))
                for emotion in np.unique(true)
            ]
            for k in [k for k in found if min(map(len, pools)) < k]:
                del found[k]
            for k, classes in found.items():
                chosen = np.concatenate([pool[:k] for pool in pools])
                adapted = refit(
                    linear, embeddings[chosen], true[chosen], training, strength
                )
                classes[tested] = adapted.predict(embeddings[tested])
        for k, classes in found.items():
            predicted[k].append(classes)
    return {k: np.array(rows) for k, rows in predicted.items() if len(rows) == draws}


def divide(
    speakers: Sequence[str], true: np.ndarray, least: int, rng: np.random.Generator
) -> np.ndarray:
    """Halve the speakers at random, with so many utterances of each emotion in each half.

    Arguments
    ---------
    speakers : (utterances,) sequence of str
        Of each.
    true : (utterances,) np.ndarray
        Classes.
    least : int
        Utterances of each class in each half; if no division is found, the best one.
    rng : np.random.Generator
        For the draws.

    Returns
    -------
    (utterances,) bool np.ndarray
        Whose speakers are in the first half.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> half = divide(list("aabbccdd"), np.array([0, 1] * 4), 2, rng)
    >>> print(half.sum(), half.reshape(4, 2).all(1).sum())
    4 2
    """
    names, index = np.unique(speakers, return_inverse=True)
    best, most = None, -1
    for _ in range(TRIES):
        half = np.isin(index, rng.permutation(len(names))[: len(names) // 2])
        fewest = min(
            np.bincount(true[side], minlength=true.max() + 1)[np.unique(true)].min()
            for side in (half, ~half)
        )
        if fewest > most:
            best, most = half, fewest
        if most >= least:
            break
    return best


def _embeddings(run: Finished, width: int) -> np.ndarray:
    """Of the utterances that were scored, in their order."""
    found = kept.of_part(run.folder, "target", width)
    missing = [row["ID"] for row in run.rows if row["ID"] not in found]
    if missing:
        path = run.folder / kept.NAME
        raise UserError(f"{path} lacks {missing[0]}, which was scored: {kept.AGAIN}")
    return np.array([found[row["ID"]][1] for row in run.rows])
