"""Embeddings of earlier batches as further company for a loss on pairs."""

from dataclasses import replace

import torch

from xser_brain.data.units import Units
from xser_brain.numbers import number
from xser_brain.objectives.base import Heard, Objective
from xser_brain.protocol.labels import Labels

INDICES = ("emotions", "languages", "speakers", "corpora", "genders")


class Memory(Objective):
    """Wraps a loss, which then also sees the last embeddings, without gradients.

    Cross-batch memory (Wang et al., "Cross-batch memory for embedding learning", CVPR
    2020): embeddings drift slowly once training has settled, so that those of the last
    batches are as good as new ones to compare with. Not part of the paper's method.

    First in, first out; all of its state is in buffers, and so in checkpoints. What the
    wrapped loss finds as ``heard.remembered`` went through the same projection.

    Arguments
    ---------
    loss : Objective
        What is wrapped; its weight, projection and learning rate hold.
    size : int
        Embeddings remembered; 0 leaves the loss as it is.
    start : int
        Batches added before any is recalled, while embeddings still change fast.

    Raises
    ------
    UserError
        If an argument has no meaning.

    Example
    -------
    >>> from xser_brain.objectives import LanguageAwareSupCon
    >>> memory = Memory(LanguageAwareSupCon(weight=0.5), size=64)
    >>> memory.weight
    0.5
    """

    def __init__(self, loss: Objective, size: int, start: int = 0) -> None:
        super().__init__(loss.weight, loss.projection, loss.learning_rate)
        self.requires = loss.requires
        self.size = number("memory_size", size, whole=True)
        self.start = number("memory_start", start, whole=True)
        self.loss = loss

    @property
    def transcript_units(self) -> Units | None:
        """Those of the wrapped loss."""
        return self.loss.transcript_units

    @property
    def needs_frames(self) -> bool:
        """As the wrapped loss."""
        return self.loss.needs_frames

    def bind(self, width: int, labels: Labels) -> None:
        """See ``Objective.bind``."""
        if self.needs_frames:
            self.loss.frame_width = self.frame_width
        self.loss.bind(width, labels)
        if not self.size:
            return
        self.register_buffer("embeddings", torch.zeros(self.size, width))
        for name in INDICES:
            indices = torch.zeros(self.size, dtype=torch.long)
            self.register_buffer(name, indices)
        self.register_buffer("batches", torch.tensor(0))  # added so far
        self.register_buffer("utterances", torch.tensor(0))

    def forward(self, heard: Heard, progress: float) -> torch.Tensor:
        """See ``Objective.forward``: the loss, then the batch is remembered."""
        if not self.size:
            return self.loss(heard, progress)
        value = self.loss(replace(heard, remembered=self.recall(heard)), progress)
        self.add(heard)
        return value

    @torch.no_grad()
    def add(self, heard: Heard) -> None:
        """Remember a batch, in place of the oldest utterances.

        Arguments
        ---------
        heard : Heard
            Embeddings that are not finite are left out.
        """
        finite = heard.embeddings.isfinite().all(dim=1).nonzero()[-self.size :, 0]
        places = torch.arange(len(finite), device=finite.device) + self.utterances
        places %= self.size
        self.embeddings[places] = heard.embeddings[finite].float()
        for name in INDICES:
            getattr(self, name)[places] = getattr(heard, name)[finite]
        self.batches += 1
        self.utterances += len(finite)

    def recall(self, heard: Heard) -> Heard | None:
        """What is remembered: a copy, for the batch takes its place before the gradient.

        Arguments
        ---------
        heard : Heard
            The batch to be compared with it.

        Returns
        -------
        Heard, optional
            None before ``start`` batches, and as long as nothing is remembered.
        """
        count = min(int(self.utterances), self.size)
        if int(self.batches) < self.start or count == 0:
            return None
        return Heard(
            self.embeddings[:count].clone(),
            heard.logits[:0],
            *(getattr(self, name)[:count].clone() for name in INDICES),
        )
