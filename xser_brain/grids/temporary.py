"""One folder for the temporary files of a grid and its runs; no kill leaves it for good."""

import contextlib
import fcntl
import functools
import multiprocessing.util
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "xser-grid-"


@functools.cache
def folder() -> Path:
    """Make this process' folder below ``$TMPDIR``; remove those whose process is gone.

    It is locked as long as this process lives, and removed when it ends; after a SIGKILL
    it stays until the next call of any process. What Python needs to start runs
    (``multiprocessing``'s own folder, with a socket in it) lies in it, too.

    Returns
    -------
    Path
        Of the folder.
    """
    parent = Path(tempfile.gettempdir())
    for other in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), _locked(other):
            shutil.rmtree(other)
    made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    lock = contextlib.ExitStack()
    try:
        lock.enter_context(_locked(made))
    except OSError:  # another process has taken it for a forgotten one
        return folder.__wrapped__()
    tempfile.tempdir = str(made)
    try:
        multiprocessing.util.get_temp_dir()
    finally:
        tempfile.tempdir = str(parent)
    # Python removes its own at -100.
    multiprocessing.util.Finalize(None, _remove, args=(made, lock), exitpriority=-101)
    return made


def use(made: Path) -> None:
    """Let this process, and those that it starts, make temporary files in this folder."""
    os.environ["TMPDIR"] = str(made)
    tempfile.tempdir = None


@contextlib.contextmanager
def _locked(path: Path):
    """Hold a folder; OSError if another process does, or if it is not there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _remove(made: Path, lock: contextlib.ExitStack) -> None:
    shutil.rmtree(made, ignore_errors=True)
    lock.close()
