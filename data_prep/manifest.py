"""The manifest: one CSV row an utterance, and a sidecar JSON that vouches for it.

Paths are written below ``$data_root`` so that a manifest moves with its corpora. CSV
and sidecar are written to a temporary file and renamed, the sidecar last: a manifest
without a sidecar, or one whose hash differs, was not finished or was edited.
"""

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from operator import attrgetter, itemgetter
from pathlib import Path

from data_prep import outside
from data_prep.errors import UserError
from data_prep.vocabulary import EMOTIONS, WIDE

SPLITS = ("train", "valid", "test")
DATA_ROOT = "$data_root"
SCHEMA = 4
# A file name that is not UTF-8 (old archives) keeps its bytes and can be opened.
NOT_UTF8 = "surrogateescape"
# Halves of characters, which no text can hold but those that stand for such bytes.
HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
ROWS_AT_ONCE = 10_000
# What a sidecar holds of what others read.
SIDECAR = {
    "sha256": str,
    "corpus?": str,
    "title?": str,
    "licence?": str,
    "standin?": bool,
    "counts?": dict,
    "options?": dict,
    "fingerprint?": str,
}


@dataclass(slots=True)
class Row:
    """One utterance as the manifest holds it.

    Arguments
    ---------
    ID : str
        ``<corpus>-<utterance>``, unique over all corpora.
    duration : float
        Seconds; 0 where the audio is not on disk.
    wav : str
        ``$data_root/<corpus folder>/<path>``.
    sample_rate : int
        Hz; 0 where the audio is not on disk.
    corpus, language, speaker : str
        Registry name, ISO 639-1 code, ``<corpus>-<speaker>`` (empty if unknown).
    emotion : str
        One of ``EMOTIONS``, or empty where the native emotion is none of them.
    native_emotion : str
        The corpus' own label.
    split : str
        ``train``, ``valid`` or ``test``.
    gender, intensity, text, session : str
        Empty where the corpus does not say; ``text`` is what is said, word for word.
    sentence : str
        A code for what is said; empty where the corpus has none.
    category : str
        The native emotion as a label of ``vocabulary.WIDE``.
    arousal, valence, dominance : str
        On the corpus' own scale; empty where it does not say.
    audio_sha256 : str
        Of the samples, so that a copy under another name is known; empty where there
        are none, or in manifests of earlier versions.

    Example
    -------
    >>> row = Row("emodb-03a01Fa", 1.9, "$data_root/emodb/wav/03a01Fa.wav", 16000,
    ...           "emodb", "de", "emodb-03", "happy", "happiness", "train")
    >>> row.path("/corpora")
    '/corpora/emodb/wav/03a01Fa.wav'
    """

    ID: str
    duration: float
    wav: str
    sample_rate: int
    corpus: str
    language: str
    speaker: str
    emotion: str
    native_emotion: str
    split: str
    gender: str = ""
    intensity: str = ""
    text: str = ""
    sentence: str = ""
    session: str = ""
    category: str = ""
    arousal: str = ""
    valence: str = ""
    dominance: str = ""
    audio_sha256: str = ""

    def path(self, data_root):
        """Where the audio lies when the corpora lie below ``data_root``."""
        return self.wav.replace(DATA_ROOT, str(data_root), 1)

    @property
    def has_audio(self) -> bool:
        """Whether the audio was on disk when the manifest was written."""
        return self.sample_rate > 0


COLUMNS = tuple(field.name for field in fields(Row))
REQUIRED = COLUMNS[: COLUMNS.index("gender")]
TEXT = COLUMNS.index("text") - COLUMNS.index("corpus")


def write_atomic(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write a file whole or not at all, whoever else writes it at the same time.

    Arguments
    ---------
    path : Path
        The file; its folder is made.
    data : bytes or iterable of bytes
        What it shall hold, whole or in pieces.

    Raises
    ------
    UserError
        If the folder cannot be written to, or is full.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "new" / "a.txt"
    >>> write_atomic(path, b"whole")
    >>> path.read_bytes()
    b'whole'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.writelines([data] if isinstance(data, bytes) else data)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}: choose another folder, or make "
            "room or give the right to write there"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sidecar_path(path: Path) -> Path:
    """The JSON beside a manifest."""
    return Path(path).with_suffix(".json")


