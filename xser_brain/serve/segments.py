"""A long recording as the parts that its windows agree on."""

from dataclasses import dataclass

from xser_brain.inference import Result
from xser_brain.inference.recordings import Windows
from xser_brain.inference.results import UNSURE

LEAST = Windows.seconds  # of an emotion that counts: what one window hears


@dataclass(frozen=True)
class Segment:
    """Neighbouring windows with one answer.

    Arguments
    ---------
    start, end : float
        Seconds; from the middle between two windows to the next.
    emotion : str
        The answer, which may be ``unsure``.
    probability : float
        Of the most probable emotion, the mean over its windows.
    """

    start: float
    end: float
    emotion: str
    probability: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


def segments(result: Result) -> list[Segment]:
    """Put neighbouring windows together that have the same answer.

    Arguments
    ---------
    result : Result
        With a time line.

    Returns
    -------
    list of Segment
        From the recording's beginning to its end; none without a time line.

    Example
    -------
    >>> sad, angry = ({"sad": p, "angry": 1 - p} for p in (0.75, 0.25))
    >>> windows = [
    ...     Result("a", 0.0, 6.0, "sad", "sad", sad),
    ...     Result("a", 3.0, 9.0, "sad", "sad", sad),
    ...     Result("a", 6.0, 12.0, "angry", "angry", angry),
    ... ]
    >>> whole = Result("a", 0.0, 12.0, "sad", "sad", sad, tuple(windows))
    >>> [(s.start, s.end, s.emotion, s.probability) for s in segments(whole)]
    [(0.0, 7.5, 'sad', 0.75), (7.5, 12.0, 'angry', 0.75)]
    """
    windows = result.timeline
    middles = [(window.start + window.end) / 2 for window in windows]
    inner = [(a + b) / 2 for a, b in zip(middles, middles[1:], strict=False)]
    bounds = [0.0, *inner, result.end]
    found: list[Segment] = []
    counts: list[int] = []
    for window, start, end in zip(windows, bounds, bounds[1:], strict=False):
        probability = window.probabilities[window.predicted]
        if found and found[-1].emotion == window.emotion:
            last, n = found[-1], counts[-1]
            mean = (n * last.probability + probability) / (n + 1)
            found[-1] = Segment(last.start, end, last.emotion, mean)
            counts[-1] += 1
        else:
            found.append(Segment(start, end, window.emotion, probability))
            counts.append(1)
    return found


def shares(parts: list[Segment]) -> dict[str, float]:
    """How much of the time has each answer, most first."""
    total = sum(part.seconds for part in parts)
    found: dict[str, float] = {}
    for part in parts:
        found[part.emotion] = found.get(part.emotion, 0.0) + part.seconds / total
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def changes(parts: list[Segment]) -> list[str]:
    """The emotions of a mixed recording, in the order in which they come.

    One counts if it is heard for ``LEAST`` seconds in all; with fewer than two of them a
    recording is not mixed.

    Arguments
    ---------
    parts : list of Segment
        From ``segments``.

    Returns
    -------
    list of str
        Empty if it is not mixed.
    """
    seconds: dict[str, float] = {}
    for part in parts:
        if part.emotion != UNSURE:
            seconds[part.emotion] = seconds.get(part.emotion, 0.0) + part.seconds
    found = [emotion for emotion, heard in seconds.items() if heard >= LEAST]
    return found if len(found) > 1 else []
