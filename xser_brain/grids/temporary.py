"""One folder for the temporary files of a grid and its runs; no kill leaves it for good."""

import functools
import multiprocessing.util
import os
import tempfile
from pathlib import Path

from xser_brain import scratch

PREFIX = "xser-grid-"


@functools.cache
def folder() -> Path:
    """Make this process' folder below ``$TMPDIR``.

    It is removed when the process ends; after a SIGKILL when the next one calls this. What
    Python needs to start runs (``multiprocessing``'s own folder, with a socket in it) lies
    in it, too.

    Returns
    -------
    Path
        Of the folder.
    """
    made, lock = scratch.hold(PREFIX)
    before, tempfile.tempdir = tempfile.tempdir, str(made)
    try:
        multiprocessing.util.get_temp_dir()
    finally:
        tempfile.tempdir = before
    # Python removes its own at -100.
    multiprocessing.util.Finalize(
        None, scratch.release, args=(made, lock), exitpriority=-101
    )
    return made


def use(made: Path) -> None:
    """Let this process, and those that it starts, make temporary files in this folder."""
    os.environ["TMPDIR"] = str(made)
    tempfile.tempdir = None
