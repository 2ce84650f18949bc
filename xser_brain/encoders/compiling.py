"""Transformer layers through torch's compiler, for utterances of any length."""

from collections.abc import Iterable

import torch
from torch import nn

from data_prep.errors import UserError

# Versions of one layer: with and without padding, a gradient of its input, a batch of one.
VERSIONS = 64


def compile_layers(layers: Iterable[nn.Module]) -> None:
    """Let layers be compiled, in place, as they are first called.

    One by one, so that layers of one kind share what is compiled, and for sizes that are
    not known before, so that another length of an utterance compiles nothing anew.

    Arguments
    ---------
    layers : iterable of torch.nn.Module
        Of a transformer.
    """
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, VERSIONS)
    for layer in layers:
        layer.compile(dynamic=True)


def require_compiler(device: torch.device) -> None:
    """Refuse to compile where torch's compiler does not work, by a small trial.

    Arguments
    ---------
    device : torch.device
        On which the layers are.

    Raises
    ------
    UserError
        If it fails: it needs a C++ compiler on a CPU, Triton on a GPU.
    """
    try:
        torch.compile(_trial)(torch.ones(3, device=device))
    except Exception as error:  # of the compiler that there is, whatever it is
        reason = str(error).strip() or type(error).__name__
        raise UserError(
            f"--compile_encoder=True: torch.compile does not work on this machine's "
            f"{device.type} ({reason.splitlines()[0]}): leave it out, or install what is "
            "lacking (a C++ compiler as g++ for a CPU, Triton for a GPU)"
        ) from error


def _trial(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.sin() + 1
