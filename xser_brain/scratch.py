"""Folders for temporary files that go with their process, or after a kill with the next."""

import os
import shutil
import tempfile
from pathlib import Path

from data_prep.locks import ALONE, AT_ONCE, Lock

LOCK = "lock"


def hold(prefix: str, parent: Path | None = None) -> tuple[Path, Lock]:
    """Make a folder, and remove those of its kind whose process is gone.

    Arguments
    ---------
    prefix : str
        Of the names of its kind.
    parent : Path, optional
        By default the system's folder for temporary files.

    Returns
    -------
    Path, Lock
        The folder, and what holds it: for ``release``.

    Example
    -------
    >>> folder, lock = hold("example-")
    >>> release(folder, lock)
    >>> folder.exists()
    False
    """
    parent = Path(parent or tempfile.gettempdir())
    for folder in parent.glob(f"{prefix}*"):
        _remove_left(folder)
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    lock = Lock(made / LOCK)
    lock.acquire(ALONE)
    return made, lock


def release(folder: Path, lock: Lock) -> None:
    """Remove a folder.

    Arguments
    ---------
    folder, lock
        From ``hold``.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with lock:
        pass


def _remove_left(folder: Path) -> None:
    """Remove the folder of a process that was killed; that of a living one is locked."""
    lock = folder / LOCK
    if folder.is_symlink() or not lock.is_file() or lock.stat().st_uid != os.getuid():
        return
    with Lock(lock) as held:
        if held.acquire(ALONE | AT_ONCE):
            shutil.rmtree(folder, ignore_errors=True)
