"""Get corpora that need no form, and say how to get the others.

Files come through pooch, which checks their checksums; a broken connection is resumed.
They are gathered in ``<folder>.part`` beside the corpus' folder, unpacked there, walked
as ``prepare`` does, and only then take the folder's place. A mistake leaves nothing but
``<folder>.part``, with what another try need not fetch again.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from data_prep import archive
from data_prep.corpus import Corpus, Download
from data_prep.errors import UserError
from data_prep.exchange import require, writing
from data_prep.prepare import walk
from data_prep.progress import bar

logger = logging.getLogger(__name__)

TIMEOUT = (10, 60)  # seconds to connect, and of silence
TRIES = 6  # in a row without a byte more
WAIT = 1.0  # seconds before the second try, then twice as long each
BUSY = (429, 500, 502, 503, 504)
CHUNK = 1 << 14  # bytes; what of one has come when a connection breaks is lost
RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<total>\d+|\*)")

# Corpora that audEERING's public repository holds under the corpus' own file names, as
# (name, version): https://audeering.github.io/datasets/datasets.html. Loading them was
# tried with a repository on this disk, not with the real one.
AUDB = {
    "cremad": ("crema-d", "1.3.0"),  # without VideoDemographics.csv: no gender
    "emodb": ("emodb", "1.4.1"),  # 2.0.0 adds laryngograms under the same names
    "emouerj": ("emouerj", "1.0.0"),
    "kannada": ("kannada", "1.0.1"),
    "mesd": ("mesd", "1.0.1"),
    "ravdess": ("ravdess", "1.1.3"),  # with the songs, which are rejected
    "subesco": ("subesco", "1.0.0"),
}


def download(corpus: Corpus, data_root: Path) -> Path:
    """Get a corpus, unless it is there already, and return its folder.

    A single archive is unpacked as it is; where there are several, each into a folder
    of its name. UserError if the corpus is not free to download, cannot be reached, or
    is not what it should be.
    """
    folder = _folder(corpus, data_root)
    if _is_there(corpus, folder):
        return folder
    if not corpus.downloads:
        raise UserError(f"{corpus.name} cannot be downloaded: {how_to_get(corpus)}")
    with _staging(corpus, folder) as (work, fresh):
        for item in corpus.downloads:
            path = fetch(item, work)
            if not archive.is_archive(path):
                shutil.copy(path, fresh)
                continue
            several = len(corpus.downloads) > 1
            try:
                home = fresh / archive.stem(path.name) if several else fresh
                archive.unpack(path, home)
            except archive.UnpackByHandError:
                raise
            except UserError:
                path.unlink()
                raise
    return folder


def download_audb(corpus: Corpus, data_root: Path) -> Path:
    """Get a corpus of ``AUDB`` from audEERING's repository, and return its folder.

    Nothing is loaded if it is there already. UserError if there is no such database, or
    it cannot be loaded.
    """
    folder = _folder(corpus, data_root)
    if _is_there(corpus, folder):
        return folder
    if corpus.name not in AUDB:
        raise UserError(
            f"no database of {corpus.name} is known to audb; there are: "
            f"{', '.join(AUDB)}: leave --audb out"
        )
    audb = require("audb", "audb")
    name, version = AUDB[corpus.name]
    with _staging(corpus, folder) as (work, fresh):
        try:
            audb.load_to(
                str(fresh),
                name,
                version=version,
                pickle_tables=False,
                cache_root=str(work / "cache"),
                num_workers=None,
            )
        except Exception as error:  # each back-end has its own errors
            raise UserError(
                f"audb cannot load {name} {version} ({type(error).__name__}: {error}): "
                "look at the connection and at `audb.config.REPOSITORIES`"
            ) from error
    return folder


def how_to_get(corpus: Corpus) -> str:
    """What to do for a corpus that is not free to download.

    Example
    -------
    >>> from data_prep import corpus
    >>> "sail.usc.edu" in how_to_get(corpus.get("iemocap"))
    True
    """
    steps = f"{corpus.steps.rstrip('.')}; " if corpus.steps else ""
    return (
        f"its licence is: {corpus.licence}; {steps}see {corpus.homepage}, and put it in "
        f"DATA_ROOT/{corpus.folder or corpus.name}, which should hold {corpus.layout}"
    )


def fetch(item: Download, folder: Path) -> Path:
    """Download one file and check it, and return its path.

    A download that was cut off is resumed from the file with the suffix ``.part``.
    UserError if the file cannot be reached, is not the documented one, or does not fit
    on the disk.
    """
    pooch = require("pooch", "download")
    pooch.get_logger().setLevel(logging.WARNING)
    path = folder / _name(item.url)
    checksum = item.sha256_or_md5 or None
    resuming = _Resuming(path, checksum)
    try:
        with writing(path, "--data_root"):
            pooch.retrieve(item.url, checksum, path.name, folder, downloader=resuming)
    except UserError:
        raise
    except ValueError as error:
        reason = str(error).split(". Deleted")[0]
        raise UserError(
            f"{item.url} gave another file than the one known from {item.source}: "
            f"{reason}: it was removed; try again, or get the file from there"
        ) from error
    if not checksum:
        logger.info(
            "%s: nobody publishes a checksum; SHA-256 is %s",
            path.name,
            pooch.file_hash(str(path)),
        )
    return path


def _name(url: str) -> str:
    """The file name in an address, which may stand before a last ``/content``."""
    parts = [unquote(part) for part in urlsplit(url).path.split("/")]
    named = [part for part in parts if PurePosixPath(part).suffix]
    return PurePosixPath((named or parts)[-1]).name or "download"


class _Resuming:
    """A downloader for pooch that resumes where the last try stopped.

    Arguments
    ---------
    path : Path
        The file that is wanted.
    checksum : str, optional
        With one, or where the server tags its files, what came before can be trusted.
    """

    def __init__(self, path: Path, checksum: str | None):
        self.part = path.with_name(f"{path.name}.part")
        self.tag = path.with_name(f"{path.name}.tag")
        self.checksum = checksum

    def __call__(self, url: str, output_file: str, pooch) -> None:
        """Fetch the address into the file; pooch itself is not needed."""
        import requests

        broken = (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        )
        failures, whole = 0, False
        while not whole:
            before = self._size()
            try:
                whole = self._receive(requests, url)
                continue
            except broken as error:
                reason = str(error)
            except requests.RequestException as error:
                raise UserError(f"{url} cannot be had: {error}") from error
            failures = 1 if self._size() > before else failures + 1
            if failures == TRIES:
                raise UserError(
                    f"{url} cannot be reached ({reason}): look at the connection and "
                    "try again: it goes on where it stopped"
                )
            logger.warning("%s: %s; trying again", url, reason)
            time.sleep(WAIT * 2 ** (failures - 1))
        self.tag.unlink(missing_ok=True)
        os.replace(self.part, output_file)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _receive(self, requests, url: str) -> bool:
        """Append what the server still has; whether the file is whole now."""
        have = self._size()
        tag = self.tag.read_text() if self.tag.exists() else ""
        # Compressed on the way, the bytes would not be those of the file.
        headers = {"Accept-Encoding": "identity"}
        if have and (tag or self.checksum):
            headers["Range"] = f"bytes={have}-"
            if tag:
                headers["If-Range"] = tag
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            status, reason = answer.status_code, answer.reason
            rest = RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if status in BUSY:
                raise requests.ConnectionError(f"{status} {reason}")
            if status == 416 and rest and rest["total"] == str(have):
                return True
            if status == 416 or (
                status == 206 and not (rest and rest["start"] == str(have))
            ):
                self.part.unlink(missing_ok=True)
                raise requests.ConnectionError("cannot go on where it stopped")
            answer.raise_for_status()
            if "text/html" in answer.headers.get("Content-Type", ""):
                raise requests.RequestException("a web page comes instead of the file")
            if status == 206:
                total = int(rest["total"]) if rest["total"].isdigit() else None
            else:
                have, total = 0, int(answer.headers.get("Content-Length", 0)) or None
                self.tag.write_text(_tag(answer.headers))
            self._save(answer, have, total)
        if total and self._size() != total:
            raise requests.ConnectionError(
                f"stopped at {self._size()} of {total} bytes"
            )
        return True

    def _save(self, answer, have: int, total: int | None) -> None:
        """Append a body to the first ``have`` bytes, with a progress bar."""
        if total and total - have > shutil.disk_usage(self.part.parent).free:
            reason = f"the disk has no room for {(total - have) / 1e9:.1f} GB"
            raise OSError(errno.ENOSPC, reason, str(self.part))
        shown = bar(
            desc=self.part.stem, initial=have, total=total, unit="B", unit_scale=True
        )
        with shown, self.part.open("ab" if have else "wb") as stream:
            for chunk in answer.iter_content(CHUNK):
                stream.write(chunk)
                shown.update(len(chunk))


def _tag(headers) -> str:
    """What distinguishes a file from a later one of its address; weak tags do not."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _folder(corpus: Corpus, data_root: Path) -> Path:
    """The corpus' folder; a link to another disk is followed."""
    return corpus.locate(data_root).resolve()


