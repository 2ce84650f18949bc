"""Lists of recordings that a user gives."""

import csv
import os
import sys
from pathlib import Path

from data_prep.errors import UserError
from data_prep.manifest import NOT_UTF8
from data_prep.outside import LARGEST, parse_csv, read_bytes

MEND = "give one path a line, or a CSV file with a column path"


def read_list(source: str) -> list[str]:
    """Read which recordings a list names.

    Arguments
    ---------
    source : str
        A file with one path a line, or with a header that has a column ``path``, in
        UTF-8; ``-`` for standard input.

    Returns
    -------
    list of str
        The paths, those that are relative taken from the list's folder, or from the
        current one if it is standard input.

    Raises
    ------
    UserError
        If it cannot be read, or names nothing.
    """
    if source == "-":
        where, folder = "standard input", ""
        data = sys.stdin.buffer.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UserError(f"standard input is longer than {LARGEST:,} bytes: cut it")
    else:
        where, folder = f"{source}, a list of recordings,", os.path.dirname(source)
        data = read_bytes(Path(source), "a list of recordings", mend=MEND)
    text = data.decode("utf-8-sig", NOT_UTF8)
    if "\0" in text:
        raise UserError(f"{where} is no text in UTF-8: {MEND}")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    if "path" in _fields(lines[0]):
        rows = parse_csv(data, where, ("path",), NOT_UTF8, MEND)
        lines = [row["path"] for row in rows]
    paths = [os.path.join(folder, line) for line in lines if line.strip()]
    if not paths:
        raise UserError(f"{where} names no recording: {MEND}")
    return paths


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:  # as of a path with a line break of old Macs
        return []
