"""Checkpoints from which a killed run goes on as if it had not been killed."""

import random
import shutil

import numpy as np
import torch
from speechbrain.utils.checkpoints import (
    CKPT_PREFIX,
    METAFNAME,
    Checkpointer,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.epoch_loop import EpochCounterWithStopper

from data_prep.errors import UserError
from data_prep.outside import fit, printable
from xser_brain.encoders import Encoder

UNFINISHED = "unfinished-"
META = {"unixtime": float, "end-of-epoch": bool, "score?": float}

# SpeechBrain leaves this out, so that a resumed run would forget its patience.
register_checkpoint_hooks(EpochCounterWithStopper)


def save_trained(encoder: Encoder, path) -> None:
    """Save ``encoder.trained_state()``: of an adapted encoder a few MB."""
    if if_main_process():
        torch.save(encoder.trained_state(), path)


def load_trained(encoder: Encoder, path, end_of_epoch: bool = True) -> None:
    """Load what ``save_trained`` saved, strictly."""
    del end_of_epoch
    encoder.load_trained_state(torch.load(path, map_location="cpu", weights_only=True))


class AtomicCheckpointer(Checkpointer):
    """A Checkpointer that shows a checkpoint only once all of it is written.

    SpeechBrain's own writes the description first, so that a run killed while it
    saves resumes from half a checkpoint. A whole one never changes, and so its
    description is read once.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._known = {}

    def list_checkpoints(self):
        """See ``Checkpointer.list_checkpoints``."""
        known = {}
        for path in self._list_checkpoint_dirs():
            # The name of one that was deleted may be taken again in that second.
            key = path, (path / METAFNAME).stat().st_mtime_ns
            if key not in self._known:
                self._known[key] = self._described(path)
            known[key] = self._known[key]
        self._known = known
        return [*known.values()]

    def _described(self, path):
        """What a checkpoint says of itself, if it is what a run writes."""
        try:
            (checkpoint,) = self._construct_checkpoint_objects([path])
            fit(checkpoint.meta, META)
        # YAML read by another library, each with errors of its own.
        except Exception as error:
            raise _damaged(path, error) from error
        return checkpoint

    def load_checkpoint(self, checkpoint):
        """See ``Checkpointer.load_checkpoint``."""
        try:
            super().load_checkpoint(checkpoint)
        except (UserError, MemoryError, torch.OutOfMemoryError):
            raise
        # Of each part, what reads it fails in its own way.
        except Exception as error:
            raise _damaged(checkpoint.path, error) from error

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


def _damaged(path, error: Exception) -> UserError:
    reason = printable(" ".join(str(error).split()))[:200] or type(error).__name__
    return UserError(
        f"the checkpoint {path} cannot be used ({reason}): remove it, and the run goes "
        "on from an earlier one or from its start"
    )


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
