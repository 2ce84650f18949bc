"""How the learning rate goes over a run."""

import math
from dataclasses import dataclass

from xser_brain.numbers import number


@dataclass(frozen=True)
class WarmupCosine:
    """Linear warm-up, then a cosine down to zero.

    Arguments
    ---------
    warmup : int
        Steps of the warm-up.

    Example
    -------
    >>> schedule = WarmupCosine(warmup=2)
    >>> [round(schedule(step, 6), 3) for step in range(7)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146, 0.0]
    """

    warmup: int = 0

    def __post_init__(self):
        number("warmup", self.warmup, whole=True)

    def __call__(self, step: int, steps: int) -> float:
        """The factor of the learning rate after ``step`` of ``steps`` steps."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, steps - self.warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
