"""Where the curves of a run go beside train_log.txt, by SpeechBrain's loggers."""

import contextlib
import hashlib
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from speechbrain.utils.train_logger import TensorboardLogger, TrainLogger, WandBLogger

from data_prep.errors import UserError

KNOWN = ("tensorboard", "wandb")  # packages and extras of setup.py too


class _Tensorboard(TensorboardLogger):
    """By optimiser steps, which SpeechBrain's own counts by validations."""

    def log_stats(self, stats_meta, train_stats=None, valid_stats=None, **others):
        before = stats_meta["step"] - 1  # it adds one
        self.global_step = {
            "meta": before,
            "train": dict.fromkeys(train_stats, before),
            "valid": dict.fromkeys(valid_stats, before),
        }
        super().log_stats(stats_meta, train_stats, valid_stats, **others)

    def close(self) -> None:
        """Write all that is left."""
        if self.writer:
            self.writer.close()


class _WandB(WandBLogger):
    """By optimiser steps."""

    def log_stats(self, stats_meta, *stats, **others):
        # A run that is resumed validates some steps again, which wandb passes over.
        super().log_stats({**stats_meta, "epoch": stats_meta["step"]}, *stats, **others)

    def close(self) -> None:
        """Write all that is left."""
        if self.run:
            self.run.finish()


def check(names: object) -> None:
    """Refuse loggers that are unknown or not installed.

    Arguments
    ---------
    names : object
        ``loggers`` of a recipe: a sequence of ``tensorboard``, ``wandb`` and objects of
        subclasses of SpeechBrain's ``TrainLogger``.

    Raises
    ------
    UserError
        If it is none, or a package is not installed.

    Example
    -------
    >>> check(["tensorbord"])
    Traceback (most recent call last):
    data_prep.errors.UserError: loggers holds 'tensorbord': use tensorboard, wandb, ...
    """
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise UserError(f"loggers is {names!r}: give a list, as [tensorboard]")
    for name in names:
        if isinstance(name, TrainLogger):
            continue
        if name not in KNOWN:
            raise UserError(
                f"loggers holds {name!r}: use {', '.join(KNOWN)}, or an object of a "
                "subclass of speechbrain.utils.train_logger.TrainLogger"
            )
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"loggers: {name} is not installed: pip install 'xser-brain[{name}]'"
            )


@contextlib.contextmanager
def opened(
    names: Sequence, folder: Path, results: Path, settings: Mapping
) -> Iterator[list[TrainLogger]]:
    """Loggers for as long as a run trains.

    Arguments
    ---------
    names : sequence
        Of ``check``.
    folder : Path
        The run's; TensorBoard's lies in it.
    results : Path
        That of all runs. wandb's lies there, as it links to files elsewhere, which a
        run's folder may not.
    settings : mapping
        What decided on it, shown beside its curves.

    Yields
    ------
    list of TrainLogger

    Raises
    ------
    UserError
        If one cannot be begun.
    """
    make = {
        "tensorboard": lambda: _Tensorboard(str(folder / "tensorboard")),
        "wandb": lambda: _wandb(folder, results, settings),
    }
    with contextlib.ExitStack() as stack:
        loggers = [make[n]() if isinstance(n, str) else n for n in names]
        for logger in loggers:
            stack.callback(getattr(logger, "close", lambda: None))
        yield loggers


def _wandb(folder: Path, results: Path, settings: Mapping) -> TrainLogger:
    import wandb

    place = str(folder.resolve()).encode()
    try:
        return _WandB(
            wandb.init,
            project=os.environ.get("WANDB_PROJECT", "xser"),
            name=folder.relative_to(results).as_posix(),
            dir=str(results.resolve()),
            config=dict(settings),
            # The same run again, when it goes on.
            id=hashlib.sha256(place).hexdigest()[:16],
            resume="allow",
            settings=wandb.Settings(silent=True),
        )
    # SpeechBrain calls what was raised, so that another error comes here.
    except Exception as error:
        reason = str(error.__context__ or error).strip().splitlines()[0]
        raise UserError(
            f"wandb cannot begin ({reason}): `wandb login`, or set WANDB_MODE=offline, or "
            "leave it out of loggers"
        ) from error
