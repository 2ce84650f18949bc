"""A disk that takes nothing more, in whosever words it says so."""

import contextlib
import errno
import os
import re
from pathlib import Path

CODES = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EFBIG,
)
# torch writes files by itself, and says neither which nor why.
TORCH = "PytorchStreamWriter|iostream|inline_container|unexpected pos"
PROBE = 1 << 20  # bytes
MEND = "free the disk or pass --results=DIR; the run goes on where it stopped"


def reason(error: BaseException, folder: Path | None = None) -> str | None:
    """Why something could not be written, or None if that was not the matter.

    Arguments
    ---------
    error : BaseException
        What was raised.
    folder : Path, optional
        Where it was to be written: asked again, it says why.

    Returns
    -------
    str or None

    Raises
    ------
    FileNotFoundError
        If the folder itself is gone.

    Example
    -------
    >>> reason(OSError(errno.ENOSPC, "No space left on device", "a.pt"))
    'a.pt: No space left on device'
    >>> reason(RuntimeError("PytorchStreamWriter failed writing file data/0"))
    'a checkpoint: No space left on device'
    >>> reason(ValueError("another matter")) is None
    True
    """
    chain, link = [], error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        if isinstance(link, OSError) and link.errno in CODES:
            return f"{link.filename or folder or 'a file'}: {link.strerror}"
    for link in chain:
        for code in CODES:
            if os.strerror(code) in str(link):
                return f"{folder or 'a file'}: {os.strerror(code)}"
    if not isinstance(error, RuntimeError):
        return None
    if folder is not None:
        refusal = _probe(folder)
        if isinstance(refusal, FileNotFoundError):
            raise FileNotFoundError(
                refusal.errno, refusal.strerror, str(folder)
            ) from error
        return refusal and f"{folder}: {refusal.strerror}"
    if re.search(TORCH, str(error)):
        return f"a checkpoint: {os.strerror(errno.ENOSPC)}"
    return None


def _probe(folder: Path) -> OSError | None:
    """What the disk answers when asked in words that it must answer."""
    path = Path(folder) / f".probe.{os.getpid()}"
    try:
        path.write_bytes(bytes(PROBE))
    except OSError as error:
        return error
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
    return None
