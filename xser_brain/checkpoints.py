"""Checkpoints from which a killed run goes on as if it had not been killed."""

import random
import shutil

import numpy as np
import torch
from speechbrain.utils.checkpoints import (
    CKPT_PREFIX,
    Checkpointer,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.epoch_loop import EpochCounterWithStopper

from xser_brain.encoders.adapters import load_trainable_state, trainable_state

UNFINISHED = "unfinished-"

# SpeechBrain leaves this out, so that a resumed run would forget its patience.
register_checkpoint_hooks(EpochCounterWithStopper)


def save_trained(module: torch.nn.Module, path) -> None:
    """Save of a module only what trains: a checkpoint of a few MB.

    Arguments
    ---------
    module : torch.nn.Module
        An adapted encoder.
    path : path
        Where to.
    """
    if if_main_process():
        torch.save(trainable_state(module), path)


def load_trained(module: torch.nn.Module, path, end_of_epoch: bool = True) -> None:
    """Load what ``save_trained`` saved.

    Arguments
    ---------
    module : torch.nn.Module
        An encoder adapted in the same way.
    path : path
        Where from.
    end_of_epoch : bool
        Of no importance here.

    Raises
    ------
    UserError
        If the encoder is adapted in another way.
    """
    del end_of_epoch
    load_trainable_state(
        module, torch.load(path, map_location="cpu", weights_only=True)
    )


class AtomicCheckpointer(Checkpointer):
    """A Checkpointer that shows a checkpoint only once all of it is written.

    SpeechBrain's own writes the description first, so that a run killed while it
    saves resumes from half a checkpoint.
    """

    def _new_checkpoint_dirpath(self):
        path = super()._new_checkpoint_dirpath()
        return path.with_name(UNFINISHED + path.name)

    def save_checkpoint(self, *args, **kwargs):
        """See ``Checkpointer.save_checkpoint``."""
        checkpoint = super().save_checkpoint(*args, **kwargs)
        ddp_barrier()  # every process may write a part
        if checkpoint is not None:
            path = checkpoint.path
            finished = path.rename(path.with_name(path.name.removeprefix(UNFINISHED)))
            files = {name: finished / file.name for name, file in checkpoint[2].items()}
            checkpoint = checkpoint._replace(path=finished, paramfiles=files)
        ddp_barrier()  # every process must see it from here on
        return checkpoint

    def clean(self) -> None:
        """Remove what a killed run left half-written."""
        if if_main_process():
            for path in self.checkpoints_dir.glob(f"{UNFINISHED}{CKPT_PREFIX}*"):
                shutil.rmtree(path)


@register_checkpoint_hooks
class RunState:
    """Random number generators and the seconds trained so far, as a recoverable.

    Example
    -------
    >>> import tempfile
    >>> state, path = RunState(), tempfile.mktemp()
    >>> state.save(path)
    >>> first = torch.rand(1)
    >>> state.load(path, end_of_epoch=True)
    >>> bool(torch.rand(1) == first)
    True
    """

    def __init__(self):
        self.seconds = 0.0

    @mark_as_saver
    def save(self, path):
        """Save the state of all generators."""
        name, keys, *rest = np.random.get_state()
        state = {
            "seconds": self.seconds,
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": [name, torch.from_numpy(keys.copy()), *rest],
            "python": random.getstate(),
        }
        torch.save(state, path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Restore the state of all generators."""
        del end_of_epoch  # the state is whole whenever it was saved
        state = torch.load(path, weights_only=True)
        self.seconds = state["seconds"]
        torch.set_rng_state(state["torch"])
        if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
            torch.cuda.set_rng_state_all(state["cuda"])
        name, keys, *rest = state["numpy"]
        np.random.set_state((name, keys.numpy(), *rest))
        random.setstate(state["python"])
