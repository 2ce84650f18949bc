"""What a system is: a row of the paper's Table 2, or a method of one's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from data_prep.errors import UserError

TRAINS_ON = ("source", "all", "target", "everything")
RANDOM = "random"


@dataclass(frozen=True)
class System:
    """What is trained on, how batches are made, and what is optimised.

    Usually read from a piece of ``recipes/common/systems`` or a YAML file of one's own,
    whose keys are these arguments and whose name is the file's.

    Arguments
    ---------
    name : str
        As it stands in results and tables.
    trains_on : str
        ``source``, ``all`` (source and non-target), ``target`` or ``everything`` (all
        three: a model to be used, and not zero-shot).
    objectives : mapping of str to xser_brain.objectives.Objective
        What is optimised: their weighted sum.
    sampler : str or callable
        A key of ``training.samplers``, or what makes a batch sampler of the training
        utterances: ``sampler(rows, batches=..., seed=...)``.
    selection : optional
        What decides which checkpoint is kept, see ``xser_brain.training.selection``; by
        default what the recipe says.
    waveforms : xser_brain.data.augmentation.WaveformTransform, optional
        Changes training utterances before the encoder.
    embeddings : xser_brain.data.augmentation.EmbeddingTransform, optional
        Changes the embeddings of a training batch before the classifier.
    solver : xser_brain.solvers.Solver, optional
        Computes head and classifier at once, of a frozen encoder, instead of steps that
        optimise objectives.

    Raises
    ------
    UserError
        If something is missing or unknown.

    Example
    -------
    >>> System("mine", "all", {"emotion": None}).zero_shot
    True
    """

    name: str
    trains_on: str
    objectives: Mapping[str, Any]
    sampler: str | Callable = RANDOM
    selection: Any = None
    waveforms: Any = None
    embeddings: Any = None
    solver: Any = None

    def __post_init__(self):
        if self.trains_on not in TRAINS_ON:
            raise UserError(
                f"system {self.name}: trains_on is {self.trains_on!r}: use one of "
                f"{', '.join(TRAINS_ON)}"
            )
        if self.solver is not None:
            if self.objectives:
                raise UserError(
                    f"system {self.name} has objectives and a solver, which optimises "
                    "none: leave one of them out"
                )
            object.__setattr__(self, "objectives", {})
        elif not isinstance(self.objectives, Mapping) or not self.objectives:
            raise UserError(
                f"system {self.name} has no objectives: name at least one, as "
                "`emotion: !new:xser_brain.objectives.CrossEntropy`"
            )

    @property
    def zero_shot(self) -> bool:
        """Whether the target is unseen in training."""
        return self.trains_on in ("source", "all")

    @property
    def units(self) -> Any:
        """Units of what is said, where an objective asks for them; else None."""
        objectives = self.objectives.values()
        asked = (getattr(item, "transcript_units", None) for item in objectives)
        return next(filter(None, asked), None)

    def parts(self) -> tuple:
        """All objects that it is made of."""
        others = self.sampler, self.selection, self.waveforms, self.embeddings
        return (*self.objectives.values(), *others, self.solver)

    def definition(self) -> dict:
        """What it is made of, in words, as far as that decides on a result.

        Returns
        -------
        dict
            As a block of YAML would hold it.

        Example
        -------
        >>> System("mine", "all", {"emotion": None}).definition()["trains_on"]
        'all'
        """
        words = {
            "trains_on": self.trains_on,
            "sampler": _in_words(self.sampler),
            "objectives": {
                name: _in_words(item) for name, item in self.objectives.items()
            },
        }
        for name in ("selection", "waveforms", "embeddings", "solver"):
            if getattr(self, name) is not None:
                words[name] = _in_words(getattr(self, name))
        return words


def _in_words(item: object, depth: int = 4) -> str:
    """An object's class, and its public values and those of what it holds."""
    if item is None or isinstance(item, str | int | float):
        return str(item)
    if hasattr(item, "__qualname__"):
        return f"{item.__module__}.{item.__qualname__}"
    kind = f"{type(item).__module__}.{type(item).__qualname__}"
    if not depth:
        return kind
    if isinstance(item, partial):
        held = {"func": item.func, "args": item.args, **item.keywords}
    elif isinstance(item, Mapping):
        held = item
    elif isinstance(item, list | tuple):
        held = dict(enumerate(item))
    else:  # a torch module holds others in _modules
        held = {**getattr(item, "__dict__", {}), **getattr(item, "_modules", {})}
    words = [
        f"{name}: {_in_words(value, depth - 1)}"
        for name, value in held.items()
        if not str(name).startswith("_") and name != "training"
    ]
    return f"{kind} {{{', '.join(sorted(words))}}}"
