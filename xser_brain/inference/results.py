"""The result of a recording."""

from dataclasses import asdict, dataclass

import numpy as np

from xser_brain.adaptation import STRICT

UNSURE = "unsure"
OPTIONAL = ("timeline", "error", "model")


@dataclass(frozen=True)
class Result:
    """The emotion of a recording, or of a part of it.

    Arguments
    ---------
    path : str
        The file, or a name for samples that have none.
    start, end : float
        Seconds.
    emotion : str
        As ``predicted``, or ``unsure`` if that is less probable than the threshold.
    predicted : str
        The most probable emotion; empty if there is an error.
    probabilities : dict of str to float
        Calibrated, by emotion.
    timeline : tuple of Result
        Overlapping windows of the recording, if asked for or if it is long.
    error : str
        Why there is no result; empty if there is one.
    protocol : str
        ``zero-shot``, or what else was used: see ``xser_brain.adaptation``.
    model : str
        ``NAME@COMMIT`` of a model of the hub; empty for one of a folder.
    """

    path: str
    start: float
    end: float
    emotion: str
    predicted: str
    probabilities: dict[str, float]
    timeline: tuple["Result", ...] = ()
    error: str = ""
    protocol: str = STRICT
    model: str = ""

    def to_dict(self) -> dict:
        """All of it as plain data, the time line only if there is one."""
        values = asdict(self)
        for part in values["timeline"]:
            for key in ("path", "timeline", "error", "protocol", "model"):
                del part[key]
        return {k: v for k, v in values.items() if v or k not in OPTIONAL}


@dataclass(frozen=True)
class Embedding:
    """The embedding of a recording, or of a part of it.

    Arguments
    ---------
    path : str
        The file, or a name for samples that have none.
    start, end : float
        Seconds.
    vector : (width,) float32 numpy.ndarray, optional
        Of a recording of over 30 s the mean over its windows; None if there is an error.
    timeline : tuple of Embedding
        Overlapping windows of the recording, if asked for or if it is long.
    error : str
        Why there is no embedding; empty if there is one.
    """

    path: str
    start: float
    end: float
    vector: np.ndarray | None = None
    timeline: tuple["Embedding", ...] = ()
    error: str = ""
