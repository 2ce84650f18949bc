"""The trained parts of a run as one module: waveforms in, calibrated probabilities out."""

import copy

import numpy as np
import torch
from torch import nn

from xser_brain.encoders import Encoder


class EmotionModel(nn.Module):
    """Encoder, head and classifier of a run.

    Arguments
    ---------
    encoder : Encoder
        As the run trained it.
    head : EmbeddingHead or StackedHead
        From the encoder's vectors to the embedding.
    classifier : torch.nn.Linear
        From the embedding to the logits of the labels.
    temperature : float
        What the logits are divided by (Guo et al. 2017).
    statistics : (2, width) torch.Tensor, optional
        Mean and standard deviation of training embeddings.

    Example
    -------
    >>> from xser_brain.encoders.ecapa import ECAPAEncoder
    >>> from xser_brain.head import EmbeddingHead
    >>> encoder = ECAPAEncoder(width=8, n_mels=20, channels=8).eval()
    >>> model = EmotionModel(encoder, EmbeddingHead(1, 8), nn.Linear(8, 4))
    >>> model(torch.rand(2, 9000), torch.tensor([9000, 7000])).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Module,
        classifier: nn.Linear,
        temperature: float = 1.0,
        statistics: torch.Tensor | None = None,
    ):
        super().__init__()
        self.encoder, self.head, self.classifier = encoder, head, classifier
        self.temperature = temperature
        self.register_buffer("statistics", statistics)

    def embed(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Embed (batch, samples) waveforms, padded at the end: (batch, width)."""
        return self.head(self.encoder(waveforms, lengths))

    def classify(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Calibrated log-probabilities of embeddings: (..., labels) float32."""
        logits = self.classifier(embeddings).float()
        return (logits / self.temperature).log_softmax(-1)

    def with_classifier(self, weight: np.ndarray, bias: np.ndarray) -> "EmotionModel":
        """The same model with another linear classifier, already calibrated.

        Arguments
        ---------
        weight : (labels, width) numpy.ndarray
            From embeddings to logits.
        bias : (labels,) numpy.ndarray
            The same.

        Returns
        -------
        EmotionModel
            Which shares the encoder and the head with this one.
        """
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.classifier = copy.deepcopy(self.classifier)
        other.temperature = 1.0
        other.classifier.weight.data.copy_(torch.from_numpy(weight))
        other.classifier.bias.data.copy_(torch.from_numpy(bias))
        return other

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """From waveforms to calibrated log-probabilities; see ``embed``."""
        return self.classify(self.embed(waveforms, lengths))

    def trained(self) -> dict[str, torch.Tensor]:
        """All weights by name, but those of a pretrained encoder that did not train."""
        encoder = self.encoder.trained_state()
        rest = {k: v for k, v in self.state_dict().items() if k[:8] != "encoder."}
        return {**{f"encoder.{name}": value for name, value in encoder.items()}, **rest}
