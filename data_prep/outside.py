"""What comes from outside: names, files and texts, taken so that they do no harm.

Whoever made an archive or a table chose the names in it and the letters of its texts.
"""

import os
import re
import stat
from pathlib import Path, PurePosixPath

from data_prep.errors import UserError

LARGEST = 1 << 28  # bytes of a file
ANEW = "get it anew"
# What moves a terminal's cursor, ends a line, or has a text read in another direction.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def inside(root: Path, name: str | PurePosixPath) -> Path:
    """Resolve the name of a file that somebody else gave; it must lie below a folder.

    Links are followed, and what they lead to must lie there too. Those right in the
    folder are its owner's (a corpus on another disk): what they lead to counts as below.

    Arguments
    ---------
    root : Path
        The folder.
    name : str
        From outside: relative to the folder, or absolute. It need not exist.

    Returns
    -------
    Path
        Below ``root`` as that is written, with its links unresolved.

    Raises
    ------
    UserError
        If it leads elsewhere, or can be no file's name.

    Example
    -------
    >>> inside(Path("/data"), "wav/a.wav").as_posix()
    '/data/wav/a.wav'
    >>> inside(Path("/data"), "wav/../../a.wav")
    Traceback (most recent call last):
        ...
    data_prep.errors.UserError: 'wav/../../a.wav' lies outside /data
    """
    root, text = Path(root), str(name)
    outside = UserError(f"{text!r:.200} lies outside {root}")
    try:
        os.fsencode(text)
    except ValueError as error:
        raise outside from error
    if not is_below(text):
        # Absolute, or with steps up: below the folder it may lie nevertheless.
        home = os.path.abspath(root)
        text = os.path.relpath(os.path.join(home, text), home)
    if not text.strip("./") or "\0" in text or not is_below(text):
        raise outside
    path, top = root / text, root / Path(text).parts[0]
    real = Path(os.path.realpath(path))
    # A link to one file is not as a disk that was added: it must lie there as any.
    homes = [root] if path == top else [root, top]
    if not any(real.is_relative_to(os.path.realpath(home)) for home in homes):
        raise outside
    return path


def is_below(name: str) -> bool:
    """Whether a relative path takes no step up; nothing is looked at on the disk.

    Arguments
    ---------
    name : str
        A path.

    Returns
    -------
    bool

    Example
    -------
    >>> is_below("wav/a.wav"), is_below("wav/../a.wav"), is_below("/a"), is_below("C:/a")
    (True, False, False, False)
    """
    return not (
        name.startswith("/")
        or ".." in PurePosixPath(name).parts
        or re.match(r"[a-z]:[/\\]", name, re.I)
    )


def read_bytes(
    path: Path, what: str, largest: int = LARGEST, mend: str = ANEW
) -> bytes:
    """Read a file that must be one: no folder, no pipe, no device, and not too large.

    Arguments
    ---------
    path : Path
        The file.
    what : str
        What it should be, for the message.
    largest : int
        Bytes.
    mend : str
        What to do about it, for the message.

    Returns
    -------
    bytes

    Raises
    ------
    UserError
        If it cannot be read, or is too large.
    """
    try:
        # A pipe without a writer would otherwise be waited for.
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(file, "rb") as stream:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise UserError(f"{path}, {what}, is no file: {mend}")
            data = stream.read(largest + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}, {what}, cannot be read: {reason}: {mend}") from error
    if len(data) > largest:
        raise UserError(f"{path}, {what}, is larger than {largest:,} bytes: {mend}")
    return data


def printable(text: object) -> str:
    r"""A text on one line, with what would change a terminal written out.

    Arguments
    ---------
    text : object
        From outside: a file's name, a label, an error that quotes one.

    Returns
    -------
    str

    Example
    -------
    >>> print(printable("a\x1b[2Jb\nc é"))
    a\x1b[2Jb\nc é
    """
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], str(text))
