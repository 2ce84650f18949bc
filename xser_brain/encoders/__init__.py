"""Encoders: waveforms in, frame sequences and pooled utterance vectors out."""

import torch
from torch import nn


def frame_mask(counts: torch.Tensor, frames: int) -> torch.Tensor:
    """Mark the frames that belong to each utterance.

    Arguments
    ---------
    counts : (batch,) torch.Tensor
        Frames of each utterance.
    frames : int
        Frames of the padded batch.

    Returns
    -------
    (batch, frames) bool torch.Tensor

    Example
    -------
    >>> frame_mask(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    return torch.arange(frames, device=counts.device) < counts[:, None]


def masked_mean(sequence: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Average over the frames that belong to each utterance.

    Arguments
    ---------
    sequence : (batch, ..., frames, width) torch.Tensor
        Padded; what the padding holds does not matter.
    counts : (batch,) torch.Tensor
        Frames of each utterance.

    Returns
    -------
    (batch, ..., width) torch.Tensor

    Example
    -------
    >>> masked_mean(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2]))
    tensor([[2.]])
    """
    mask = frame_mask(counts, sequence.shape[-2])
    shape = [len(counts), *[1] * (sequence.ndim - 3), sequence.shape[-2], 1]
    kept = sequence.masked_fill(~mask.view(shape), 0.0)
    return kept.sum(-2) / counts.view([len(counts), *[1] * (sequence.ndim - 2)])


class Encoder(nn.Module):
    """What every encoder offers.

    Attributes
    ----------
    layers : int
        How many layers it hands out (1 if it offers no choice).
    width : int
        Size of an utterance vector.
    frame_rate : float
        Frames per second (Hz).
    frozen : bool
        Whether nothing in it trains, so that its output may be cached.
    prefix_layers : int, optional
        If only its upper part trains: how many transformer layers lie, beside the
        front end, in the part below, of which ``prefix`` gives the output.
    settings : str
        What decides on its output beside its class and weights.
    """

    layers: int = 1
    width: int
    frame_rate: float
    frozen: bool = False
    prefix_layers: int | None = None
    settings: str = ""

    def frames(
        self, waveforms: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode waveforms to frame sequences.

        Arguments
        ---------
        waveforms : (batch, samples) torch.Tensor
            16 kHz mono, padded at the end.
        lengths : (batch,) torch.Tensor
            Samples of each utterance.

        Returns
        -------
        (batch, layers, frames, width) torch.Tensor
        (batch,) torch.Tensor
            Frames of each utterance.
        """
        raise NotImplementedError

    def forward(self, waveforms: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Encode waveforms to one vector a layer: the mean over frames.

        Arguments
        ---------
        waveforms : (batch, samples) torch.Tensor
            16 kHz mono, padded at the end.
        lengths : (batch,) torch.Tensor
            Samples of each utterance.

        Returns
        -------
        (batch, layers, width) torch.Tensor
        """
        return masked_mean(*self.frames(waveforms, lengths))
