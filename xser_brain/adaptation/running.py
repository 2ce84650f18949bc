"""Running statistics: each utterance is normalised by those before it and itself.

Nothing that comes later is waited for. While few have been heard, statistics are shrunk
towards those of training: they are always those of what has been heard together with
``SHRINKAGE`` utterances that lie as the training utterances do.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from data_prep.outside import read_json
from xser_brain.adaptation.statistics import move

SHRINKAGE = (
    3.0  # utterances; chosen by leaving training languages out, docs/protocols.md
)
SHAPE = {"training": str, "heard": int, "mean": [float], "squares": [float]}
WHAT, MEND = "what a stream has heard", "delete it to begin anew"
LARGEST = 1e30  # of what is read; more is no embedding


def with_training(
    heard: int,
    mean: np.ndarray,
    variance: np.ndarray,
    training: np.ndarray,
    shrinkage: float = SHRINKAGE,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of what was heard together with some utterances of training.

    Arguments
    ---------
    heard : int
        How many utterances.
    mean, variance : (..., width) np.ndarray
        Of these.
    training : (2, width) np.ndarray
        Mean and deviation of the training utterances.
    shrinkage : float
        How many utterances of training.

    Returns
    -------
    (..., width) np.ndarray, (..., width) np.ndarray
        Mean and deviation.

    Example
    -------
    >>> training = np.array([[0.0], [1.0]])
    >>> mean, deviation = with_training(3, np.array([4.0]), np.array([1.0]), training)
    >>> mean, (deviation**2).round(3)  # half of them about 4, half about 0
    (array([2.]), array([5.]))
    """
    all_of_them = heard + shrinkage
    share, rest = heard / all_of_them, shrinkage / all_of_them
    between = share * rest * (mean - training[0]) ** 2
    together = share * variance + rest * training[1] ** 2 + between
    return share * mean + rest * training[0], np.sqrt(together)


class RunningStatistics:
    """What a stream has heard so far, as far as normalisation needs it.

    Arguments
    ---------
    training : (2, width) np.ndarray
        Mean and deviation of the training utterances' embeddings.
    shrinkage : float
        See ``with_training``.

    Example
    -------
    >>> running = RunningStatistics(np.array([[0.0], [1.0]]))
    >>> print(*(f"{running(np.array([value]))[0]:.2f}" for value in (4, 4, 4)))
    1.55 1.14 0.94
    >>> running.heard
    3
    """

    def __init__(self, training: np.ndarray, shrinkage: float = SHRINKAGE):
        self.training = np.asarray(training, np.float64)
        self.shrinkage = shrinkage
        self.reset()

    def reset(self) -> None:
        """Forget all that has been heard."""
        self.heard = 0
        self._mean, self._squares = np.zeros((2, self.training.shape[1]))

    def __call__(self, embedding: np.ndarray) -> np.ndarray:
        """Hear an utterance, (width,), and normalise it: (width,) float32."""
        # Welford 1962: exact however many there are.
        embedding = np.asarray(embedding, np.float64)
        self.heard += 1
        off = embedding - self._mean
        self._mean = self._mean + off / self.heard
        self._squares = self._squares + off * (embedding - self._mean)
        mean, deviation = with_training(
            self.heard,
            self._mean,
            self._squares / self.heard,
            self.training,
            self.shrinkage,
        )
        return move(embedding, mean, deviation, self.training).astype(np.float32)

    def _fingerprint(self) -> str:
        return hashlib.sha256(self.training.astype("<f8").tobytes()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write what has been heard, so that another process can go on from there.

        Arguments
        ---------
        path : path
            A JSON file: counts and sums, no audio; UserError if it cannot be written.
        """
        values = {
            "training": self._fingerprint(),
            "heard": self.heard,
            "mean": self._mean.tolist(),
            "squares": self._squares.tolist(),
        }
        write_atomic(Path(path), (json.dumps(values) + "\n").encode())

    def load(self, path: str | Path) -> None:
        """Go on from what ``save`` wrote.

        Arguments
        ---------
        path : path
            The file; UserError if it is missing, damaged or of another model.
        """
        path = Path(path)
        values = read_json(path, WHAT, SHAPE, mend=MEND)
        if values["training"] != self._fingerprint():
            raise UserError(f"{path}, {WHAT}, was heard by another model: {MEND}")
        mean, squares = (np.array(values[key], float) for key in ("mean", "squares"))
        sound = mean.shape == squares.shape == self.training.shape[1:]
        sound = sound and 0 <= values["heard"] < 2**53
        if (
            not sound
            or not (np.abs([mean, squares]) < LARGEST).all()
            or min(squares) < 0
        ):
            raise UserError(f"{path}, {WHAT}, is damaged (its numbers): {MEND}")
        self.heard, self._mean, self._squares = values["heard"], mean, squares
