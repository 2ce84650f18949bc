"""A labelled table as a corpus: which column says what, and where its files lie.

One row is one recording. Columns are known by their usual names, whatever the case, or
named by option; names of files are matched to the disk in whatever Unicode form and with
whatever slashes they are written.
"""

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from data_prep import languages, outside
from data_prep.columns import COLUMNS
from data_prep.corpus import Rejected, Utterance
from data_prep.errors import UserError
from data_prep.exchange import SPLITS, Found, Table, below, names, place

logger = logging.getLogger(__name__)

REQUIRED = ("path", "emotion")
DELIMITERS = ",;\t|"
# What is written where a value is missing.
UNKNOWN = ("", "-", "?", "n/a", "na", "nan", "none", "null", "unknown")
PARTS = {
    **SPLITS,
    "training": "train",
    "validation": "valid",
    "val": "valid",
    "development": "valid",
    "testing": "test",
    "eval": "test",
}


def read(
    path: Path,
    delimiter: str = "",
    mend: str = "save it as CSV in UTF-8, or name its --delimiter",
) -> list[dict[str, str]]:
    """Read a table.

    Arguments
    ---------
    path : Path
        In UTF-8, with or without a byte order mark, and with a header.
    delimiter : str
        Between values; by default a comma, semicolon, tab or bar, whichever the header
        has.
    mend : str
        What to do about one that is no such table.

    Returns
    -------
    list of dict
        A row each.

    Raises
    ------
    UserError
        If it is no such table, or has no row.
    """
    delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
    if len(delimiter) > 1 or delimiter in ('"', "\n", "\r"):
        raise UserError(f"--delimiter={delimiter} is no delimiter: pass one character")
    rows = outside.read_csv(
        path,
        "a labelled table",
        (),
        mend=mend,
        delimiters=delimiter or DELIMITERS,
    )
    if not rows:
        raise UserError(f"{path} holds no row: a header and one row a file are needed")
    return rows


def choose(
    header: Sequence[str],
    given: Mapping[str, str],
    where: object,
    mend: str = "name it by --{}_column",
) -> dict[str, str]:
    """Tell which column says what.

    Arguments
    ---------
    header : sequence of str
        The columns there are.
    given : mapping
        Columns by the keys of ``columns.COLUMNS``, where their names do not tell.
    where : object
        The table, for messages.
    mend : str
        What to do where no name tells, with a place for the key.

    Returns
    -------
    dict of str to str
        Key of ``columns.COLUMNS`` to column, of those that there are.

    Raises
    ------
    UserError
        If there is no such column, or none for the path or the emotion.

    Example
    -------
    >>> choose(["File Name", "Label", "actor"], {}, "x.csv")
    {'path': 'File Name', 'emotion': 'Label', 'speaker': 'actor'}
    """
    there = f"there are {', '.join(header)}"
    free = {_plain(name): name for name in header if name not in given.values()}
    chosen = {}
    for key, usual in COLUMNS.items():
        column = given.get(key)
        if column and column not in header:
            raise UserError(
                f"{where} has no column {column!r}, which --{key}_column names: {there}"
            )
        column = column or next((free[name] for name in usual if name in free), None)
        if column:
            chosen[key] = column
        elif key in REQUIRED:
            raise UserError(
                f"{where} has no column that is known to hold the {key}: "
                f"{mend.format(key)}; {there}"
            )
    return chosen


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


class Disk:
    """The files below a folder, found by names as a table writes them.

    Arguments
    ---------
    base : Path
        The folder, from which relative paths go.
    """

    def __init__(self, base: Path):
        self.base = os.path.abspath(base)
        self._listed: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str:
        """A file as the disk has it; empty if there is none.

        Arguments
        ---------
        name : str
            Its path; slashes may be backslashes, letters composed or not.

        Returns
        -------
        str
            Relative, if the name was.
        """
        slashed = name.replace("\\", "/")
        for written in (name, slashed):
            if os.path.isfile(os.path.join(self.base, written)):
                return written
        here, parts = "", PurePosixPath(slashed).parts
        for part in parts:
            if part != "/":
                part = self._names(here).get(unicodedata.normalize("NFC", part), "")
            if not part:
                return ""
            here = os.path.join(here, part)
        return here if os.path.isfile(os.path.join(self.base, here)) else ""

    def _names(self, folder: str) -> dict[str, str]:
        """What a folder holds, by composed name."""
        if folder not in self._listed:
            try:
                found = sorted(os.listdir(os.path.join(self.base, folder)))
            except (OSError, ValueError):
                found = []
            composed = {unicodedata.normalize("NFC", name): name for name in found}
            self._listed[folder] = composed
        return self._listed[folder]


