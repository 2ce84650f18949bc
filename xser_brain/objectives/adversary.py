"""Adversaries after a gradient reversal (Mi, Ma & Toda 2026, section 2.3)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from data_prep.errors import UserError
from xser_brain.numbers import number
from xser_brain.objectives.base import Heard, Objective
from xser_brain.protocol.labels import Labels

UNKNOWN = -1
ATTRIBUTES = {
    "speaker": "speakers",
    "language": "languages",
    "corpus": "corpora",
    "gender": "genders",
}


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


class Guess(Objective):
    """What adversaries share: gradient reversal, Linear, ReLU, Dropout, Linear.

    Arguments
    ---------
    hidden : int
        Width of the hidden layer; not stated in the paper.
    dropout : float
        Rate of dropout; not stated in the paper.
    schedule : callable, optional
        Strength of the reversal at a progress from 0 to 1; by default ``DANNSchedule``.
    **options
        See ``Objective``.

    Raises
    ------
    UserError
        If a number has no meaning.
    """

    def __init__(
        self,
        hidden: int = 256,
        dropout: float = 0.1,
        schedule: Callable[[float], float] | None = None,
        **options,
    ):
        super().__init__(**options)
        self.hidden = number("adversary_hidden", hidden, least=1, whole=True)
        self.dropout = number("adversary_dropout", dropout, most=1)
        self.schedule = schedule or DANNSchedule()
        self.classifier: torch.nn.Module | None = None

    def make_classifier(self, width: int, classes: int) -> None:
        """Make the layers, for embeddings of a width."""
        self.classifier = torch.nn.Sequential(
            torch.nn.Linear(width, self.hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(self.dropout),
            torch.nn.Linear(self.hidden, classes),
        )

    def guess(self, embeddings: torch.Tensor, progress: float) -> torch.Tensor:
        """Logits (batch, classes) of embeddings (batch, width), behind the reversal."""
        return self.classifier(reverse_gradient(embeddings, self.schedule(progress)))


class Adversary(Guess):
    """Guesses an attribute of the utterances, and teaches the encoder to hide it.

    With cross-entropy (section 2.3 of the paper, whose attribute is the speaker).

    Arguments
    ---------
    attribute : str
        ``speaker``, ``language``, ``corpus`` or ``gender``.
    hidden, dropout, schedule
        See ``Guess``.
    **options
        See ``Objective``.

    Raises
    ------
    UserError
        If the attribute is unknown, or a number has no meaning.

    Example
    -------
    >>> adversary = Adversary("language", hidden=8)
    >>> adversary.bind(4, Labels(languages=("de", "en", "ur")))
    >>> adversary.classifier(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        attribute: str = "speaker",
        hidden: int = 256,
        dropout: float = 0.1,
        schedule: Callable[[float], float] | None = None,
        **options,
    ):
        super().__init__(hidden, dropout, schedule, **options)
        if attribute not in ATTRIBUTES:
            raise UserError(
                f"Adversary: unknown attribute {attribute!r}: use one of "
                f"{', '.join(ATTRIBUTES)}"
            )
        self.attribute = ATTRIBUTES[attribute]
        self.requires = (self.attribute,)

    def bind(self, width: int, labels: Labels) -> None:
        """See ``Objective.bind``: a class for each name of the attribute."""
        self.make_classifier(width, len(getattr(labels, self.attribute)))

    def forward(self, heard: Heard, progress: float) -> torch.Tensor:
        """See ``Objective.forward``: the mean over utterances whose attribute is known."""
        return known_cross_entropy(
            self.guess(heard.embeddings, progress), getattr(heard, self.attribute)
        )


def known_cross_entropy(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over the utterances whose class is known, in fp32.

    Arguments
    ---------
    logits : (batch, classes) torch.Tensor
        Of an attribute.
    classes : (batch,) torch.Tensor
        Index of each utterance, -1 where it is not known.

    Returns
    -------
    () torch.Tensor
        The mean, fp32; zero, with zero gradients, where none is known.

    Example
    -------
    >>> logits = torch.zeros(2, 4)
    >>> known_cross_entropy(logits, torch.tensor([3, -1]))  # log 4
    tensor(1.3863)
    >>> known_cross_entropy(logits, torch.tensor([-1, -1]))
    tensor(0.)
    """
    total = functional.cross_entropy(
        logits.float(), classes, ignore_index=UNKNOWN, reduction="sum"
    )
    return total / (classes != UNKNOWN).sum().clamp(min=1)
