"""What is no number any more ends a run before anything of it is kept."""

from collections.abc import Iterable, Sequence

import torch

from data_prep.errors import UserError

SHOWN = 3  # utterances that a message names


def not_finite(what: str, ids: Sequence[str], mend: str) -> UserError:
    """The error of something that is NaN or infinite.

    Arguments
    ---------
    what : str
        What and when.
    ids : sequence of str
        The utterances that it was computed of.
    mend : str
        What can be done.

    Returns
    -------
    UserError

    Example
    -------
    >>> not_finite("step 3: the loss is NaN", ["a", "b"], "lower the rate")
    UserError('step 3: the loss is NaN, of a, b: lower the rate')
    """
    shown = ", ".join(ids[:SHOWN])
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return UserError(f"{what}, of {shown}{more}: {mend}")


def finite_rows(values: torch.Tensor) -> torch.Tensor:
    """Which rows of a batch hold only finite numbers.

    Arguments
    ---------
    values : (batch, ...) torch.Tensor
        Of any kind.

    Returns
    -------
    (batch,) bool torch.Tensor
    """
    return torch.isfinite(values).flatten(1).all(1)


def all_finite(parameters: Iterable[torch.nn.Parameter]) -> bool:
    """Whether all gradients are finite, and small enough to have a norm.

    Arguments
    ---------
    parameters : iterable of torch.nn.Parameter
        Those without a gradient are passed over.

    Returns
    -------
    bool
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    return bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients)))
