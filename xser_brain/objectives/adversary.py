"""Speaker adversary behind a gradient reversal (Mi, Ma & Toda 2026, section 2.3)."""

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

UNKNOWN_SPEAKER = -1


class _GradientReversal(torch.autograd.Function):
    """Identity whose gradient is multiplied by -strength."""

    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.strength * gradient, None


def reverse_gradient(x: torch.Tensor, strength: float) -> torch.Tensor:
    """The same values, the gradient multiplied by -strength.

    Ganin & Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015.

    Arguments
    ---------
    x : (...) torch.Tensor
        Any tensor.
    strength : float
        0 stops the gradient, 1 turns it round.

    Returns
    -------
    x : (...) torch.Tensor
        The input's values.

    Example
    -------
    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> y = reverse_gradient(x, strength=0.5) ** 2
    >>> y.backward()
    >>> y.item(), x.grad.item()
    (9.0, -3.0)
    """
    return _GradientReversal.apply(x, strength)


@dataclass(frozen=True)
class ConstantSchedule:
    """The same reversal strength throughout.

    Arguments
    ---------
    strength : float
        The strength.

    Example
    -------
    >>> ConstantSchedule(0.3)(progress=0.5)
    0.3
    """

    strength: float = 1.0

    def __call__(self, progress: float) -> float:
        """The strength at a progress in [0, 1] of the training."""
        return self.strength


@dataclass(frozen=True)
class DANNSchedule:
    """From 0 up to (nearly) the full strength, steeply at first.

    strength * (2 / (1 + exp(-gamma * progress)) - 1), of Ganin & Lempitsky 2015.

    Arguments
    ---------
    strength : float
        The limit.
    gamma : float
        How fast it is approached.

    Example
    -------
    >>> schedule = DANNSchedule(strength=1.0, gamma=10.0)
    >>> [round(schedule(progress), 4) for progress in (0.0, 0.1, 0.5, 1.0)]
    [0.0, 0.4621, 0.9866, 0.9999]
    """

    strength: float = 1.0
    gamma: float = 10.0

    def __call__(self, progress: float) -> float:
        """The strength at a progress in [0, 1] of the training."""
        return self.strength * (2 / (1 + math.exp(-self.gamma * progress)) - 1)


class SpeakerAdversary(torch.nn.Module):
    """Guesses the training speaker, and teaches the encoder to hide it.

    Gradient reversal, Linear, ReLU, Dropout, Linear (section 2.3 of the paper).

    Arguments
    ---------
    width : int
        Width of the utterance embeddings.
    speakers : int
        Number of training speakers.
    hidden : int
        Width of the hidden layer; not stated in the paper.
    dropout : float
        Dropout probability; not stated in the paper.

    Example
    -------
    >>> adversary = SpeakerAdversary(width=768, speakers=288)
    >>> adversary(torch.randn(36, 768), strength=1.0).shape
    torch.Size([36, 288])
    """

    def __init__(
        self, width: int, speakers: int, hidden: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.classifier = torch.nn.Sequential(
            torch.nn.Linear(width, hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(dropout),
            torch.nn.Linear(hidden, speakers),
        )

    def forward(self, embeddings: torch.Tensor, strength: float) -> torch.Tensor:
        """Speaker logits behind the reversal.

        Arguments
        ---------
        embeddings : (batch, width) torch.Tensor
            Utterance embeddings.
        strength : float
            Strength of the reversal, from a schedule.

        Returns
        -------
        logits : (batch, speakers) torch.Tensor
            Speaker logits.
        """
        return self.classifier(reverse_gradient(embeddings, strength))


def speaker_loss(logits: torch.Tensor, speakers: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over the utterances whose speaker is known, in fp32.

    Arguments
    ---------
    logits : (batch, speakers) torch.Tensor
        Speaker logits.
    speakers : (batch,) torch.Tensor
        Integer training speaker of each utterance, -1 where it is not known.

    Returns
    -------
    loss : () torch.Tensor
        The mean, fp32; zero, with zero gradients, where no speaker is known.

    Example
    -------
    >>> logits = torch.zeros(2, 4)
    >>> speaker_loss(logits, torch.tensor([3, -1]))  # log 4
    tensor(1.3863)
    >>> speaker_loss(logits, torch.tensor([-1, -1]))
    tensor(0.)
    """
    total = functional.cross_entropy(
        logits.float(), speakers, ignore_index=UNKNOWN_SPEAKER, reduction="sum"
    )
    return total / (speakers != UNKNOWN_SPEAKER).sum().clamp(min=1)
