"""What comes from outside: names, JSON, tables and texts, read so that they do no harm.

Whoever made an archive, a table or a results folder chose the names in it, the types in
its JSON and the letters of its texts. Each is read by one function here, which gives
what was asked for or a UserError.
"""

import contextlib
import csv
import gzip
import io
import json
import logging
import os
import re
import stat
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.errors import UserError

LARGEST = 1 << 28  # bytes of a JSON or CSV file
DEEPEST = 50  # of lists and mappings within each other
LONGEST = 1 << 17  # characters of a value in a table, as Python's csv has it
ANEW = "get it anew"
# What moves a terminal's cursor, ends a line, or has a text read in another direction.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?%?|[+-](nan|inf)", re.I)


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
    for resolve in (os.path.abspath, os.path.realpath):
        if is_below(text):
            break
        # Absolute, or with steps up: below the folder it may lie nevertheless.
        with contextlib.suppress(ValueError):
            home = resolve(root)
            text = os.path.relpath(resolve(os.path.join(home, str(name))), home)
    if not text.strip("./") or not is_below(text):
        raise UserError(f"{str(name)!r:.200} lies outside {root}")
    path, top = root / text, root / Path(text).parts[0]
    real = Path(os.path.realpath(path))
    # A link to one file is not as a disk that was added: it must lie there as any.
    homes = [root] if path == top else [root, top]
    if not any(real.is_relative_to(os.path.realpath(home)) for home in homes):
        raise UserError(f"{str(name)!r:.200} leads by a link out of {root}")
    return path


def is_below(name: str) -> bool:
    """Whether a name is that of a file below some folder; the disk is not looked at.

    Arguments
    ---------
    name : str
        A path.

    Returns
    -------
    bool
        False for absolute paths, for steps up, and for what can be no file's name.

    Example
    -------
    >>> is_below("wav/a.wav"), is_below("wav/../a.wav"), is_below("/a"), is_below("C:/a")
    (True, False, False, False)
    """
    try:
        if b"\0" in os.fsencode(name):
            return False
    except ValueError:
        return False
    up = ".." in name and ".." in name.split("/")
    return not (up or name.startswith("/") or re.match(r"[a-z]:[/\\]", name, re.I))


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


