"""A shard: many arrays in one file, written whole, found by key, mapped into memory.

::

    head     magic, number of arrays, CRC-32 of the index
    index    of each array: key, place, CRC-32 of its bytes, type and shape
    data     the arrays' bytes, each from a multiple of 16 on
"""

import contextlib
import errno
import functools
import math
import mmap
import os
import time
import uuid
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data_prep.manifest import write_atomic

SUFFIX = ".shard"
MAGIC = b"XSER-S1\n"
HEAD = np.dtype([("magic", "S8"), ("count", "<u4"), ("crc", "<u4")])
KEY_BYTES = 16
DIMENSIONS = 3  # of an array, at most
RECORD = np.dtype(
    [
        ("key", f"S{KEY_BYTES}"),
        ("start", "<u8"),
        ("crc", "<u4"),
        ("float", "u1"),  # bytes of a value
        ("ndim", "u1"),
        ("shape", "<u4", DIMENSIONS),
    ]
)
FLOATS = {2: np.dtype("<f2"), 4: np.dtype("<f4"), 8: np.dtype("<f8")}
ALIGNED = 16
RECENT = 60 * 10**9  # nanoseconds within which a use need not be noted again


class Damaged(ValueError):
    """A file that does not hold what was written."""


def _aligned(place: int) -> int:
    return -(-place // ALIGNED) * ALIGNED


def write(path: Path, arrays: Mapping[bytes, np.ndarray]) -> None:
    """Write arrays of floats, by keys of 16 bytes.

    Raises
    ------
    UserError
        If the folder cannot be written to, or is full; nothing is left of the file.
    """
    index, pieces = np.zeros(len(arrays), RECORD), []
    place = _aligned(HEAD.itemsize + index.nbytes)
    for record, (key, array) in zip(index, arrays.items(), strict=True):
        data = memoryview(np.ascontiguousarray(array).reshape(-1)).cast("B")
        record["key"], record["start"], record["crc"] = key, place, zlib.crc32(data)
        record["float"], record["ndim"] = array.itemsize, array.ndim
        record["shape"][: array.ndim] = array.shape
        pieces += [data, bytes(_aligned(len(data)) - len(data))]
        place += _aligned(len(data))
    body = index.tobytes()
    head = np.array([(MAGIC, len(arrays), zlib.crc32(body))], HEAD).tobytes()
    gap = bytes(_aligned(len(head) + len(body)) - len(head) - len(body))
    write_atomic(path, [head, body, gap, *pieces])


def new_name(arrays: int) -> str:
    """A file name for so many arrays, unlike any other.

    Arguments
    ---------
    arrays : int
        How many there will be.

    Returns
    -------
    str

    Example
    -------
    >>> count(Path(new_name(12)))
    12
    """
    return f"{uuid.uuid4().hex[:16]}-{arrays}{SUFFIX}"


def count(path: Path) -> int:
    """How many arrays a file holds by its name, unread."""
    found = path.stem.rpartition("-")[2]
    return int(found) if path.suffix == SUFFIX and found.isdecimal() else 1


def _open(path: Path) -> int:
    # To look into a shard is no use of it.
    for flags in (os.O_RDONLY | getattr(os, "O_NOATIME", 0), os.O_RDONLY):
        with contextlib.suppress(PermissionError):
            return os.open(path, flags | os.O_CLOEXEC)
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


class Shard:
    """An open shard.

    Arguments
    ---------
    path : Path
        The file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    Damaged
        If its head or index was cut or changed, or the file has another size.
    """

    def __init__(self, path: Path):
        self.path, self.noted = path, 0
        descriptor = _open(path)
        try:
            self._data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise Damaged("empty") from error
        finally:
            os.close(descriptor)
        self.size = len(self._data)
        head = self._data[: HEAD.itemsize]
        if len(head) < HEAD.itemsize or head[: len(MAGIC)] != MAGIC:
            raise Damaged("no shard")
        _, arrays, checksum = np.frombuffer(head, HEAD, 1)[0].tolist()
        end = HEAD.itemsize + arrays * RECORD.itemsize
        body = self._data[HEAD.itemsize : end]
        if not arrays or end > self.size or zlib.crc32(body) != checksum:
            raise Damaged("of another index")
        self.index = np.frombuffer(body, RECORD)
        self.verified = bytearray(len(self.index))
        self._require_sound()

    def _require_sound(self) -> None:
        index = self.index
        unused = np.arange(DIMENSIONS) >= index["ndim"][:, None]
        sizes = np.where(unused, 1.0, index["shape"]).prod(1) * index["float"]
        if (
            not np.isin(index["float"], [*FLOATS]).all()
            or (index["ndim"] > DIMENSIONS).any()
            or (index["start"] % ALIGNED).any()
        ):
            raise Damaged("of no plain arrays of floats")
        if self.size != _aligned(int((index["start"] + sizes).max(initial=0))):
            raise Damaged("of another size")

    def require_whole(self) -> None:
        """Refuse a file that was cut: to touch what is gone would end the process.

        One that was removed stays as long as it is mapped.

        Raises
        ------
        Damaged
            If it has another size now.
        """
        with contextlib.suppress(OSError):
            if self.path.stat().st_size != self.size:
                raise Damaged("cut")

    @property
    def keys(self) -> list[bytes]:
        """The keys of its arrays, in order."""
        raw = self.index["key"].tobytes()  # not as text, which ends at a zero
        stops = range(KEY_BYTES, len(raw) + 1, KEY_BYTES)
        return [raw[stop - KEY_BYTES : stop] for stop in stops]

    def _shape(self, number: int) -> tuple[int, ...]:
        record = self.index[number]
        return tuple(record["shape"][: record["ndim"]].tolist())

    def _bytes(self, number: int) -> int:
        return math.prod(self._shape(number)) * int(self.index["float"][number])

    @functools.cached_property
    def table(self) -> np.ndarray | None:
        """All arrays as one, (arrays, ...), if they are of one shape and type."""
        index, first = self.index, self.index[0]
        step = _aligned(self._bytes(0))
        if (
            (index["float"] != first["float"]).any()
            or (index["ndim"] != first["ndim"]).any()
            or (index["shape"] != first["shape"]).any()
            or (np.diff(index["start"].astype(np.int64)) != step).any()
        ):
            return None
        kind, shape = FLOATS[int(first["float"])], self._shape(0)
        return np.ndarray(
            (len(index), *shape),
            kind,
            self._data,
            int(first["start"]),
            (step, *np.empty(shape, kind).strides),
        )

    @functools.cached_property
    def kind(self) -> tuple[str, tuple[int, ...]]:
        """Type and shape of the first array, and of all if there is a ``table``."""
        return FLOATS[int(self.index["float"][0])].str, self._shape(0)

    def note_use(self) -> None:
        """Set the file's access time, since many disks are mounted without."""
        now = time.time_ns()
        if now - self.noted > RECENT:
            self.noted = now
            with contextlib.suppress(OSError):  # not ours, or read-only, or gone
                os.utime(self.path, ns=(now, self.path.stat().st_mtime_ns))

    def read(self, number: int, verify: bool = True) -> np.ndarray:
        """One array, mapped, not to be changed.

        With ``verify`` all of it is read the first time, and its checksum compared.

        Raises
        ------
        Damaged
            If it was changed.
        """
        if self.table is not None:
            array = self.table[number]
        else:
            record = self.index[number]
            shape, kind = self._shape(number), FLOATS[int(record["float"])]
            array = np.ndarray(shape, kind, self._data, int(record["start"]))
        if verify and not self.verified[number]:
            if zlib.crc32(array) != int(self.index["crc"][number]):
                raise Damaged("of another content")
            self.verified[number] = 1
        return array
