"""What tells one recording from another: hashes of its file, and of its samples.

The one finds features again, which are of a file as it is; by the other a recording is
known in whatever file it was copied to. Both are computed together, and remembered.
"""

import contextlib
import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep import audio
from data_prep.audio import AudioError
from data_prep.errors import UserError
from data_prep.manifest import write_atomic
from data_prep.outside import printable, read_json

MEMORY = ".audio.json"
SETTLED = 2  # seconds; a file changed since then may change again unnoticed
BLOCK = 1 << 20  # bytes read, or samples decoded, at once
SHOWN = 5  # of recordings that are there twice


class Hashes(NamedTuple):
    """SHA-256 of a file's bytes, and of its samples; empty where there are none."""

    file: str
    samples: str


def hash_audio(path: str) -> Hashes:
    """Hash a file, and the samples in it with their rate and number of channels.

    Arguments
    ---------
    path : str
        The audio file.

    Returns
    -------
    Hashes
        ``samples``, of 32-bit floats, are the same in a copy with another header or as
        FLAC, and empty if the file does not decode or is beyond a limit of
        ``data_prep.audio``; both are if it cannot be read.
    """
    if not os.path.isfile(path):
        return Hashes("", "")
    content = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while data := stream.read(BLOCK):
                content.update(data)
    except OSError:
        return Hashes("", "")
    try:
        with audio.opened(path, audio.DAY) as (stream, header):
            rate = f"{header.sample_rate} {header.channels} "
            samples = hashlib.sha256(rate.encode())
            for block in audio.blocks(stream, header.frames, BLOCK):
                samples.update(block.data)
    except AudioError:
        return Hashes(content.hexdigest(), "")
    return Hashes(content.hexdigest(), samples.hexdigest())


class AudioHashes:
    """Hashes of recordings, remembered while a file stays as it is.

    A file counts as unchanged while its size, its times of change and its inode are
    the same. Writing to it changes ``ctime``, which no program can set back.

    Arguments
    ---------
    root : path, optional
        The folder in which to remember them.
    """

    def __init__(self, root: str | Path | None = None):
        self._path = None if root is None else Path(root) / MEMORY

    def _remembered(self) -> dict[str, list]:
        try:
            return read_json(self._path, "hashes of recordings", {str: [(int, str)]})
        except (UserError, TypeError):
            return {}

    def of(self, paths: Sequence[str], title: str = "hashes") -> dict[str, Hashes]:
        """Hash recordings.

        Arguments
        ---------
        paths : sequence of str
            The files.
        title : str
            Shown beside the progress bar.

        Returns
        -------
        dict of str to Hashes
            By path.
        """
        remembered, now, hashes, lacking = self._remembered(), time.time(), {}, {}
        for path in paths:
            try:
                stat = os.stat(path)
            except OSError:
                hashes[path] = Hashes("", "")
                continue
            state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
            known = remembered.get(os.path.abspath(path), ())
            *past, file, samples = known if len(known) > 1 else (None, None)
            if past == state and isinstance(file, str) and isinstance(samples, str):
                hashes[path] = Hashes(file, samples)
            else:
                lacking[path] = state
        if lacking:
            found = audio.for_all(hash_audio, [*lacking], title)
            hashes.update(zip(lacking, found, strict=True))
        settled = {
            os.path.abspath(path): [*state, *hashes[path]]
            for path, state in lacking.items()
            if now - max(state[1:3]) / 1e9 > SETTLED
        }
        if settled and self._path:
            with contextlib.suppress(UserError, UnicodeEncodeError):  # then not
                text = json.dumps({**self._remembered(), **settled})
                write_atomic(self._path, text.encode())
        return hashes


def twins(
    recordings: Iterable[tuple[str, str, str, str]], shown: int | None = SHOWN
) -> Iterator[str]:
    """Name the same recording under several names, worst first.

    Arguments
    ---------
    recordings : iterable of (str, str, str, str)
        Hash, name, emotion and split of each.
    shown : int, optional
        How many of them are named; None for all.

    Returns
    -------
    iterator of str
        Lines.

    Example
    -------
    >>> for line in twins([("f0", "a", "sad", ""), ("f0", "b", "happy", "")]):
    ...     print(line)
    a and b are one recording, under two emotions (happy, sad)
    """
    groups = defaultdict(list)
    for digest, *about in recordings:
        if digest:
            groups[digest].append(about)
    lines = []
    for group in groups.values():
        if len(group) > 1:
            names, emotions, splits = zip(*group, strict=True)
            kinds = [
                f"under two {what} ({', '.join(sorted({*values}))})"
                for what, values in (("emotions", emotions), ("splits", splits))
                if len({*values}) > 1
            ]
            how = " and ".join(kinds) or "under two names"
            text = f"{' and '.join(map(printable, names))} are one recording, {how}"
            lines.append((-len(kinds), text))
    lines.sort()
    yield from (text for _, text in lines[:shown])
    if shown is not None and len(lines) > shown:
        yield f"  and {len(lines) - shown:,} more recordings under two names"
