"""The linear classifier over a model's embeddings, as adaptation sees and refits it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from xser_brain.inference.model import EmotionModel


@dataclass(frozen=True)
class Linear:
    """A calibrated linear classifier, in float64.

    Arguments
    ---------
    weight : (classes, width) np.ndarray
        Already divided by the temperature.
    bias : (classes,) np.ndarray
        The same.

    Example
    -------
    >>> linear = Linear(np.eye(2), np.zeros(2))
    >>> np.exp(linear.log_posteriors(np.array([[1.0, 1.0]])))
    array([[0.5, 0.5]])
    """

    weight: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, model: "EmotionModel") -> "Linear":
        """That of a model."""
        weight, bias = (
            tensor.detach().cpu().double().numpy() / model.temperature
            for tensor in (model.classifier.weight, model.classifier.bias)
        )
        return cls(weight, bias)

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """(..., width) to (..., classes)."""
        return embeddings @ self.weight.T + self.bias

    def log_posteriors(self, embeddings: np.ndarray) -> np.ndarray:
        """(..., width) to (..., classes)."""
        from scipy.special import log_softmax  # slow to import

        return log_softmax(self.logits(embeddings), axis=-1)

    def predict(self, embeddings: np.ndarray) -> np.ndarray:
        """(..., width) to (...) classes."""
        return self.logits(embeddings).argmax(-1)