def write(path: Path, rows: list[Row], about: dict) -> dict:
    """Write a manifest and its sidecar.

    Arguments
    ---------
    path : Path
        The CSV to write; the sidecar is the same name with ``.json``.
    rows : list of Row
        The utterances.
    about : dict
        What else the sidecar tells (corpus, options, rejected files, ...).

    Returns
    -------
    dict
        The sidecar, with counts and the hash of the CSV added.

    Raises
    ------
    UserError
        If two rows share an ID, a value is out of its vocabulary or is no text, or
        the folder cannot be written to.
    """
    validate(rows, path)
    # The old sidecar must not vouch for the new CSV, should we be stopped in between.
    with contextlib.suppress(OSError):
        sidecar_path(path).unlink()
    digest = hashlib.sha256()
    try:
        write_atomic(path, _hashed(_lines(rows), digest))
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path}: {error.object[error.start - 30 : error.start]!r} is followed by half "
            "a character: mend the corpus' label file"
        ) from error
    except csv.Error as error:  # of NUL, before Python 3.11
        raise UserError(
            f"{path}: a value that CSV cannot hold ({error}): mend the corpus' label file"
        ) from error
    sidecar = {
        "schema": SCHEMA,
        **about,
        "counts": counts(rows),
        "sha256": digest.hexdigest(),
    }
    text = json.dumps(sidecar, indent=1, ensure_ascii=False) + "\n"
    text = HALVES.sub("\ufffd", text)  # as a title from outside may have
    write_atomic(sidecar_path(path), text.encode("utf-8", NOT_UTF8))
    return sidecar


def _lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """The CSV in pieces, so that it need not fit into memory beside the rows."""
    cells = attrgetter(*COLUMNS)
    yield _text([COLUMNS])
    rows = iter(rows)
    while part := [cells(row) for row in islice(rows, ROWS_AT_ONCE)]:
        yield _text(part)


