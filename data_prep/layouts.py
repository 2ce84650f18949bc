"""What corpora have in common that say everything in their file names."""

import re
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path

from data_prep.corpus import Rejected, Utterance, match_files

Walk = Callable[[Path], Iterator[Utterance | Rejected]]
Describe = Callable[[str, re.Match], Utterance | Rejected | None]


def named(
    pattern: str, on: str = "stem", copies: bool = False
) -> Callable[[Describe], Walk]:
    r"""Make a corpus' walking function out of one that describes a single file.

    Arguments
    ---------
    pattern : str
        Regular expression that a file's whole stem (or path) must match, whatever the
        case; other files are rejected.
    on : str
        ``stem`` or ``path``.
    copies : bool
        Whether the corpus comes with second copies of some files: the first of an id
        counts, the others are rejected. Elsewhere two files of one id are a mistake.

    Returns
    -------
    callable
        Decorator of ``(path, match) -> Utterance``, which may also give a Rejected, or
        None for a file to pass over.

    Example
    -------
    >>> import tempfile
    >>> @named(r"(\d+)_(happy|sad)")
    ... def utterances(path, match):
    ...     return Utterance(match[0], path, speaker=match[1], emotion=match[2])
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("3_sad.wav", "readme.wav"):
    ...     (folder / name).touch()
    >>> [item.path for item in utterances(folder) if isinstance(item, Utterance)]
    ['3_sad.wav']
    """

    def decorate(describe: Describe) -> Walk:
        @wraps(describe)
        def utterances(folder: Path) -> Iterator[Utterance | Rejected]:
            first: dict[str, str] = {}
            for found in match_files(folder, pattern, on):
                item = found if isinstance(found, Rejected) else describe(*found)
                if copies and isinstance(item, Utterance):
                    known = first.setdefault(item.id, item.path)
                    if known != item.path:
                        item = Rejected(item.path, f"a second copy of {known}")
                if item is not None:
                    yield item

        return utterances

    return decorate
