"""Arrays on disk: found again only under what they depend on, and bounded in all.

A folder may serve many runs at once, each with one group of arrays or more::

    FOLDER/<key>/about.json       what the arrays of this group are
    FOLDER/<key>/<...>.shard      many arrays, see ``xser_brain.features.shards``
    FOLDER/<key>.lock             held (shared) by each process that uses the group
    FOLDER/.lock                  held while arrays are evicted
    FOLDER/.audio.json            hashes of recordings, as long as they do not change

``key`` and an array's name are hashes of all that it depends on, so nothing in here ever
becomes out of date. Each process collects what it has computed and writes a shard of it
every now and then, whole or not at all: a kill loses what was not written yet. What is
used gets a new access time, and the longest unused shards are evicted first, but nothing
of a group that another process holds. The locks are the kernel's (flock): none outlives
its process.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.errors import UserError
from data_prep.hashes import MEMORY
from data_prep.locks import ALONE, AT_ONCE, SHARED, Lock
from data_prep.manifest import write_atomic
from data_prep.outside import printable, read_json
from xser_brain.features import shards
from xser_brain.features.shards import SUFFIX, Damaged, Shard

logger = logging.getLogger(__name__)

ABOUT = "about.json"
EARLIER = ".npy"  # one array a file, of earlier versions: not read, but evicted
GB = 1e9
LARGEST = 64 * 10**6  # bytes of arrays that are collected before they are written
# Seconds after which they are written though they are few: more each time, so that
# several processes soon see what the others have done, and shards are few all the same.
FIRST, LONGEST = 1.0, 60.0
LOOK = 1.0  # seconds
MOST_OPEN = 512  # shards that are mapped at a time: each takes a file descriptor
SHIFT, MASK = 32, 2**32 - 1
ABANDONED = 3600  # seconds after which a half-written file has no writer any more


@dataclass
class Entry:
    """A file: its path, bytes, arrays, and when it was last used (Unix time)."""

    path: Path
    size: int
    used: float
    arrays: int = 1


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
        Their files.
    """

    key: str
    about: dict
    entries: list[Entry] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(entry.size for entry in self.entries)

    @property
    def arrays(self) -> int:
        """How many arrays there are."""
        return sum(entry.arrays for entry in self.entries)

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
                if item.name.endswith((SUFFIX, EARLIER)):
                    path = Path(item.path)
                    group.entries.append(
                        Entry(path, stat.st_size, stat.st_atime, shards.count(path))
                    )
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
        count = str(group.arrays)
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
        if item.name.endswith((SUFFIX, EARLIER, ".tmp")):
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
    >>> store.seal()
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
        self.kept: set[int] = set()  # numbers of shards
        self.damaged = 0
        self._lock = Lock(self.root / f"{key}.lock")
        self._lock.acquire(SHARED)
        self._shards: list[Path] = []
        self._places: dict[bytes, int] = {}  # number of the shard, and in the shard
        self._open: dict[int, Shard] = {}
        self._opening = threading.Lock()  # several threads may read at once
        self._looked = -math.inf
        self._seen = -1  # when the folder had changed last
        self._waiting: dict[bytes, np.ndarray] = {}
        self._bytes, self._since, self._patience = 0, 0.0, FIRST

    def refresh(self) -> None:
        """Look for what other processes have written."""
        try:
            changed = self.folder.stat().st_mtime_ns
            if changed == self._seen:
                return
            with os.scandir(self.folder) as items:
                there = {
                    Path(item.path): item.stat().st_mtime_ns
                    for item in items
                    if item.name.endswith(SUFFIX)
                }
        except OSError:
            return
        self._seen = changed
        # What was written last counts.
        for path in sorted(there.keys() - {*self._shards}, key=there.get):
            number = self._take_in(path, ())
            if shard := self._shard(number):
                self._place(number, shard.keys)

    def _take_in(self, path: Path, keys: Sequence[bytes]) -> int:
        self._shards.append(path)
        number = len(self._shards) - 1
        self._place(number, keys)
        return number

    def _place(self, number: int, keys: Sequence[bytes]) -> None:
        first = number << SHIFT
        self._places.update(zip(keys, range(first, first + len(keys)), strict=True))

    def _shard(self, number: int) -> Shard | None:
        """Open a shard, or find it open; None if it is gone or damaged."""
        with self._opening:
            if shard := self._open.get(number):
                return shard
            try:
                shard = Shard(self._shards[number])
            except Damaged:
                self._drop(number)
                return None
            except OSError:
                return None
            while len(self._open) >= MOST_OPEN:
                self._open.pop(next(iter(self._open)))
            self._open[number] = shard
        return shard

    def _drop(self, number: int) -> None:
        """Remove a damaged shard: all of it is computed again."""
        self.damaged += 1
        self._open.pop(number, None)
        with contextlib.suppress(OSError):
            self._shards[number].unlink()

    def path(self, name: str) -> Path | None:
        """The shard that an array is in, as far as is known."""
        place = self._places.get(_key(name))
        return None if place is None else self._shards[place >> SHIFT]

    def read(self, name: str, verify: bool = True) -> np.ndarray | None:
        """Map an array into memory; None if there is none, or it is damaged.

        Its shard is not evicted as long as this object lives. With ``verify`` all of it
        is read the first time, and its checksum compared.
        """
        key = _key(name)
        if key in self._waiting:
            return self._waiting[key]
        place = self._places.get(key)
        if place is None:
            return None
        number = place >> SHIFT
        self.kept.add(number)
        if shard := self._shard(number):
            try:
                shard.require_whole()
                shard.note_use()
                return shard.read(place & MASK, verify)
            except Damaged:
                self._drop(number)
        self._places.pop(key, None)
        return None

    def places(self, names: Sequence[str]) -> np.ndarray:
        """Where arrays are, for ``gather``: (names,) int64, -1 for what is not there."""
        found = (self._places.get(_key(name), -1) for name in names)
        return np.fromiter(found, np.int64, len(names))

    def gather(self, places: np.ndarray) -> np.ndarray | None:
        """Copies of arrays as one, (arrays, ...), much faster than by ``read`` of each.

        None if one is not there or damaged, or not like the others.
        """
        if not len(places) or places.min() < 0:
            return None
        numbers, rows = (places >> SHIFT).tolist(), (places & MASK).tolist()
        self.kept.update(numbers)
        self._look_after({*numbers})
        gathered = kind = None
        # A loop: shards are many, and few of a batch are in the same.
        for position, (number, row) in enumerate(zip(numbers, rows, strict=True)):
            shard = self._open.get(number) or self._shard(number)
            if shard is None or shard.table is None:
                return None
            if not shard.verified[row]:
                try:
                    shard.read(row)
                except Damaged:
                    self._drop(number)
                    return None
            if gathered is None:
                kind = shard.kind
                gathered = np.empty((len(places), *shard.table.shape[1:]), kind[0])
            elif shard.kind != kind:
                return None
            gathered[position] = shard.table[row]
        return gathered

    def _look_after(self, numbers: set[int]) -> None:
        """Every second, see whether open shards are whole, and note the use of some."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        for number, shard in [*self._open.items()]:
            try:
                shard.require_whole()
            except Damaged:
                self._drop(number)
            if number in numbers:
                shard.note_use()

    def write(self, name: str, array: np.ndarray) -> None:
        """Keep an array of floats; UserError if the disk is full or read-only.

        It is on disk after ``seal``, if not before.
        """
        now = time.monotonic()
        self._since = self._since if self._waiting else now
        self._waiting[_key(name)] = np.ascontiguousarray(array)
        self._bytes += array.nbytes
        if self._bytes >= LARGEST or now - self._since >= self._patience:
            self._patience = min(2 * self._patience, LONGEST)
            self.seal()

    def seal(self) -> None:
        """Write what was collected; UserError if the disk is full or read-only."""
        if not self._waiting:
            return
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        path = self.folder / shards.new_name(len(waiting))
        try:
            if not (self.folder / ABOUT).exists():
                text = json.dumps(self.about, indent=1)
                write_atomic(self.folder / ABOUT, text.encode())
            shards.write(path, waiting)
        except UserError as error:
            raise self._refusal(error.__cause__.strerror) from error
        self.kept.add(self._take_in(path, [*waiting]))

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
        kept = {self._shards[number] for number in self.kept}
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
                        if not (own and entry.path in kept)
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
                removed += entry.arrays
        logger.info("evicted the %d features not used for longest", removed)


def _key(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[: shards.KEY_BYTES]


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that there is."""
    path = path.absolute()
    return next(p for p in (path, *path.parents) if p.exists())
