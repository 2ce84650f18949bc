"""A batch too large for the memory, encoded in pieces: the gradients of the whole."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from xser_brain.encoders.pooling import joined


class InPieces(nn.Module):
    """An encoder that holds the activations of but one piece of a batch at a time.

    Gradient caching (Gao et al., "Scaling deep contrastive learning batch size under
    memory limited setup", RepL4NLP 2021): each piece is encoded, and nothing but its
    vectors is kept. A loss then sees the vectors of the whole batch. Once their gradients
    are known, each piece is encoded again, with the random numbers of the first time,
    and they go on from there to the weights. That is what torch's checkpointing does
    with a part of a model, here with a part of the batch.

    Of an encoder whose vectors do not depend on the batch. One that holds batch norm
    which trains is not of that kind; see ``normalises_over_batch``.

    Arguments
    ---------
    module : torch.nn.Module
        ``(inputs, lengths) -> (batch, ...)``, as ``Encoder.forward``, or ``WithFrames``.
    pieces : int
        How many, of consecutive utterances, as even as can be.

    Example
    -------
    >>> from xser_brain.encoders.ecapa import ECAPAEncoder
    >>> encoder = ECAPAEncoder(width=16, n_mels=20, channels=16).eval()
    >>> encoder = InPieces(encoder, pieces=2)
    >>> encoder(torch.rand(3, 16000), torch.tensor([16000, 8000, 9000])).shape
    torch.Size([3, 1, 16])
    """

    def __init__(self, module: nn.Module, pieces: int):
        super().__init__()
        self.module = module
        self.pieces = pieces

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """As of the module; a piece stays padded as the whole batch is."""
        pieces = min(self.pieces, len(inputs))
        made = [
            checkpoint(self.module, *piece, use_reentrant=False)
            for piece in zip(
                inputs.tensor_split(pieces), lengths.tensor_split(pieces), strict=True
            )
        ]
        if isinstance(made[0], torch.Tensor):
            return torch.cat(made)
        vectors, frames, counts = zip(*made, strict=True)
        return torch.cat(vectors), joined(frames), torch.cat(counts)


class WithFrames(nn.Module):
    """An encoder whose call gives frames beside vectors; see ``Encoder.with_frames``.

    Arguments
    ---------
    module : Encoder
        The encoder.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(
        self, inputs: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As ``Encoder.with_frames``."""
        return self.module.with_frames(inputs, lengths)


def normalises_over_batch(module: nn.Module) -> bool:
    """Whether it holds batch norm in training mode, which must see a batch as a whole.

    Example
    -------
    >>> norm = nn.Sequential(nn.BatchNorm1d(4))
    >>> normalises_over_batch(norm), normalises_over_batch(norm.eval())
    (True, False)
    """
    return any(
        part.training for part in module.modules() if isinstance(part, _BatchNorm)
    )
