"""Locks of the kernel (flock): they end with the process that holds them."""

import contextlib
import os
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none: no lock is ever given there
    fcntl = None

SHARED, ALONE, AT_ONCE = 1, 2, 4  # LOCK_SH, LOCK_EX, LOCK_NB


class Lock:
    """A lock on a file; where there can be none, nobody else writes either.

    Arguments
    ---------
    path : Path
        The file, made if need be.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> first, second = Lock(path), Lock(path)
    >>> first.acquire(ALONE), second.acquire(ALONE | AT_ONCE)
    (True, False)
    """

    def __init__(self, path: Path):
        self._descriptor = -1
        for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o666)
                break
        if self._descriptor >= 0:
            self.close = weakref.finalize(self, os.close, self._descriptor)

    def acquire(self, mode: int) -> bool:
        """Take the lock if possible, and return whether it was taken.

        ``mode`` is ``SHARED`` or ``ALONE``; with ``| AT_ONCE`` without waiting.
        """
        try:
            fcntl.flock(self._descriptor, mode)
        except (OSError, ValueError, AttributeError):
            return False
        return True

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *exception) -> None:
        if self._descriptor >= 0:
            self.close()
