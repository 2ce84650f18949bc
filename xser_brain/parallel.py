"""Several processes that do the work of one: the same batches, sums and results.

A step's batch is dealt out: each process encodes its share of the utterances, and all of
them go on with what every process made of its own. From there on each process computes
the same, so that a loss sees the whole batch, and its gradient flows back to the share.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import nn


def processes() -> int:
    """How many processes do the work together; 1 without torchrun."""
    return torch.distributed.get_world_size() if _launched() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return torch.distributed.get_rank() if _launched() else 0


def _launched() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def shares(total: int, parts: int) -> list[slice]:
    """Deal out a batch: parts of consecutive utterances, as even as can be.

    Arguments
    ---------
    total : int
        Utterances of the batch.
    parts : int
        Processes.

    Returns
    -------
    list of slice
        One a process. Where there are fewer utterances than processes, some share the
        last utterance, for no process can encode nothing; ``gather`` takes it once.

    Example
    -------
    >>> shares(7, 3)
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
    >>> shares(1, 2)
    [slice(0, 1, None), slice(0, 1, None)]
    """
    size, larger = divmod(total, parts)
    if not size:
        return [slice(min(i, total - 1), min(i, total - 1) + 1) for i in range(parts)]
    starts = [size * i + min(i, larger) for i in range(parts + 1)]
    return [slice(a, b) for a, b in zip(starts[:-1], starts[1:], strict=True)]


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx, own, total):
        ctx.share = shares(total, processes())
        longest = max(share.stop - share.start for share in ctx.share)
        padded = own.new_zeros(longest, *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in ctx.share]
        torch.distributed.all_gather(parts, padded)
        whole = own.new_empty(total, *own.shape[1:])
        for share, part in zip(ctx.share, parts, strict=True):
            whole[share] = part[: share.stop - share.start]
        return whole

    @staticmethod
    def backward(ctx, gradient):
        # Each process holds the gradient of the whole loss; DistributedDataParallel
        # takes the mean of the processes' gradients, of which the sum is wanted. A
        # utterance that several encode counts once.
        own = gradient[ctx.share[rank()]].clone() * processes()
        shared = sum(share == ctx.share[rank()] for share in ctx.share)
        return own / shared, None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, own):
        total = own.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient):
        return _Summed.forward(None, gradient.contiguous())


def gather(own: torch.Tensor, total: int) -> torch.Tensor:
    """Put the shares of all processes together, in the order of the batch.

    Arguments
    ---------
    own : (share, ...) torch.Tensor
        Of this process, by ``shares``.
    total : int
        Utterances of the batch.

    Returns
    -------
    (total, ...) torch.Tensor
        The same in every process. Its gradient reaches ``own`` times the number of
        processes, of which ``DistributedDataParallel`` takes the mean: parameters get
        the gradient that one process would give them.
    """
    return _Gathered.apply(own, total) if processes() > 1 else own


def dealt(batches: Sequence) -> list:
    """Of whole batches those of this process, as ``gather_batches`` takes them."""
    return list(batches)[rank() :: processes()]


def merge(parts: Sequence[Sequence]) -> list:
    """Put dealt batches (the first to process 0, the next to 1, ...) into their order.

    Example
    -------
    >>> merge([["a", "c"], ["b"]])
    ['a', 'b', 'c']
    """
    most = max(map(len, parts))
    return [part[i] for i in range(most) for part in parts if i < len(part)]


def gather_batches(own: Sequence) -> list:
    """What all processes made of the batches dealt to them, in order, in each process."""
    if processes() == 1:
        return list(own)
    parts: list = [None] * processes()
    torch.distributed.all_gather_object(parts, list(own))
    return merge(parts)


@cache
def _on_cpu() -> torch.distributed.ProcessGroup:
    """Of all processes, for numbers that no GPU has to be waited for."""
    return torch.distributed.new_group(backend="gloo")


def agreed(number: int) -> int:
    """The largest of what all processes say; each of them has to ask."""
    if processes() == 1:
        return number
    said = torch.tensor([number])
    most = torch.distributed.ReduceOp.MAX
    torch.distributed.all_reduce(said, most, group=_on_cpu())
    return int(said)


class SharedBatchNorm(nn.BatchNorm1d):
    """Batch norm over the shares of all processes; torch's own is for GPUs alone.

    Arguments
    ---------
    As of ``torch.nn.BatchNorm1d``.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalise (batch, channels) or (batch, channels, frames)."""
        if not self.training or processes() == 1:
            return super().forward(inputs)
        others = [0, *range(2, inputs.ndim)]
        ones = [1, -1, *[1] * (inputs.ndim - 2)]
        count = inputs.new_tensor([inputs.numel() / inputs.shape[1]])
        sums = _Summed.apply(torch.cat([inputs.sum(others), count]))
        number = sums[-1].detach()
        mean = sums[:-1] / number
        centred = inputs - mean.view(ones)
        variance = _Summed.apply((centred * centred).sum(others)) / number
        with torch.no_grad():
            self.num_batches_tracked += 1
            kept = 1 - self.momentum
            self.running_mean.mul_(kept).add_(mean, alpha=self.momentum)
            unbiased = variance * (number / (number - 1))
            self.running_var.mul_(kept).add_(unbiased, alpha=self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(ones) + self.bias.view(ones)


def share_batch_norm(module: nn.Module) -> nn.Module:
    """Let every batch norm see the shares of all processes, on CPU too."""
    for part in module.modules():
        if type(part) is nn.BatchNorm1d:
            part.__class__ = SharedBatchNorm
    return module


def leave() -> None:
    """Part from the other processes, once all have come to their end."""
    if _launched():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
        _on_cpu.cache_clear()