def _is_there(corpus: Corpus, folder: Path) -> bool:
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    _tell(corpus, folder, "is there already")
    return True


def _tell(corpus: Corpus, folder: Path, what: str) -> None:
    """Walk a folder and log what it holds beside what is declared."""
    utterances, rejected = walk(corpus, folder)
    logger.info(
        "%s %s: %d utterances (%d are declared) of %d speakers (%d), %d files that do "
        "not fit",
        corpus.name,
        what,
        len(utterances),
        corpus.size,
        len({item.speaker for item in utterances if item.speaker}),
        corpus.speakers,
        len(rejected),
    )


@contextlib.contextmanager
def _staging(corpus: Corpus, folder: Path) -> Iterator[tuple[Path, Path]]:
    """A folder for downloads, and in it a fresh one that becomes the corpus' folder."""
    work = folder.with_name(f"{folder.name}.part")
    fresh = work / "unpacked"
    with contextlib.ExitStack() as stack:
        stack.enter_context(writing(work, "--data_root"))
        work.mkdir(parents=True, exist_ok=True)
        lock = os.open(work, os.O_RDONLY)
        stack.callback(os.close, lock)
        _lock(lock, work)
        stack.callback(_tidy, work, fresh)
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        yield work, fresh
        try:
            _tell(corpus, fresh, "was downloaded")
        except UserError as error:
            raise UserError(
                f"what was downloaded is kept in {work}, but is not {corpus.title} "
                f"as it is known here: {error}"
            ) from error
        os.replace(fresh, folder)
        shutil.rmtree(work)


def _lock(folder: int, work: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"{work} is in use by another download: wait until it has ended"
        ) from error


def _tidy(work: Path, fresh: Path) -> None:
    """Leave only what another try need not fetch again."""
    shutil.rmtree(fresh, ignore_errors=True)
    with contextlib.suppress(OSError):
        work.rmdir()


def command(corpus: Corpus, data_root: Path, from_audb: bool = False) -> None:
    """Run ``python -m data_prep download``: get a corpus, or print how to.

    With ``from_audb``, by ``audb`` instead of the corpus' own addresses.
    """
    if from_audb:
        print(f"corpus: {download_audb(corpus, data_root)}")
    elif corpus.downloads or _folder(corpus, data_root).is_dir():
        print(f"corpus: {download(corpus, data_root)}")
    else:
        print(f"{corpus.title} is not free to download: {how_to_get(corpus)}")
