"""Arrays on disk: found again only under what they depend on, and bounded in all.

A folder may serve many runs at once, each with one group of arrays or more::

    FOLDER/<key>/about.json         what the arrays of this group are
    FOLDER/<key>/<na>/<name>.npy    one array, and then the CRC-32 of its bytes
    FOLDER/<key>.lock               held (shared) by each process that uses the group
    FOLDER/.lock                    held while arrays are evicted
    FOLDER/.audio.json              hashes of recordings, as long as they do not change

``key`` and ``name`` are hashes of all that an array depends on, so nothing in here ever
becomes out of date. Files are written whole or not at all. What is used gets a new
access time, and the longest unused is evicted first, but nothing of a group that another
process holds. The locks are the kernel's (flock): none outlives its process.
"""

import contextlib
import functools
import io
import json
import logging
import math
import mmap
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from data_prep.hashes import MEMORY
from data_prep.locks import ALONE, AT_ONCE, SHARED, Lock
from data_prep.manifest import write_atomic
from data_prep.outside import printable, read_json

logger = logging.getLogger(__name__)

ABOUT = "about.json"
GB = 1e9
CRC_BYTES = 4
ABANDONED = 3600  # seconds after which a half-written file has no writer any more
RECENT = 60 * 10**9  # nanoseconds within which a use need not be noted again


class Damaged(ValueError):
    """A file that does not hold the array that was written."""


