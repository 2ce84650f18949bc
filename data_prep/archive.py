"""Unpack archives that come from elsewhere, and let them do no harm.

Members may only be files, folders, and links to other members (which become copies):
nothing is ever written through a link, outside the folder, or beyond what the archive's
size and the disk allow. Archives within archives are unpacked too.
"""

import bz2
import contextlib
import gzip
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from data_prep import outside
from data_prep.errors import UserError
from data_prep.progress import bar

# Recordings hardly shrink; a text may by twenty times, a bomb does by a thousand.
RATIO = 100
ALWAYS_ALLOWED = 50_000_000  # bytes, however small the archive
MEMBERS = 2_000_000
DEPTH = 3  # of archives within archives
SPARE = 100_000_000  # bytes of the disk that are left free
CHUNK = 1 << 20

SUFFIXES = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz)|tbz2|txz|7z|rar)$", re.I)
FOREIGN = {b"7z\xbc\xaf\x27\x1c": "7-Zip", b"Rar!\x1a\x07": "RAR"}
COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    LookupError,
)


class UnpackByHandError(UserError):
    """An archive that is sound, but of a kind that is not unpacked here."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    kind: str  # file, folder, link, or what it is else
    target: str = ""  # of a link, from the archive's root
    open: Callable[[], BinaryIO] | None = None


class _Budget:
    """What an archive may still cost; shared with the archives within it."""

    def __init__(self, archive: Path, folder: Path):
        size = archive.stat().st_size
        self.archive = archive
        self.allowed = max(ALWAYS_ALLOWED, RATIO * size)
        self.free = shutil.disk_usage(folder).free - SPARE
        self.spent = self.members = 0

    def spend(self, size: int) -> None:
        """Count bytes before they are written."""
        self.require(size)
        self.spent += size

    def require(self, size: int) -> None:
        """Refuse a declared size before anything of it is written."""
        if self.spent + size > self.allowed:
            raise UserError(
                f"{self.archive} is refused: it would unpack to over {RATIO} times its "
                "size, as archives do that are made to fill disks: get it from elsewhere"
            )
        if self.spent + size > self.free:
            raise UserError(
                f"no room on the disk to unpack {self.archive}: make room, or choose "
                "another --data_root"
            )

    def count(self) -> None:
        """Count a member."""
        self.members += 1
        if self.members > MEMBERS:
            raise UserError(
                f"{self.archive} is refused: it has over {MEMBERS} members: "
                "get it from elsewhere"
            )


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by what it holds; those of other tools count.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    bool

    Example
    -------
    >>> is_archive(Path(__file__))
    False
    """
    return _kind(path) is not None


def _kind(path: Path) -> str | None:
    """``zip``, ``tar``, or the name of a tool that is not used here."""
    head = _head(path, open)
    for magic, kind in FOREIGN.items():
        if head.startswith(magic):
            return kind
    try:
        tarfile.TarInfo.frombuf(_head(path, _opener(path)), "utf-8", "replace")
    except (*DAMAGED, OSError):
        whole = zipfile.is_zipfile(path)
        return "zip" if whole or head.startswith(b"PK\3\4") else None
    return "tar"


def _opener(path: Path) -> Callable:
    """What opens a file that may be compressed."""
    head = _head(path, open)
    openers = (COMPRESSED[magic] for magic in COMPRESSED if head.startswith(magic))
    return next(openers, open)


def _head(path: Path, opener: Callable) -> bytes:
    with opener(path, "rb") as stream:
        return stream.read(tarfile.BLOCKSIZE)


def stem(name: str) -> str:
    """A file's name without the suffix of an archive.

    Example
    -------
    >>> stem("train.tar.gz")
    'train'
    """
    return SUFFIXES.sub("", name)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive, and the archives in it, each of these beside itself.

    Zip and tar (plain, gzip, bzip2, xz) are told by their content, not their name. An
    archive within the archive is unpacked into a folder of its name and removed.

    Arguments
    ---------
    archive : Path
        The file.
    folder : Path
        Made if need be. Where this fails, some of the members may lie there.

    Raises
    ------
    UserError
        If the archive is damaged, or does what no honest one does: members outside the
        folder, devices, links out of it, far more bytes than its size explains.
    UnpackByHandError
        If it is of another kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _unpack(archive, folder, _Budget(archive, folder), archive.name, DEPTH)


def _unpack(
    archive: Path, folder: Path, budget: _Budget, title: str, depth: int
) -> None:
    if not depth:
        raise UserError(f"{budget.archive} is refused: archives lie {DEPTH} deep in it")
    try:
        with contextlib.closing(_members(archive, budget)) as members:
            written = _write(members, folder, budget, title)
            inner = [path for path in written if SUFFIXES.search(path.name)]
        for path in inner:
            if path.is_file() and is_archive(path):
                place = path.parent.relative_to(folder) / stem(path.name)
                home = _inside(folder, place.as_posix(), budget)
                home.mkdir(exist_ok=True)
                _unpack(path, home, budget, f"{title}, {path.name}", depth - 1)
                path.unlink()
    except UserError:
        raise
    except DAMAGED as error:
        raise _damaged(budget, title, error) from error
    except RuntimeError as error:  # how zipfile asks for a password
        raise _by_hand(budget, f"cannot be read ({error})") from error
    except OSError as error:
        if error.errno is None:  # how bz2 and gzip tell of bad data
            raise _damaged(budget, title, error) from error
        raise UserError(
            f"cannot unpack {budget.archive} to {folder}: {error.strerror}: make room, "
            "give the right to write there, or choose another --data_root"
        ) from error


