"""Which operations of training steps would make the processor wait for a GPU.

Counted on a CPU: reading a value (``item``, ``bool``, ``float``, ``tolist``), moving it to
the host (``cpu``, ``numpy``), and what cannot know the size of its outcome otherwise
(``nonzero``, ``unique``, boolean indices, ...). Not counted is what lies in the host's
memory beside a GPU, too: the lengths of a batch, and how many steps an optimiser has done.
"""

import sys
from collections import Counter
from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from xser_brain.brain import XSERBrain
from xser_brain.data.batches import Utterances

OPERATIONS = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique",
    "_unique2",
    "unique_dim",
    "unique_consecutive",
    "equal",
    "is_nonzero",
    "bincount",
)
TO_HOST = ("cpu", "numpy", "tolist")
# Steps that an optimiser has done, and what the loader does, are in the host's memory.
ON_HOST = ("/torch/optim/", "/xser_brain/data/", "/dataio/dataloader.py")


def _frames():
    frame = sys._getframe(2)
    while frame:
        yield frame.f_code.co_filename, frame.f_code.co_name
        frame = frame.f_back


class Waits:
    """What was seen, by operation and place.

    Attributes
    ----------
    steps : int
        Training steps.
    seen : Counter of str
        ``operation in file:function`` of the library that is tested, or SpeechBrain's.
    """

    def __init__(self):
        self.steps, self.seen = 0, Counter()
        self.on_host: dict[int, torch.Tensor] = {}

    def note(self, operation: str, tensor: torch.Tensor) -> None:
        """Count an operation, if it is one of a training step."""
        frames = [*_frames()]
        names = {name for _, name in frames}
        if "_fit_train" not in names or names & {"on_stage_start", "on_stage_end"}:
            return
        if any(part in file for file, _ in frames for part in ON_HOST):
            return
        if tensor.untyped_storage().data_ptr() in self.on_host:
            return
        inside = [
            f"{file.rpartition('/')[2]}:{name}"
            for file, name in frames
            if "/xser_brain/" in file or "/speechbrain/" in file
            if "/tests/" not in file
        ]
        self.seen[f"{operation} in {inside[0]}"] += 1


class _Dispatched(TorchDispatchMode):
    def __init__(self, waits):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in OPERATIONS:
            self.waits.note(name, args[0])
        elif name in ("index", "index_put", "index_put_"):
            for index in args[1]:
                if index is not None and index.dtype in (torch.bool, torch.uint8):
                    self.waits.note(f"{name} by a mask", index)
        elif name == "repeat_interleave" and len(args) == 1:
            self.waits.note(name, args[0])
        return func(*args, **(kwargs or {}))


class _Called(TorchFunctionMode):
    def __init__(self, waits):
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        # What is read from it is seen below, but for these, which copy.
        if name in TO_HOST and args and isinstance(args[0], torch.Tensor):
            self.waits.note(name, args[0])
        return func(*args, **(kwargs or {}))


@contextmanager
def counted(monkeypatch):
    """Count in all runs inside: yields ``Waits``."""
    waits = Waits()
    batch, fit_batch = Utterances.batch, XSERBrain.fit_batch

    def remembered(self, *args):
        made = batch(self, *args)
        if made.lengths is not None:
            waits.on_host[made.lengths.untyped_storage().data_ptr()] = made.lengths
        return made

    def step(self, *args):
        waits.steps += 1
        return fit_batch(self, *args)

    monkeypatch.setattr(Utterances, "batch", remembered)
    monkeypatch.setattr(XSERBrain, "fit_batch", step)
    with _Called(waits), _Dispatched(waits):
        yield waits
