"""What changes training data on the way: waveforms before the encoder, or embeddings."""

import numpy as np
import torch
from torch import nn

from xser_brain.numbers import number


class WaveformTransform:
    """Changes a training utterance before the encoder; write ``__call__`` to subclass.

    Where features are cached, ``views`` changed copies of each training utterance are
    kept beside the unchanged one, and training draws one of all of them each time. The
    class, its arguments and the copy's number are part of the cache's key.

    Arguments
    ---------
    views : int
        Changed copies of each training utterance.
    """

    def __init__(self, views: int = 1):
        self.views = number("views", views, least=1, whole=True)

    @property
    def settings(self) -> str:
        """What decides on what it does."""
        return f"{type(self).__module__}.{type(self).__qualname__} {vars(self)}"

    def __call__(self, waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change an utterance.

        Arguments
        ---------
        waveform : (samples,) float32 numpy.ndarray
            16 kHz mono; not to be changed in place.
        rng : numpy.random.Generator
            The only source of chance.

        Returns
        -------
        (samples,) float32 numpy.ndarray
            Of any length.
        """
        raise NotImplementedError


class Noise(WaveformTransform):
    """White noise at a random signal-to-noise ratio.

    Arguments
    ---------
    least, most : float
        The range of the ratio, in dB.
    **options
        See ``WaveformTransform``.

    Example
    -------
    >>> noisy = Noise(20, 20)(np.ones(16000, np.float32), np.random.default_rng(0))
    >>> round(float(np.std(noisy)), 2)
    0.1
    """

    def __init__(self, least: float = 10.0, most: float = 40.0, **options):
        super().__init__(**options)
        self.least = number("least", least, least=-100)
        self.most = number("most", most, least=self.least)

    def __call__(self, waveform, rng):
        """See ``WaveformTransform.__call__``."""
        level = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))
        ratio = 10 ** (-rng.uniform(self.least, self.most) / 20)
        noise = rng.standard_normal(len(waveform), dtype=np.float32)
        return waveform + np.float32(level * ratio) * noise


class EmbeddingTransform(nn.Module):
    """Changes the embeddings of a training batch before the emotion classifier."""

    def forward(
        self, embeddings: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Change a batch.

        Arguments
        ---------
        embeddings : (batch, width) torch.Tensor
            Utterance embeddings.
        targets : (batch, classes) torch.Tensor
            One-hot.

        Returns
        -------
        (batch, width) torch.Tensor
        (batch, classes) torch.Tensor
        """
        raise NotImplementedError


class Mixup(EmbeddingTransform):
    """Each embedding is mixed with another of its batch, and so are their labels.

    Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018; of hidden
    representations: Verma et al., "Manifold mixup", ICML 2019.

    Arguments
    ---------
    alpha : float
        The share of the other is drawn from Beta(alpha, alpha), once for each batch.

    Example
    -------
    >>> mixed, targets = Mixup()(torch.rand(4, 8), torch.eye(4))
    >>> targets.sum(1)
    tensor([1., 1., 1., 1.])
    """

    def __init__(self, alpha: float = 0.2):
        super().__init__()
        self.alpha = number("mixup's alpha", alpha, least=1e-6)

    def forward(self, embeddings, targets):
        """See ``EmbeddingTransform.forward``."""
        share = torch.distributions.Beta(self.alpha, self.alpha).sample()
        share = share.to(embeddings.device, non_blocking=True)
        other = torch.randperm(len(embeddings), device=embeddings.device)
        return (
            torch.lerp(embeddings, embeddings[other], share.to(embeddings.dtype)),
            torch.lerp(targets, targets[other], share),
        )
