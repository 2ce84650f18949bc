"""A GPU works through what it was given; whoever asks for a number waits until it has.

So a training step asks for none: numbers that Python needs stay in the host's memory, and
what can wait is asked for now and then. ``tests/xser_brain/test_waiting.py`` counts.
"""

from collections.abc import Sequence

import torch


def at_once(device: str | torch.device) -> bool:
    """Whether numbers on a device can be read without waiting for it.

    Example
    -------
    >>> at_once("cpu"), at_once("cuda:0")
    (True, False)
    """
    return torch.device(device).type == "cpu"


def placed(numbers: Sequence[int], device: str | torch.device) -> torch.Tensor:
    """Whole numbers on a device, which is not waited for.

    Example
    -------
    >>> placed([3, 1], "cpu")
    tensor([3, 1])
    """
    return torch.tensor(numbers).to(device, non_blocking=True)
