"""Attentive statistics pooling: how much each frame counts is learned."""

import math

import torch
from torch import nn

LEAST = 1e-6  # of a variance, so that its root has a gradient


class AttentiveStatistics(nn.Module):
    """Mean and standard deviation over frames, weighted by attention.

    Okabe et al., "Attentive statistics pooling for deep speaker embedding", Interspeech
    2018. SpeechBrain's layer of that name normalises over the batch, padding included;
    here an utterance depends on its own frames alone.

    Arguments
    ---------
    width : int
        Of a frame.
    channels : int
        Of the attention's hidden layer.

    Example
    -------
    >>> pool = AttentiveStatistics(8)
    >>> inside = torch.tensor([[True, True, True], [True, False, False]])
    >>> pool(torch.rand(2, 3, 8), inside).shape
    torch.Size([2, 16])
    """

    def __init__(self, width: int, channels: int = 128):
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(width, channels), nn.Tanh(), nn.Linear(channels, 1)
        )

    def forward(
        self, frames: torch.Tensor, inside: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Pool frames.

        Arguments
        ---------
        frames : (batch, frames, width) torch.Tensor
            Of utterances.
        inside : (batch, frames) bool torch.Tensor, optional
            The frames that there are; by default all.

        Returns
        -------
        (batch, 2 * width) float32 torch.Tensor
            Mean, then standard deviation.
        """
        scores = self.score(frames).float()
        if inside is not None:
            scores = scores.masked_fill(~inside[..., None], -math.inf)
        shares, frames = scores.softmax(1), frames.float()
        mean = (shares * frames).sum(1, keepdim=True)
        variance = (shares * (frames - mean).square()).sum(1)
        return torch.cat([mean[:, 0], variance.clamp_min(LEAST).sqrt()], dim=-1)
