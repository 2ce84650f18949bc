"""Where a server keeps recordings while it needs them, and nothing afterwards."""

import shutil
import tempfile
import threading
import time
from pathlib import Path

from xser_brain import scratch

PREFIX = "xser-serve-"
EVERY = 5.0  # seconds
SENT, CLAIMED = 30.0, 900.0  # seconds until a file goes that nobody takes


class Uploads:
    """A folder of its own, removed at the end.

    What is sent lies in ``folder``, under its content's hash and so perhaps for several
    visitors at once, and goes after half a minute. Until then whoever needs it
    claims it, and removes what was claimed. What a killed server left goes when the next
    one starts.

    Arguments
    ---------
    parent : Path, optional
        By default the system's folder for temporary files.

    Example
    -------
    >>> with Uploads() as uploads:
    ...     sent = uploads.folder / "clip.wav"
    ...     size = sent.write_bytes(b"RIFF")
    ...     claimed = uploads.claim(sent)
    ...     sent.unlink()
    ...     claimed.read_bytes()
    b'RIFF'
    >>> claimed.exists()
    False
    """

    def __init__(self, parent: Path | None = None):
        self.root, self._lock = scratch.hold(PREFIX, parent)
        self.folder, self._claimed = self.root / "sent", self.root / "claimed"
        self.folder.mkdir()
        self._claimed.mkdir()
        self._kept: frozenset[Path] = frozenset()
        self._ended = threading.Event()

    def keep(self) -> None:
        """Leave what lies in ``folder`` by now where it is."""
        self._kept = frozenset(self.folder.rglob("*"))

    def claim(self, path: str | Path) -> Path:
        """Keep a recording until it has been classified.

        Arguments
        ---------
        path : path
            Below ``folder``.

        Returns
        -------
        Path
            For ``release``.

        Raises
        ------
        OSError
            If it is gone.
        """
        own = Path(tempfile.mkdtemp(dir=self._claimed)) / Path(path).name
        shutil.copyfile(path, own)
        return own

    def release(self, claimed: Path) -> None:
        """Remove what was claimed.

        Arguments
        ---------
        claimed : Path
            From ``claim``.
        """
        shutil.rmtree(claimed.parent, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what has had its time."""
        for folder, seconds in ((self.folder, SENT), (self._claimed, CLAIMED)):
            # The deepest first, so that folders are empty when their turn comes.
            for path in sorted(folder.rglob("*"), reverse=True):
                if path not in self._kept:
                    _remove_old(path, time.time() - seconds)

    def _sweep(self) -> None:
        while not self._ended.wait(EVERY):
            self.sweep()

    def __enter__(self) -> "Uploads":
        threading.Thread(target=self._sweep, daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self._ended.set()
        scratch.release(self.root, self._lock)


def _remove_old(path: Path, before: float) -> None:
    try:
        if path.stat().st_mtime < before:
            path.rmdir() if path.is_dir() else path.unlink()
    except OSError:  # not empty, or removed by somebody else
        pass
