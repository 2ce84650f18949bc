"""What an objective is: a loss on what the model makes of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from xser_brain.data.units import Units
from xser_brain.numbers import number
from xser_brain.protocol.labels import Labels


@dataclass(frozen=True)
class Heard:
    """What a training step sees of a batch.

    Arguments
    ---------
    embeddings : (batch, width) torch.Tensor
        Utterance embeddings.
    logits : (batch, classes) torch.Tensor
        Of the emotions.
    emotions, languages, speakers, corpora, genders : (batch,) torch.Tensor
        Indices of the names in ``Labels``; -1 where they are not known.
    frames : (batch, frames, frame width) torch.Tensor, optional
        Of the encoder's last layer, padded; None unless an objective ``needs_frames``.
    frame_counts : (batch,) torch.Tensor, optional
        Frames of each utterance, where there are ``frames``.
    units : (batch, units) torch.Tensor, optional
        What is said, as indices of the names in ``Labels``, padded with -1; None unless
        an objective has ``transcript_units``.
    targets : (batch, classes) torch.Tensor, optional
        Soft labels, where embeddings were mixed; else ``emotions`` hold.
    remembered : Heard, optional
        Earlier batches, without gradients; see ``xser_brain.objectives.Memory``.
    """

    embeddings: torch.Tensor
    logits: torch.Tensor
    emotions: torch.Tensor
    languages: torch.Tensor
    speakers: torch.Tensor
    corpora: torch.Tensor
    genders: torch.Tensor
    frames: torch.Tensor | None = None
    frame_counts: torch.Tensor | None = None
    units: torch.Tensor | None = None
    targets: torch.Tensor | None = None
    remembered: "Heard | None" = None


class Objective(nn.Module):
    """A loss to subclass: write ``forward``, and ``bind`` if sizes are needed.

    Arguments
    ---------
    weight : float
        What it counts in the sum of all objectives.
    projection : int
        Width of a head of its own (Linear, ReLU, Linear; Chen et al., "A simple framework
        for contrastive learning", ICML 2020) through which embeddings go before this
        objective; 0 for none, as in the paper.
    learning_rate : float, optional
        Of its own parameters; by default that of the other heads.

    Raises
    ------
    UserError
        If an argument has no meaning.

    Example
    -------
    >>> class Spread(Objective):
    ...     def forward(self, heard, progress):
    ...         return -heard.embeddings.var(dim=0).mean()
    >>> Spread(weight=0.1).weight
    0.1
    """

    requires: tuple[str, ...] = ()  # attributes of Labels, or transcripts, to be known
    transcript_units: Units | None = None  # if it has to know what is said
    needs_frames: bool = False
    frame_width: int = 0  # of frames, if it needs them

    def __init__(
        self,
        weight: float = 1.0,
        projection: int = 0,
        learning_rate: float | None = None,
    ):
        super().__init__()
        self.weight = number(f"{type(self).__name__}'s weight", weight)
        self.projection = number("projection", projection, whole=True)
        self.learning_rate = learning_rate and number("learning_rate", learning_rate)
        self.projector: nn.Module | None = None

    def prepare(self, width: int, labels: Labels, frame_width: int = 0) -> None:
        """Make what depends on sizes: the projection, then what ``bind`` makes.

        Arguments
        ---------
        width : int
            Of the utterance embeddings.
        labels : Labels
            What the indices of a batch stand for.
        frame_width : int
            Of the frames, where there are any.
        """
        if self.needs_frames:
            self.frame_width = frame_width
        if self.projection:
            self.projector = nn.Sequential(
                nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.projection)
            )
        self.bind(self.projection or width, labels)

    def bind(self, width: int, labels: Labels) -> None:
        """Make modules whose sizes are known only once a run is planned.

        Arguments
        ---------
        width : int
            Of the embeddings that ``forward`` gets.
        labels : Labels
            What the indices of a batch stand for.
        """

    def project(self, heard: Heard) -> Heard:
        """The batch as ``forward`` gets it: embeddings through the own head, if any."""
        if self.projector is None:
            return heard
        return replace(heard, embeddings=self.projector(heard.embeddings))

    def forward(self, heard: Heard, progress: float) -> torch.Tensor:
        """The loss of a batch.

        Arguments
        ---------
        heard : Heard
            What the model makes of the batch, and its labels.
        progress : float
            Of the training, from 0 to 1.

        Returns
        -------
        () torch.Tensor
            Not yet weighted.
        """
        raise NotImplementedError


class Objectives(nn.ModuleDict):
    """All objectives of a system as one module, so that one call computes all losses.

    Example
    -------
    >>> from xser_brain.objectives import CrossEntropy
    >>> objectives = Objectives({"emotion": CrossEntropy(weight=2.0)})
    >>> [(name, objective.weight) for name, objective in objectives.items()]
    [('emotion', 2.0)]
    """

    def forward(self, heard: Heard, progress: float) -> Mapping[str, torch.Tensor]:
        """The loss of each objective, by name, not yet weighted."""
        return {
            name: objective(objective.project(heard), progress)
            for name, objective in self.items()
        }
