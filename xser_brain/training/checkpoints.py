"""Checkpoints from which a killed run goes on as if it had not been killed."""

import logging
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch
from speechbrain.utils.checkpoints import (
    CKPT_PREFIX,
    METAFNAME,
    Checkpoint,
    Checkpointer,
    ckpt_recency,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.epoch_loop import EpochCounterWithStopper

from data_prep.errors import UserError
from data_prep.manifest import file_sha256, write_atomic
from data_prep.outside import fit, printable
from xser_brain.encoders import Encoder
from xser_brain.training import disk

logger = logging.getLogger(__name__)

UNFINISHED, DAMAGED = "unfinished-", "damaged-"
SUMS = "sha256.txt"  # in a checkpoint, of all its other files
BEST = "best"  # in a checkpoint's description: the best score so far
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


def _sums(folder: Path) -> str:
    """A line a file: its hash and its name, as ``sha256sum`` writes them."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{file_sha256(path)}  {path.name}\n" for path in files)


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint is what was written, to the last bit.

    Arguments
    ---------
    folder : Path
        Of the checkpoint. One of an earlier version has no hashes: of that, only the
        checksums that torch's own files hold are compared.

    Returns
    -------
    bool
    """
    sums = folder / SUMS
    try:
        if sums.exists():
            return sums.read_bytes() == _sums(folder).encode()
        for path in filter(zipfile.is_zipfile, folder.iterdir()):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    return False
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return False
    return True


def _recency(checkpoint: Checkpoint) -> tuple:
    """By steps, not by a clock that may be set; the clock decides among equals."""
    meta = checkpoint.meta
    return meta.get("step", 0), meta["end-of-epoch"], meta["unixtime"]


class AtomicCheckpointer(Checkpointer):
    """A Checkpointer that shows a checkpoint only once all of it is written.

    SpeechBrain's own writes the description first, so that a run killed while it
    saves resumes from half a checkpoint. A whole one never changes, and so its
    description is read once. Each has hashes of its files, and what is not as it was
    written is not loaded. The latest is that of the most steps.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._known = {}
        self._compared: set[Path] = set()

    def find_checkpoints(
        self,
        importance_key=None,
        max_key=None,
        min_key=None,
        ckpt_predicate=None,
        max_num_checkpoints=None,
    ):
        """See ``Checkpointer.find_checkpoints``; of equals the latest comes first."""
        found = sorted(self.list_checkpoints(), key=_recency, reverse=True)
        if ckpt_predicate:
            found = [item for item in found if ckpt_predicate(item)]
        key = max_key or min_key
        if key:
            found = [item for item in found if key in item.meta]
            found.sort(key=lambda item: item.meta[key], reverse=bool(max_key))
        elif importance_key not in (None, ckpt_recency):
            found.sort(key=importance_key, reverse=True)
        return found[:max_num_checkpoints]

    def load_checkpoint(self, checkpoint):
        """See ``Checkpointer.load_checkpoint``; a damaged one is not loaded."""
        path = checkpoint.path
        if path not in self._compared and not is_whole(path):
            raise UserError(
                f"{path} was damaged meanwhile: give the same command again, it is set "
                "aside and the run goes on from the one before"
            )
        self._compared.add(path)
        try:
            super().load_checkpoint(checkpoint)
        except (UserError, MemoryError, torch.OutOfMemoryError):
            raise
        # Of each part, what reads it fails in its own way.
        except Exception as error:
            raise _damaged(path, error) from error

    def set_damaged_aside(self) -> None:
        """Leave out what is not as it was written, and what cannot do without it.

        The best checkpoint is what is scored in the end: if it is lost, so are those
        after it, and training goes back to before it.
        """
        for path in sorted(self._list_checkpoint_dirs()):
            if not is_whole(path):
                self._set_aside(path, "is not as it was written")
            elif not (path / SUMS).exists():
                logger.info("%s has no hashes: it is of an earlier version", path)
        best = max(
            (c.meta["score"] for c in self.list_checkpoints() if "score" in c.meta),
            default=-np.inf,
        )
        for checkpoint in self.list_checkpoints():
            if checkpoint.meta.get(BEST, -np.inf) > best:
                self._set_aside(checkpoint.path, "needs one that was damaged")

    def _set_aside(self, path: Path, why: str) -> None:
        aside = path.with_name(DAMAGED + path.name)
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        logger.warning(
            "%s %s: set aside as %s; going on from the one before, or from the start",
            path, why, aside.name,
        )  # fmt: skip

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

    def _new_checkpoint_dirpath(self):
        path = super()._new_checkpoint_dirpath()
        path = path.with_name(UNFINISHED + path.name)
        # SpeechBrain would make the run's folder anew if it was moved away, and the run
        # end well in one that lacks all that went before.
        path.mkdir()
        return path

    def save_checkpoint(self, *args, **kwargs):
        """See ``Checkpointer.save_checkpoint``."""
        try:
            checkpoint = super().save_checkpoint(*args, **kwargs)
        except (OSError, RuntimeError) as error:
            refused = disk.reason(error, self.checkpoints_dir)
            if refused is None:
                raise
            raise UserError(f"cannot write {refused}: {disk.MEND}") from error
        ddp_barrier()  # every process may write a part
        if checkpoint is not None:
            path = checkpoint.path
            write_atomic(path / SUMS, _sums(path).encode())
            finished = path.rename(path.with_name(path.name.removeprefix(UNFINISHED)))
            files = {name: finished / file.name for name, file in checkpoint[2].items()}
            checkpoint = checkpoint._replace(path=finished, paramfiles=files)
        ddp_barrier()  # every process must see it from here on
        return checkpoint

    def clean(self) -> None:
        """Remove what a killed run left half-written."""
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
