"""From an utterance's frames to one vector: a mean, of all or by how loud they are."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from data_prep.audio import SAMPLE_RATE

FIXED = {
    "mean": ("mean",),
    "loud": ("loud",),
    "energy": ("energy",),
    "both": ("mean", "loud"),
    "all": ("mean", "loud", "energy"),
}
LEARNED = {"attentive": ("attentive",)}  # see xser_brain.encoders.attention
POOLINGS = {**FIXED, **LEARNED}
LOUD = 30.0  # dB below the loudest frame
EXPONENT = 0.25  # of a frame's power: its weight
FLOOR = 1e-20  # of that power, so that silence has weights, too


def frame_mask(counts: torch.Tensor, frames: int) -> torch.Tensor:
    """Mark the frames that belong to each utterance, of (batch,) counts."""
    return torch.arange(frames, device=counts.device) < counts[:, None]


def mean_over(sequence: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean over frames, of those marked or by weights.

    Arguments
    ---------
    sequence : (batch, ..., frames, width) torch.Tensor
        Of utterances.
    weights : (batch, frames) bool or float torch.Tensor
        True for those that count, or how much each does; 0 or False for padding.

    Returns
    -------
    (batch, ..., width) torch.Tensor

    Example
    -------
    >>> sequence = torch.tensor([[[1.0], [3.0], [99.0]]])
    >>> mean_over(sequence, torch.tensor([[True, True, False]]))
    tensor([[2.]])
    >>> mean_over(sequence, torch.tensor([[1.0, 3.0, 0.0]]))
    tensor([[2.5000]])
    """
    weights = weights.view(weights.shape[0], *[1] * (sequence.ndim - 3), -1, 1)
    if weights.dtype == torch.bool:
        return sequence.masked_fill(~weights, 0.0).sum(-2) / weights.sum(-2)
    return (sequence * weights).sum(-2) / weights.sum(-2)


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


def frame_weights(
    poolings: Sequence[str], level: torch.Tensor | None, inside: torch.Tensor
) -> list[torch.Tensor]:
    """How much each frame counts, by each way of pooling.

    Arguments
    ---------
    poolings : sequence of str
        ``mean``: all the same; ``loud``: see ``loud``; ``energy``: by the fourth root of
        their power.
    level : (batch, frames) torch.Tensor, optional
        From ``levels``; only for the first not needed.
    inside : (batch, frames) bool torch.Tensor
        The frames that there are.

    Returns
    -------
    list of (batch, frames) bool or float torch.Tensor

    Example
    -------
    >>> inside = torch.tensor([[True, True, False]])
    >>> level = torch.tensor([[1.0, 0.0001, 5.0]])
    >>> for weights in frame_weights(["mean", "loud", "energy"], level, inside):
    ...     print(weights)
    tensor([[ True,  True, False]])
    tensor([[ True, False, False]])
    tensor([[1.0000, 0.1000, 0.0000]])
    """

    def weights(pooling: str) -> torch.Tensor:
        if pooling == "mean":
            return inside
        if pooling == "loud":
            return loud(level.masked_fill(~inside, -1.0)) & inside
        return level.clamp_min(FLOOR).pow(EXPONENT).masked_fill(~inside, 0.0)

    return [weights(pooling) for pooling in poolings]


def pooled(
    layers: list[torch.Tensor],
    weights: list[torch.Tensor],
) -> torch.Tensor:
    """All layers, averaged over frames in each way: (batch, ways * layers, width).

    Arguments
    ---------
    layers : list of (batch, frames, width) torch.Tensor
        Of an encoder.
    weights : list of (batch, frames) bool or float torch.Tensor
        From ``frame_weights``; the layers of each stand together.

    Returns
    -------
    (batch, ways * layers, width) torch.Tensor
    """
    return torch.stack([mean_over(x, own) for own in weights for x in layers], dim=1)