def locate(
    files: Iterable[str], bases: Sequence[Path], data_root: Path | None, where: object
) -> tuple[Path, dict[str, str]]:
    """Find the files of a table, and the corpus' folder that they lie in.

    Arguments
    ---------
    files : iterable of str
        As the table writes them.
    bases : sequence of Path
        Where its paths may go from: the first counts below which most of them are.
    data_root : Path, optional
        What the corpus' folder must lie in; by default what holds that base.
    where : object
        The table, for messages.

    Returns
    -------
    folder : Path
        The corpus' folder, right in ``data_root``.
    paths : dict of str to str
        Each file's path below it; empty if it leads elsewhere. It need not exist.

    Raises
    ------
    UserError
        If none of the files is there, or no such folder holds them all.
    """
    files = list(dict.fromkeys(files))
    disks = [Disk(base) for base in dict.fromkeys(map(os.path.abspath, bases))]
    found = [{name: disk.find(name) for name in files} for disk in disks]
    counts = [sum(map(bool, paths.values())) for paths in found]
    if not any(counts):
        raise UserError(
            f"none of the {len(files)} files of {where} is there, as {files[0]}, from "
            f"{' or '.join(disk.base for disk in disks)}: pass the --data_folder that its "
            "paths go from"
        )
    best = counts.index(max(counts))
    base = Path(disks[best].base)
    home = Path(os.path.abspath(data_root)) if data_root else base
    paths = {}
    for name, path in found[best].items():
        file = os.path.normpath(base / (path or name.replace("\\", "/")))
        paths[name] = below(home, file)
    if not any(paths.values()):
        raise UserError(
            f"the files of {where} lie in {base}, and not below {home}: pass the "
            "--data_root that holds them"
        )
    if data_root:
        tops = sorted({_top(path) for path in paths.values() if path})
        if tops[1:] or not tops[0]:
            raise UserError(
                f"the files of {where} lie in {home}/{{{','.join(tops[:3])}}}, and those "
                f"of a corpus in one folder: pass --data_root={home.parent}, here and in "
                "recipes"
            )
        home /= tops[0]
        paths = {name: path.partition("/")[2] for name, path in paths.items()}
    return home, paths


def _top(path: str) -> str:
    """The folder that a path starts with."""
    return path.partition("/")[0] if "/" in path else ""


def understand(
    rows: Sequence[Mapping[str, str]],
    columns: Mapping[str, str],
    paths: Mapping[str, str],
    where: object,
) -> dict[str, Table]:
    """Make utterances of a table's rows.

    Arguments
    ---------
    rows : sequence of mapping
        Texts by column.
    columns : mapping
        From ``choose``.
    paths : mapping
        From ``locate``.
    where : object
        The table, for messages.

    Returns
    -------
    dict of str to Table
        By the column of the corpus; of all rows, by "", if there is none.

    Raises
    ------
    UserError
        If it calls one file by two emotions.
    """
    if len(columns) > len(REQUIRED):
        chosen = ", ".join(f"{key} = {name}" for key, name in columns.items())
        logger.info("%s, columns: %s", where, chosen)
    called = names([path for path in paths.values() if path])
    tables: dict[str, Table] = {}
    seen: dict[str, str] = {}
    contradicted = []
    odd_parts: Counter = Counter()
    for row in rows:
        said = {key: row[name].strip() for key, name in columns.items()}
        table = tables.setdefault(said.get("corpus", ""), Table())
        file, emotion = row[columns["path"]], said["emotion"]
        path = paths.get(file, "")
        if not path or emotion.lower() in UNKNOWN:
            why = "no emotion" if path else "lies outside the corpus' folder"
            table.rejected.append(Rejected(file, why))
            continue
        if seen.setdefault(path, emotion) != emotion:
            contradicted.append(f"{path} is {seen[path]} and {emotion}")
            continue
        if path in called:
            name = called.pop(path)
        else:
            table.rejected.append(Rejected(file, "a second row of the same file"))
            continue
        part = said.get("split", "")
        if part and part.lower() not in PARTS:
            odd_parts[part] += 1
        speaker = said.get("speaker", "")
        language = said.get("language", "")
        utterance = Utterance(
            id=name,
            path=path,
            speaker="" if speaker.lower() in UNKNOWN else speaker,
            emotion=emotion,
            split=PARTS.get(part.lower(), ""),
            gender=said.get("gender", ""),
            text=said.get("text", ""),
        )
        table.found.append(
            Found(
                place(utterance),
                languages.code(language) or language,
                licence=said.get("licence", ""),
            )
        )
    if contradicted:
        raise UserError(
            f"{where} gives {len(contradicted)} file(s) two emotions, as "
            f"{contradicted[0]}: keep one row a file"
        )
    if odd_parts:
        logger.warning(
            "%s: %d rows of unknown parts (%s) count as of none: use train, valid and test",
            where,
            odd_parts.total(),
            ", ".join(sorted(odd_parts)[:5]),
        )
    return tables
