"""What is said as a task of its own, or as what must not decide."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from xser_brain.data.units import Units
from xser_brain.objectives.adversary import Guess
from xser_brain.objectives.base import Heard, Objective
from xser_brain.protocol.labels import Labels


class CTC(Objective):
    """Frames that tell what is said: connectionist temporal classification.

    Graves et al., "Connectionist temporal classification", ICML 2006; beside emotions, Cai
    et al., "Speech emotion recognition with multi-task learning", Interspeech 2021. A
    linear layer on the frames of the encoder's last layer; per utterance, the loss over
    its number of units. Utterances without a transcript, or of which training hears but a
    piece (``crop``), take no part, and those with fewer frames than units count as zero.
    Not part of the paper's method.

    Arguments
    ---------
    units : Units, optional
        What is recognised.
    weight : float
        See ``Objective``.
    learning_rate : float, optional
        See ``Objective``.

    Example
    -------
    >>> ctc = CTC(Units(size=50), weight=0.1)
    >>> ctc.prepare(4, Labels(units=("<unk>", "a", "b")), frame_width=8)
    >>> ctc.linear.out_features  # and the blank
    4
    """

    requires = ("transcripts",)
    needs_frames = True

    def __init__(
        self,
        units: Units | None = None,
        weight: float = 1.0,
        learning_rate: float | None = None,
    ):
        super().__init__(weight, learning_rate=learning_rate)
        self.transcript_units = units or Units()
        self.linear: nn.Linear | None = None

    def bind(self, width: int, labels: Labels) -> None:
        """See ``Objective.bind``: a class for each unit, and the blank."""
        self.linear = nn.Linear(self.frame_width, len(labels.units) + 1)

    def forward(self, heard: Heard, progress: float) -> torch.Tensor:
        """See ``Objective.forward``: the mean over utterances with a transcript."""
        counts = (heard.units >= 0).sum(1)
        told = counts > 0
        logits = self.linear(heard.frames[told]).float()  # (told, frames, units + 1)
        if not told.any():
            return logits.sum()  # of nothing: zero, with zero gradients
        return functional.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1),
            heard.units[told].clamp(min=0),
            heard.frame_counts[told],
            counts[told],
            blank=self.linear.out_features - 1,
            zero_infinity=True,
        )


class ContentAdversary(Guess):
    """Guesses which units were said, and teaches the encoder to hide it.

    Behind a gradient reversal, as ``Adversary``, but of a bag of units: cross-entropy with
    each unit's share of what is said. Utterances without a transcript, or of which training
    hears but a piece (``crop``), take no part. Not part of the paper's method.

    Arguments
    ---------
    units : Units, optional
        What is guessed.
    hidden, dropout, schedule
        See ``Guess``.
    **options
        See ``Objective``.

    Example
    -------
    >>> adversary = ContentAdversary(Units(size=50), hidden=8)
    >>> adversary.bind(4, Labels(units=("<unk>", "a", "b")))
    >>> adversary.classifier(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    requires = ("transcripts",)

    def __init__(
        self,
        units: Units | None = None,
        hidden: int = 256,
        dropout: float = 0.1,
        schedule: Callable[[float], float] | None = None,
        **options,
    ):
        super().__init__(hidden, dropout, schedule, **options)
        self.transcript_units = units or Units()

    def bind(self, width: int, labels: Labels) -> None:
        """See ``Objective.bind``: a class for each unit."""
        self.make_classifier(width, len(labels.units))

    def forward(self, heard: Heard, progress: float) -> torch.Tensor:
        """See ``Objective.forward``: the mean over utterances with a transcript."""
        logits = self.guess(heard.embeddings, progress).float()  # (batch, units)
        said = heard.units >= 0
        counts = torch.zeros_like(logits)
        counts.scatter_add_(1, heard.units.clamp(min=0), said.float())
        total = counts.sum(1)
        shares = counts / total.clamp(min=1)[:, None]
        losses = -(shares * logits.log_softmax(-1)).sum(1)  # zero without a transcript
        return losses.sum() / (total > 0).sum().clamp(min=1)