def _text(lines: list[tuple]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    if "\r" in buffer.getvalue():  # which Python before 3.13 leaves without quotes
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows(lines)
    return buffer.getvalue().encode("utf-8", NOT_UTF8)


def _hashed(pieces: Iterable[bytes], digest) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def read(path: Path) -> list[Row]:
    """Read a manifest and check it.

    Arguments
    ---------
    path : Path
        The CSV.

    Returns
    -------
    list of Row

    Raises
    ------
    UserError
        If the file is missing, lacks a column, or holds a bad value (named with
        its line).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no manifest {path}: write it by `python -m data_prep prepare`"
        )
    with path.open(newline="", encoding="utf-8", errors=NOT_UTF8) as stream:
        reader = csv.reader(stream)
        try:
            rows = list(_rows(next(reader, []), reader))
        except (ValueError, csv.Error) as error:
            raise UserError(
                f"{path}, line {reader.line_num}: {error}: redo the manifest"
            ) from error
    validate(rows, path)
    return rows


def _rows(header: list[str], lines: Iterable[list[str]]) -> Iterator[Row]:
    """Rows with their numbers as numbers; values that recur are held once."""
    missing = [column for column in REQUIRED if column not in header]
    unknown = [column for column in header if column not in COLUMNS]
    if missing or unknown or len(set(header)) < len(header):
        raise ValueError(
            f"the columns {', '.join(missing) or 'none'} are missing, "
            f"{', '.join(unknown) or 'none'} unknown"
        )
    width = len(header)
    # A column that is absent reads the empty value put at the end of the line.
    places = [header.index(name) if name in header else width for name in COLUMNS]
    in_order, shared, rates = itemgetter(*places), {}, {}
    for line in lines:
        if len(line) != width:
            raise ValueError(f"{len(line)} values for {width} columns")
        line.append("")
        ID, seconds, wav, rate, *rest = in_order(line)
        duration = float(seconds)
        if not 0 <= duration < math.inf:
            raise ValueError(f"a duration of {duration} s")
        if rate not in rates:
            rates[rate] = int(rate)
        text, rest[TEXT], digest = rest[TEXT], "", rest.pop()
        rest = [shared.setdefault(value, value) for value in rest]
        rest[TEXT] = text
        yield Row(ID, duration, wav, rates[rate], *rest, digest)


def read_sidecar(path: Path) -> dict:
    """Read the sidecar of a manifest and check that it belongs to the CSV.

    Arguments
    ---------
    path : Path
        The CSV.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        If the sidecar is missing or unreadable, or the CSV was changed since.
    """
    path, mend = Path(path), "redo `python -m data_prep prepare`"
    sidecar = outside.read_json(
        sidecar_path(path),
        f"the sidecar of {path.name}",
        SIDECAR,
        errors=NOT_UTF8,
        mend=mend,
    )
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}: {mend}") from error
    if sidecar["sha256"] != digest:
        raise UserError(f"{path} was changed by hand: {mend}")
    return sidecar


def file_sha256(path: Path) -> str:
    """Hash a file, however large.

    Arguments
    ---------
    path : Path
        The file.

    Returns
    -------
    str
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for _ in _hashed(iter(lambda: stream.read(1 << 20), b""), digest):
            pass
    return digest.hexdigest()


def validate(rows: list[Row], path: Path) -> None:
    """Refuse rows that share an ID or leave the vocabularies.

    Arguments
    ---------
    rows : list of Row
        The utterances.
    path : Path
        Named in the message.

    Raises
    ------
    UserError
        On the first bad row.
    """
    seen: dict[str, str] = {}
    emotions, wide, splits = {*EMOTIONS, ""}, {*WIDE, ""}, set(SPLITS)
    home = f"{DATA_ROOT}/"
    for row in rows:
        if row.ID in seen:
            raise UserError(
                f"{path}: two files with one ID {row.ID}: {seen[row.ID]} and "
                f"{row.wav}: remove or rename one"
            )
        seen[row.ID] = row.wav
        if row.emotion not in emotions:
            raise UserError(
                f"{path}: {row.ID} has the emotion {row.emotion!r}: "
                f"use one of {', '.join(EMOTIONS)}, or none"
            )
        if "\0" in row.wav:
            raise UserError(f"{path}: {row.ID} names no file: {row.wav!r}: redo it")
        place = row.wav.removeprefix(home)
        if place in ("", row.wav) or not outside.is_below(place):
            raise UserError(
                f"{path}: {row.ID} lies outside {DATA_ROOT}: {row.wav!r}: redo it"
            )
        if row.category not in wide:
            raise UserError(
                f"{path}: {row.ID} has the category {row.category!r}: "
                f"use one of {', '.join(WIDE)}, or none"
            )
        if row.split not in splits:
            raise UserError(
                f"{path}: {row.ID} has the split {row.split!r}: "
                f"use one of {', '.join(SPLITS)}"
            )


def counts(rows: list[Row]) -> dict:
    """Count utterances, speakers, emotions and hours, in all and per split.

    Only utterances of the four emotions count below ``splits``; ``emotions`` there
    and ``native`` show what the rest is.

    Arguments
    ---------
    rows : list of Row
        The utterances.

    Returns
    -------
    dict

    Example
    -------
    >>> row = Row("x-1", 3.6, "$data_root/x/1.wav", 16000, "x", "de", "x-a", "sad",
    ...           "sadness", "test")
    >>> counts([row])["splits"]["test"]
    {'utterances': 1, 'speakers': 1, 'neutral': 0, 'happy': 0, 'angry': 0, 'sad': 1}
    """
    splits = {}
    for split in SPLITS:
        part = [row for row in rows if row.split == split and row.emotion]
        emotions = Counter(row.emotion for row in part)
        splits[split] = {
            "utterances": len(part),
            "speakers": len({row.speaker for row in part if row.speaker}),
            **{emotion: emotions[emotion] for emotion in EMOTIONS},
        }
    return {
        "utterances": len(rows),
        "speakers": len({row.speaker for row in rows if row.speaker}),
        "hours": round(sum(row.duration for row in rows) / 3600, 4),
        "without_audio": sum(not row.has_audio for row in rows),
        "native": dict(sorted(Counter(row.native_emotion for row in rows).items())),
        "splits": splits,
    }