def unzipped(
    data: bytes, where: str, largest: int = LARGEST, mend: str = ANEW
) -> bytes:
    """Decompress a file that was read, if it is one of gzip.

    Arguments
    ---------
    data : bytes
        From ``read_bytes``.
    where : str
        What it is, to begin the message with.
    largest : int
        Bytes that may come of it.
    mend : str
        What to do about it, for the message.

    Returns
    -------
    bytes

    Raises
    ------
    UserError
        If it is damaged, or too large.
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            data = stream.read(largest + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{where} is damaged ({error}): {mend}") from error
    if len(data) > largest:
        raise UserError(f"{where} unpacks to over {largest:,} bytes: {mend}")
    return data


def read_json(
    path: Path,
    what: str,
    shape: Any = dict,
    *,
    largest: int = LARGEST,
    deepest: int = DEEPEST,
    errors: str = "strict",
    mend: str = ANEW,
) -> Any:
    """Read a JSON file of a known shape.

    Arguments
    ---------
    path : Path
        The file.
    what : str
        What it should be, for the message, as ``the record of a run``.
    shape : object
        As for ``fit``.
    largest, deepest : int
        Bytes, and lists and mappings within each other.
    errors : str
        How to decode what is not UTF-8, as ``bytes.decode`` has it.
    mend : str
        What to do about it, for the message.

    Returns
    -------
    object
        The value; it fits the shape.

    Raises
    ------
    UserError
        If it cannot be read, is no JSON, too large, too deep, or of another shape.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.json"
    >>> _ = path.write_text('{"seed": 1}')
    >>> read_json(path, "the record of a run", {"seed": int})
    {'seed': 1}
    >>> read_json(path, "the record of a run", {"seed": str})
    Traceback (most recent call last):
        ...
    data_prep.errors.UserError: ... is damaged ('seed' is 1, no str): get it anew
    """
    data = read_bytes(path, what, largest, mend)
    return parse_json(data, f"{path}, {what},", shape, deepest, errors, mend)


def parse_json(
    data: bytes,
    where: str,
    shape: Any = dict,
    deepest: int = DEEPEST,
    errors: str = "strict",
    mend: str = ANEW,
) -> Any:
    """Understand JSON of a known shape; all else as for ``read_json``.

    Arguments
    ---------
    data : bytes
        The JSON.
    where : str
        What it is, to begin the message with.
    shape, deepest, errors, mend
        As for ``read_json``.

    Returns
    -------
    object

    Raises
    ------
    UserError
        As ``read_json``.
    """
    try:
        value = json.loads(data.decode("utf-8-sig", errors))
        fit(value, shape, deepest=deepest)
    except RecursionError as error:
        raise UserError(f"{where} is damaged (too deep): {mend}") from error
    except ValueError as error:
        raise UserError(f"{where} is damaged ({error!s:.200}): {mend}") from error
    return value


def fit(value: Any, shape: Any, place: str = "it", deepest: int = DEEPEST) -> None:
    """Compare a value that was read with the shape it should have.

    Arguments
    ---------
    value : object
        From JSON or YAML.
    shape : object
        A type or several in a tuple (``float`` takes whole numbers too, ``int`` no
        booleans, ``object`` anything); ``[shape]`` for a list; ``{key: shape}`` for a
        mapping with at least these keys, of which those that end in ``?`` may be
        absent; ``{str: shape}`` for a mapping of any keys.
    place : str
        Where the value stands, for the message.
    deepest : int
        How many lists and mappings may lie within each other.

    Raises
    ------
    ValueError
        That names the place.

    Example
    -------
    >>> fit({"a": [1, 2.5], "b": "x"}, {"a": [float], "b?": str, "c?": int})
    >>> fit({"a": [1, None]}, {"a": [float]})
    Traceback (most recent call last):
        ...
    ValueError: 'a', 1 is None, no float
    """
    if deepest < 0:
        raise ValueError("too deep")
    if isinstance(shape, dict):
        _require(value, dict, place)
        (anything,) = shape.values() if set(shape) == {str} else (object,)
        known = {} if str in shape else shape
        for key in known:
            if not key.endswith("?") and key not in value:
                raise ValueError(f"{place} lacks {key!r}")
        for key, item in value.items():
            inner = known.get(key, known.get(f"{key}?", anything))
            fit(item, inner, _within(place, key), deepest - 1)
    elif isinstance(shape, list):
        _require(value, list, place)
        for number, item in enumerate(value):
            fit(item, shape[0], _within(place, number), deepest - 1)
    else:
        _require(value, shape, place)
        if isinstance(value, dict):
            fit(value, {str: object}, place, deepest)
        elif isinstance(value, list):
            fit(value, [object], place, deepest)


def _require(value: Any, kinds: type | tuple, place: str) -> None:
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    # To Python a boolean is a number, and a whole number is no float.
    fits = type(value) in kinds if isinstance(value, bool) else isinstance(value, kinds)
    whole = type(value) is int and float in kinds and abs(value) < 1 << 1000
    if not (fits or whole or object in kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(f"{place} is {value!r:.50}, no {names}")


def _within(place: str, key: object) -> str:
    return f"{key!r:.50}" if place == "it" else f"{place}, {key!r:.50}"


def read_csv(
    path: Path,
    what: str,
    columns: Collection[str],
    *,
    largest: int = LARGEST,
    errors: str = "strict",
    mend: str = ANEW,
    delimiters: str = ",",
) -> list[dict[str, str]]:
    r"""Read a CSV file with a header.

    Arguments
    ---------
    path : Path
        The file.
    what : str
        What it should be, for the message, as ``the predictions of a run``.
    columns : collection of str
        Those it must have; others may stand beside them.
    largest : int
        Bytes.
    errors : str
        How to decode what is not UTF-8, as ``bytes.decode`` has it.
    mend : str
        What to do about it, for the message.
    delimiters : str
        What may stand between values: of several, the one that makes most columns of the
        header, or the first.

    Returns
    -------
    list of dict
        A row each, with a text for every column.

    Raises
    ------
    UserError
        If it cannot be read, is no such table, or too large.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = path.write_text("ID,emotion\n1,sad\n")
    >>> read_csv(path, "the predictions of a run", ["ID"])
    [{'ID': '1', 'emotion': 'sad'}]
    >>> read_csv(path, "the predictions of a run", ["split"])
    Traceback (most recent call last):
        ...
    data_prep.errors.UserError: ... line 1: the column split is missing: get it anew
    """
    data = read_bytes(path, what, largest, mend)
    return parse_csv(data, f"{path}, {what},", columns, errors, mend, delimiters)


def parse_csv(
    data: bytes,
    where: str,
    columns: Collection[str],
    errors: str = "strict",
    mend: str = ANEW,
    delimiters: str = ",",
) -> list[dict[str, str]]:
    """Understand CSV with a header; all else as for ``read_csv``.

    Arguments
    ---------
    data : bytes
        The CSV.
    where : str
        What it is, to begin the message with.
    columns, errors, mend, delimiters
        As for ``read_csv``.

    Returns
    -------
    list of dict
        A row each, with a text for every column.

    Raises
    ------
    UserError
        As ``read_csv``.
    """
    try:
        text = data.decode("utf-8-sig", errors)
    except ValueError as error:
        raise UserError(f"{where} is no text in UTF-8: {mend}") from error
    readers = [
        csv.reader(io.StringIO(text, newline=""), delimiter=mark) for mark in delimiters
    ]
    reader = readers[0]
    try:
        if len(readers) > 1:
            widths = [len(next(one, [])) for one in readers]
            mark = delimiters[widths.index(max(widths))]
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
        return list(_rows(reader, columns))
    except (csv.Error, ValueError) as error:
        line = max(1, reader.line_num)
        raise UserError(f"{where} line {line}: {error}: {mend}") from error


def _rows(reader: Iterator, columns: Collection[str]) -> Iterator[dict[str, str]]:
    header = next(reader, [])
    for column in columns:
        if column not in header:
            raise ValueError(f"the column {column} is missing")
    if len(set(header)) < len(header):
        raise ValueError("two columns have one name")
    for values in reader:
        if not values:
            continue
        if len(values) != len(header):
            raise ValueError(f"{len(values)} values for {len(header)} columns")
        if any("\0" in value or len(value) > LONGEST for value in values):
            raise ValueError("a value that is no text, or too long a one")
        yield dict(zip(header, values, strict=True))


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


class Printable(logging.Formatter):
    """Log messages on one line each; only tracebacks have several."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The message as ``printable`` writes it."""
        return printable(super().formatMessage(record))


def cell(value: object) -> object:
    """A value of a table for people, which a spreadsheet shall not run as a formula.

    Arguments
    ---------
    value : object
        What is to stand in the cell.

    Returns
    -------
    object
        The value; a text that reads as a formula, and is no number, after an apostrophe.

    Example
    -------
    >>> [cell(value) for value in ("=1+1", "@SUM(A1)", "-0.5", "joy", -1)]
    ["'=1+1", "'@SUM(A1)", '-0.5', 'joy', -1]
    """
    risky = isinstance(value, str) and FORMULA.match(value)
    return f"'{value}" if risky and not NUMBER.fullmatch(value) else value
