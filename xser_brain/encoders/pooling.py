"""From an utterance's frames to one vector: the mean of all, or of the loud ones."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from data_prep.audio import SAMPLE_RATE

POOLINGS = {"mean": ("mean",), "loud": ("loud",), "both": ("mean", "loud")}
LOUD = 30.0  # dB below the loudest frame


def frame_mask(counts: torch.Tensor, frames: int) -> torch.Tensor:
    """Mark the frames that belong to each utterance, of (batch,) counts."""
    return torch.arange(frames, device=counts.device) < counts[:, None]


def mean_over(sequence: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over marked frames.

    Arguments
    ---------
    sequence : (batch, ..., frames, width) torch.Tensor
        Of utterances.
    mask : (batch, frames) bool torch.Tensor
        True for those that count.

    Returns
    -------
    (batch, ..., width) torch.Tensor

    Example
    -------
    >>> mask = torch.tensor([[True, True, False]])
    >>> mean_over(torch.tensor([[[1.0], [3.0], [99.0]]]), mask)
    tensor([[2.]])
    """
    mask = mask.view(mask.shape[0], *[1] * (sequence.ndim - 3), -1, 1)
    return sequence.masked_fill(~mask, 0.0).sum(-2) / mask.sum(-2)


def masked_mean(sequence: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean over each utterance's frames, as (batch, ..., width); padding is ignored.

    Example
    -------
    >>> masked_mean(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2]))
    tensor([[2.]])
    """
    return mean_over(sequence, frame_mask(counts, sequence.shape[-2]))


def levels(waveforms: torch.Tensor, frame_rate: float, frames: int) -> torch.Tensor:
    """Mean power of the samples that each frame stands for.

    Arguments
    ---------
    waveforms : (batch, samples) torch.Tensor
        16 kHz mono, padded with zeros.
    frame_rate : float
        Frames a second.
    frames : int
        How many are asked for.

    Returns
    -------
    (batch, frames) torch.Tensor

    Example
    -------
    >>> levels(torch.ones(1, 480), 50.0, 2)
    tensor([[1.0000, 0.5000]])
    """
    hop = round(SAMPLE_RATE / frame_rate)
    power = functional.pad(waveforms.float().square(), (0, 2 * hop))
    return functional.avg_pool1d(power[:, None], hop)[:, 0, :frames]


def loud(level: torch.Tensor, decibels: float = LOUD) -> torch.Tensor:
    """Mark the frames that are no more than so many dB below an utterance's loudest.

    Arguments
    ---------
    level : (batch, frames) torch.Tensor
        From ``levels``; below 0 where there is no frame.
    decibels : float
        The range.

    Returns
    -------
    (batch, frames) bool torch.Tensor

    Example
    -------
    >>> loud(torch.tensor([[1.0, 0.0005, 0.01]]))
    tensor([[ True, False,  True]])
    """
    loudest = level.amax(-1, keepdim=True)
    return level >= loudest * 10 ** (-decibels / 10)


def lengthened(frames: torch.Tensor, total: int) -> torch.Tensor:
    """Pad (batch, frames, width) with zeros to so many frames.

    Example
    -------
    >>> lengthened(torch.ones(1, 1, 2), 2)
    tensor([[[1., 1.],
             [0., 0.]]])
    """
    return functional.pad(frames, (0, 0, 0, total - frames.shape[1]))


def joined(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Parts of a batch, (some, frames, width) each, padded to the longest of them."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat([lengthened(part, longest) for part in parts])


def pooled(
    layers: list[torch.Tensor],
    masks: list[torch.Tensor],
) -> torch.Tensor:
    """All layers, averaged over the frames of each mask: (batch, masks * layers, width).

    Arguments
    ---------
    layers : list of (batch, frames, width) torch.Tensor
        Of an encoder.
    masks : list of (batch, frames) bool torch.Tensor
        One for each way of pooling, whose layers stand together.

    Returns
    -------
    (batch, masks * layers, width) torch.Tensor
    """
    return torch.stack([mean_over(x, mask) for mask in masks for x in layers], dim=1)