def _damaged(budget: _Budget, title: str, error: Exception) -> UserError:
    return UserError(f"{budget.archive} is damaged ({title}: {error}): get it anew")


def _by_hand(budget: _Budget, why: str) -> UnpackByHandError:
    return UnpackByHandError(
        f"{budget.archive} {why}: unpack it by hand, as with `7z x`, into the corpus' "
        "folder, then go on with `python -m data_prep check`"
    )


def _write(
    members: Iterator[_Member], folder: Path, budget: _Budget, title: str
) -> Iterator[Path]:
    """Write all members; links last, as copies of what they mean."""
    links = []
    with bar(desc=outside.printable(title), unit="B", unit_scale=True) as shown:

        def copy(source: BinaryIO, path: Path) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("wb") as sink:
                while chunk := source.read(CHUNK):
                    budget.spend(len(chunk))
                    sink.write(chunk)
                    shown.update(len(chunk))

        for member in members:
            budget.count()
            path = _inside(folder, member.name, budget)
            if member.kind == "folder":
                path.mkdir(parents=True, exist_ok=True)
            elif member.kind == "file":
                copy(member.open(), path)
                yield path
            elif member.kind == "link":
                links.append((path, _inside(folder, member.target, budget), member))
            else:
                raise UserError(
                    f"{budget.archive} is refused: its member {member.name!r} is a "
                    f"{member.kind}: get it from elsewhere"
                )
        for path, target, member in links:
            if not target.is_file():
                raise UserError(
                    f"{budget.archive} is refused: its member {member.name!r} links to "
                    f"{member.target!r}, which is no file of it: get it from elsewhere"
                )
            if path != target:
                copy(target.open("rb"), path)
                yield path


def _inside(folder: Path, name: str, budget: _Budget) -> Path:
    """Where a member goes; refused if that is outside the folder."""
    if not PurePosixPath(name).parts:  # the folder itself
        return folder
    if outside.is_below(name):
        with contextlib.suppress(UserError):
            return outside.inside(folder, name)
    raise UserError(
        f"{budget.archive} is refused: its member {name!r} points outside the folder: "
        "get it from elsewhere"
    )


def _members(archive: Path, budget: _Budget) -> Iterator[_Member]:
    kind = _kind(archive)
    if kind is None:
        raise ValueError("neither zip nor tar")
    if kind == "zip":
        return _zip_members(archive, budget)
    if kind == "tar":
        return _tar_members(_opener(archive)(archive, "rb"), budget)
    raise _by_hand(budget, f"holds a {kind} archive")


def _zip_members(archive: Path, budget: _Budget) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as reader:
        budget.require(sum(info.file_size for info in reader.infolist()))
        for info in reader.infolist():
            # Some Windows tools separate folders by what is no separator here.
            name = info.filename.replace("\\", "/")
            mode = info.external_attr >> 16
            if name.endswith("/"):
                yield _Member(name, "folder")
            elif stat.S_ISLNK(mode):
                with reader.open(info) as source:
                    target = source.read(4096).decode("utf-8", "replace")
                yield _Member(name, "link", _resolve(name, target))
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                yield _Member(name, "file", open=partial(reader.open, info))
            else:
                yield _Member(name, "device")


class _Counted:
    """A stream that gives no more bytes than an archive may hold, headers included."""

    def __init__(self, stream: BinaryIO, budget: _Budget):
        self.stream = stream
        self.budget = budget
        self.given = 0

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.given += len(data)
        if self.given > self.budget.allowed:
            self.budget.require(self.given)
        return data


def _tar_members(opened: BinaryIO, budget: _Budget) -> Iterator[_Member]:
    counted = _Counted(opened, budget)
    with opened, tarfile.open(fileobj=counted, mode="r|") as reader:
        for info in reader:
            if info.isdir():
                yield _Member(info.name, "folder")
            elif info.isfile():
                yield _Member(info.name, "file", open=partial(reader.extractfile, info))
            elif info.islnk():
                yield _Member(info.name, "link", info.linkname)
            elif info.issym():
                yield _Member(info.name, "link", _resolve(info.name, info.linkname))
            else:
                yield _Member(info.name, "device")
        while counted.read(CHUNK):  # to where the checksum stands
            pass


def _resolve(name: str, target: str) -> str:
    """What a link in an archive means, from the archive's root."""
    if target.startswith("/"):
        return target
    return os.path.normpath(os.path.join(os.path.dirname(name), target))
