"""Progress bars: for people at a terminal, and for nobody else."""

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar

from tqdm import tqdm

_silent = ContextVar("silent", default=False)


@contextlib.contextmanager
def silenced(silent: bool = True) -> Iterator[None]:
    """Within this no bar is shown, if ``silent``."""
    token = _silent.set(_silent.get() or silent)
    try:
        yield
    finally:
        _silent.reset(token)


def bar(*args, **options) -> tqdm:
    """A progress bar that leaves no line behind.

    Arguments
    ---------
    *args, **options
        Of ``tqdm``.

    Returns
    -------
    tqdm
        Disabled within ``silenced``, and where it would fill a log: its stream, stderr
        unless ``file`` is given, must be a terminal.

    Example
    -------
    >>> with silenced():
    ...     bar(range(3)).disable
    True
    """
    off = options.pop("disable", False) or _silent.get()
    # None is tqdm's own word for "unless it is a terminal".
    return tqdm(*args, **{"leave": False, **options}, disable=off or None)


def lock_alone() -> None:
    """Let the bars of this process alone take turns.

    By default they share a lock with other processes, which a SIGKILL of them all leaves
    in /dev/shm.
    """
    tqdm.set_lock(threading.RLock())
