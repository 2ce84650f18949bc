"""How much unlabelled speech of the target it takes, and what a one-sided mixture costs.

Statistics are those of ``xser_brain.adaptation.running``: of some utterances heard before,
and of the utterance itself. Emotions decide only which utterances are drawn for a mixture:
that is the experiment, not the method.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from xser_brain.adaptation.linear import Linear
from xser_brain.adaptation.running import SHRINKAGE, with_training
from xser_brain.adaptation.statistics import move

HEARD = (1, 5, 10, 20, 50, 200)
MIXTURE = 50  # utterances, of which some share is of one emotion
SHARES = (25, 50, 75, 90, 100)  # percent
DRAWS, SEED = 20, 0


def heard_before(
    embeddings: np.ndarray,
    tested: np.ndarray,
    linear: Linear,
    training: np.ndarray,
    counts: Sequence[int] = HEARD,
    draws: int = DRAWS,
    seed: int = SEED,
    shrinkage: float = SHRINKAGE,
) -> dict[str, np.ndarray]:
    """Predictions after so many utterances, drawn from the target.

    An utterance that is among those that are drawn has another in its place, so that
    each is tested after as many others.

    Arguments
    ---------
    embeddings : (utterances, width) np.ndarray
        Of all recordings of the target.
    tested : (tested,) np.ndarray
        Positions of those that are scored.
    linear : Linear
        The model's classifier.
    training : (2, width) np.ndarray
        Mean and deviation of the training utterances' embeddings.
    counts : sequence of int
        Utterances heard before; left out where the target has no more than these.
    draws, seed : int
        How many draws, the same for all counts as far as they go.
    shrinkage : float
        See ``with_training``.

    Returns
    -------
    dict of str to (draws, tested) np.ndarray
        Classes, by count.
    """
    orders = [
        np.random.default_rng([seed, draw]).permutation(len(embeddings))
        for draw in range(draws)
    ]
    return {
        str(count): np.array(
            [
                _after(
                    embeddings, tested, order[:count],
                    np.full(count, order[count]), linear, training,
                    shrinkage,
                )
                for order in orders
            ]
        )
        for count in counts
        if count < len(embeddings)
    }  # fmt: skip


def mixtures(
    embeddings: np.ndarray,
    tested: np.ndarray,
    emotions: np.ndarray,
    dominant: int,
    linear: Linear,
    training: np.ndarray,
    count: int = MIXTURE,
    shares: Sequence[int] = SHARES,
    draws: int = DRAWS,
    seed: int = SEED,
) -> dict[str, np.ndarray]:
    """Predictions after utterances of which one emotion has some share.

    The others share the rest evenly. An utterance that is among those that are drawn has
    another of its emotion in its place.

    Arguments
    ---------
    embeddings, tested, linear, training, draws, seed
        See ``heard_before``.
    emotions : (tested,) np.ndarray
        Classes of those that are scored, of which alone is drawn.
    dominant : int
        The class.
    count : int
        Utterances heard before.
    shares : sequence of int
        Of the class, in percent; left out where there are too few utterances.

    Returns
    -------
    dict of str to (draws, tested) np.ndarray
        Classes, by share.
    """
    classes = np.unique(emotions)
    others = classes[classes != dominant]
    found: dict[str, list] = {}
    for share in shares:
        first = round(count * share / 100)
        for draw in range(draws):
            rng = np.random.default_rng([seed, draw])
            sizes = {dominant: first}
            # What cannot be shared evenly goes to other emotions in each draw.
            for place, emotion in enumerate(rng.permutation(others)):
                sizes[emotion] = (count - first + place) // len(others)
            drawn = _draw(tested, emotions, sizes, rng)
            if drawn is not None:
                predicted = _after(embeddings, tested, *drawn, linear, training)
                found.setdefault(str(share), []).append(predicted)
    return {x: np.array(rows) for x, rows in found.items() if len(rows) == draws}


def _draw(
    tested: np.ndarray,
    emotions: np.ndarray,
    sizes: Mapping[int, int],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray] | None:
    """So many of each emotion, and what stands in the place of each; None if too few."""
    heard, instead = [], []
    for emotion, size in sorted(sizes.items()):
        own = rng.permutation(tested[emotions == emotion])
        if len(own) <= size:
            return None
        heard.append(own[:size])
        instead.append(np.full(size, own[size]))
    return np.concatenate(heard), np.concatenate(instead)


def _after(
    embeddings: np.ndarray,
    tested: np.ndarray,
    heard: np.ndarray,
    instead: np.ndarray,
    linear: Linear,
    training: np.ndarray,
    shrinkage: float = SHRINKAGE,
) -> np.ndarray:
    """Classes of utterances, each normalised by those heard before and itself.

    Of one that is among those heard, what stands instead is the one more.
    """
    embeddings, training = embeddings.astype(np.float64), training.astype(np.float64)
    centred = embeddings - training[0]
    more = np.arange(len(embeddings))
    more[heard] = instead
    count = len(heard) + 1
    mean = (centred[heard].sum(0) + centred[more[tested]]) / count
    square = ((centred[heard] ** 2).sum(0) + centred[more[tested]] ** 2) / count
    statistics = with_training(
        count,
        mean + training[0],
        np.maximum(square - mean**2, 0),
        training,
        shrinkage,
    )
    return linear.predict(move(embeddings[tested], *statistics, training))