@functools.lru_cache(4096)
def _layout(header: bytes) -> tuple[tuple[int, ...], np.dtype]:
    stream = io.BytesIO(header)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise Damaged("of another version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran or dtype.kind != "f":
        raise Damaged("no plain array of floats")
    return shape, dtype


def read_array(path: Path, verify: bool = True) -> np.ndarray:
    """Map an array into memory; a change of it does not reach the file.

    The file's access time is set, since many disks are mounted without. With ``verify``
    all of it is read and its checksum compared.

    Raises
    ------
    FileNotFoundError
        If there is none.
    Damaged
        If the file was cut or changed.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        stat, now = os.fstat(descriptor), time.time_ns()
        if now - stat.st_atime_ns > RECENT:
            with contextlib.suppress(OSError):  # not ours, or read-only
                os.utime(descriptor, ns=(now, stat.st_mtime_ns))
        data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    except ValueError as error:
        raise Damaged("empty") from error
    finally:
        os.close(descriptor)
    start = 10 + int.from_bytes(data[8:10], "little")
    try:
        shape, dtype = _layout(data[:start])
    # numpy reads the header as Python, which can be wrong in as many ways.
    except Exception as error:
        raise Damaged(str(error)) from error
    end = start + math.prod(shape) * dtype.itemsize
    if len(data) != end + CRC_BYTES:
        raise Damaged("of another size")
    array = np.frombuffer(data, dtype, math.prod(shape), start).reshape(shape)
    if verify and zlib.crc32(array) != int.from_bytes(data[end:], "little"):
        raise Damaged("of another content")
    return array


@dataclass
class Entry:
    """One array's file: its path, bytes, and when it was last used (Unix time)."""

    path: Path
    size: int
    used: float


@dataclass
class Group:
    """All arrays of one key.

    Arguments
    ---------
    key : str
        The key.
    about : dict
        What the arrays are; empty if that can no longer be read.
    entries : list of Entry
        The arrays.
    """

    key: str
    about: dict
    entries: list[Entry] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(entry.size for entry in self.entries)

    @property
    def used(self) -> float:
        """When one of the arrays was last used (Unix time); 0 if there are none."""
        return max((entry.used for entry in self.entries), default=0.0)


def _files(folder: Path) -> Iterator[os.DirEntry]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as items:
        for item in items:
            if item.is_dir(follow_symlinks=False):
                yield from _files(Path(item.path))
            else:
                yield item


def groups(root: Path) -> list[Group]:
    """The groups of arrays in a folder of stores, by key."""
    found = []
    for about in sorted(Path(root).glob(f"*/{ABOUT}")):
        try:
            facts = read_json(about, "what features are")
        except UserError:
            facts = {}
        group = Group(about.parent.name, facts)
        for item in _files(about.parent):
            with contextlib.suppress(OSError):  # gone by now, or not ours
                stat = item.stat()
                if item.name.endswith(".npy"):
                    entry = Entry(Path(item.path), stat.st_size, stat.st_atime)
                    group.entries.append(entry)
                elif item.name.endswith(".tmp") and (
                    time.time() - stat.st_mtime > ABANDONED
                ):
                    os.unlink(item.path)
        found.append(group)
    return found


def table(found: Sequence[Group]) -> str:
    """Describe groups in lines of text.

    Example
    -------
    >>> print(table([Group("3f", {"source": "a", "what": "front end"})]))
    key  source  what       dtype  entries   MB  last used
    3f   a       front end  ?            0  0.0  never
    """
    lines = [("key", "source", "what", "dtype", "entries", "MB", "last used")]
    for group in found:
        facts = [
            printable(group.about.get(key, "?"))[:60]
            for key in ("source", "what", "dtype")
        ]
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(group.used))
        size = f"{group.size / 1e6:.1f}"
        count = str(len(group.entries))
        lines.append((group.key, *facts, count, size, used if group.used else "never"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            value.rjust(width) if title in ("entries", "MB") else value.ljust(width)
            for title, value, width in zip(lines[0], line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def remove(root: Path, keys: Sequence[str]) -> list[str]:
    """Remove groups by key; the keys that were left because a process uses them.

    UserError if files there may not be removed.
    """
    root, used = Path(root), []
    try:
        with Lock(root / ".lock") as all_of_it:
            all_of_it.acquire(ALONE)
            for group in groups(root):
                if group.key not in keys:
                    continue
                with Lock(root / f"{group.key}.lock") as lock:
                    if not lock.acquire(ALONE | AT_ONCE):
                        used.append(group.key)
                        continue
                    _remove_group(root / group.key)
            if not groups(root):
                (root / MEMORY).unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot remove {error.filename}: {error.strerror}: ask its owner"
        ) from error
    return used


def _remove_group(folder: Path) -> None:
    for item in list(_files(folder)):
        if item.name.endswith((".npy", ".tmp")):
            os.unlink(item.path)
    (folder / ABOUT).unlink(missing_ok=True)
    for emptied in (*folder.iterdir(), folder):
        with contextlib.suppress(OSError):  # what is not ours stays
            emptied.rmdir()


class Store:
    """The arrays of one key, for one process.

    Arguments
    ---------
    root : path
        The folder.
    key : str
        The group.
    about : dict
        What the arrays are, for people.
    limit : float
        GB that all groups of the folder may take together. It is seen to before a run
        adds to them; runs that begin at the same moment may pass it once.

    Example
    -------
    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp(), "key", {})
    >>> store.write("name", np.ones((2, 3), np.float32))
    >>> store.read("name").tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    >>> store.read("other") is None
    True
    """

    def __init__(
        self, root: str | Path, key: str, about: dict, limit: float = math.inf
    ):
        self.root, self.key, self.about = Path(root), key, about
        self.folder = self.root / key
        self.limit = limit * GB
        self.kept: set[str] = set()
        self.damaged = 0
        self._lock = Lock(self.root / f"{key}.lock")
        self._lock.acquire(SHARED)

    def path(self, name: str) -> Path:
        """The path of an array."""
        return self.folder / name[:2] / f"{name}.npy"

    def read(self, name: str, verify: bool = True) -> np.ndarray | None:
        """Map an array into memory; None if there is none, or it is damaged.

        It is not evicted as long as this object lives. With ``verify`` all of it is
        read and its checksum compared.
        """
        self.kept.add(name)
        try:
            return read_array(self.path(name), verify)
        except FileNotFoundError:
            return None
        except (Damaged, OSError):
            self.damaged += 1
            return None

    def write(self, name: str, array: np.ndarray) -> None:
        """Keep an array of floats; UserError if the disk is full or read-only."""
        self.kept.add(name)
        array = np.ascontiguousarray(array)
        buffer = io.BytesIO()
        np.save(buffer, array)
        buffer.write(zlib.crc32(array).to_bytes(CRC_BYTES, "little"))
        try:
            if not (self.folder / ABOUT).exists():
                text = json.dumps(self.about, indent=1)
                write_atomic(self.folder / ABOUT, text.encode())
            write_atomic(self.path(name), buffer.getvalue())
        except UserError as error:
            raise self._refusal(error.__cause__.strerror) from error

    def _refusal(self, reason: str) -> UserError:
        return UserError(
            f"cannot keep features in {self.root}: {reason}: make room there, or pass "
            "--features=DIR for another folder or --cache=none for none"
        )

    def make_room(self, size: int) -> None:
        """Evict what was not used for longest, so that ``size`` more bytes fit.

        UserError if that is not enough, or the disk is full.
        """
        with Lock(self.root / ".lock") as lock:
            lock.acquire(ALONE)
            found = groups(self.root)
            excess = sum(group.size for group in found) + size - self.limit
            if excess > 0:
                self._evict(found, excess)
        free = shutil.disk_usage(_existing(self.root)).free
        if size > free:
            raise self._refusal(
                f"up to {size / GB:.2f} GB are to be written, {free / GB:.2f} are free"
            )

    def _evict(self, found: list[Group], excess: float) -> None:
        with contextlib.ExitStack() as stack:
            candidates = []
            for group in found:
                own = group.key == self.key
                lock = self._lock
                if not own:
                    lock = stack.enter_context(Lock(self.root / f"{group.key}.lock"))
                if lock.acquire(ALONE | AT_ONCE):
                    candidates += [
                        entry
                        for entry in group.entries
                        if not (own and entry.path.stem in self.kept)
                    ]
                if own:
                    lock.acquire(SHARED)
            candidates.sort(key=lambda entry: entry.used)
            if sum(entry.size for entry in candidates) < excess:
                raise UserError(
                    f"{self.root} is bound to {self.limit / GB:g} GB, and what this run "
                    f"and others use now takes {excess / GB:.2g} GB more: raise "
                    "--cache_limit, or pass --cache_dtype=float16, --features=DIR or "
                    "--cache=none"
                )
            removed = 0
            for entry in candidates:
                if excess <= 0:
                    break
                entry.path.unlink(missing_ok=True)
                excess -= entry.size
                removed += 1
        logger.info("evicted the %d features not used for longest", removed)


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that there is."""
    path = path.absolute()
    return next(p for p in (path, *path.parents) if p.exists())
