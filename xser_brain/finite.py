"""What is no number any more ends a run before anything of it is kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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


def finite_gradients(parameters: Iterable[torch.nn.Parameter]) -> torch.Tensor:
    """Whether all gradients are finite, and small enough to have a norm.

    Arguments
    ---------
    parameters : iterable of torch.nn.Parameter
        Those without a gradient are passed over.

    Returns
    -------
    () bool torch.Tensor
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.isfinite(torch.nn.utils.get_total_norm(gradients))


@dataclass(frozen=True)
class Noted:
    """What a step came to, on the device.

    Arguments
    ---------
    what : str
        What it is, in words.
    step : int
        Of the optimiser, from 1.
    finite : () bool torch.Tensor
        Whether it is a number.
    ids : sequence of str
        The utterances.
    rows : (batch,) bool torch.Tensor
        Which utterances' own numbers are finite.
    """

    what: str
    step: int
    finite: torch.Tensor
    ids: Sequence[str]
    rows: torch.Tensor


class Watch:
    """Notes whether each step's loss and gradients are numbers, and looks now and then.

    A look waits until a GPU has come to its end; notes do not. Each step's are kept apart,
    so that the first that is no number is found however late one looks.

    Arguments
    ---------
    every : int
        Steps between two looks; 1 to look at each note at once.

    Example
    -------
    >>> watch = Watch(every=2)
    >>> bad, rows = torch.tensor(False), torch.tensor([True, True])
    >>> watch.note("the loss", 1, bad, ["a", "b"], rows)
    >>> watch.note("the loss", 2, bad, ["c", "d"], rows)
    >>> watch.first().ids
    ['a', 'b']
    """

    def __init__(self, every: int = 1):
        self.every, self.notes = every, []

    def note(self, *note) -> None:
        """Keep what a step came to; arguments as of ``Noted``."""
        self.notes.append(Noted(*note))

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return self.every == 1 or self.notes[-1].step - self.notes[0].step >= self.every

    def first(self) -> Noted | None:
        """The first note of what is no number, if there is one; all are forgotten."""
        notes, self.notes = self.notes, []
        if not notes:
            return None
        finite = torch.stack([note.finite for note in notes]).tolist()
        return next(
            (n for n, good in zip(notes, finite, strict=True) if not good), None
        )
