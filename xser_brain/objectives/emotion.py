"""The emotion classifier's own loss (Mi, Ma & Toda 2026, section 2.4)."""

import torch
from torch.nn import functional

from xser_brain.numbers import number
from xser_brain.objectives.base import Heard, Objective


class CrossEntropy(Objective):
    """Cross-entropy of the emotions, in fp32; of soft labels where there are some.

    Arguments
    ---------
    label_smoothing : float
        Share of each label that is spread over all classes; not in the paper.
    **options
        See ``Objective``.

    Example
    -------
    >>> CrossEntropy().weight
    1.0
    """

    def __init__(self, label_smoothing: float = 0.0, **options):
        super().__init__(**options)
        self.label_smoothing = number("label_smoothing", label_smoothing)

    def forward(self, heard: Heard, progress: float) -> torch.Tensor:
        """See ``Objective.forward``."""
        targets = heard.emotions if heard.targets is None else heard.targets
        return functional.cross_entropy(
            heard.logits.float(), targets, label_smoothing=self.label_smoothing
        )
