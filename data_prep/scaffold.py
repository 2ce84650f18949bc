"""A new corpus: a file to fill in, which runs as it is, and its test."""

import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from data_prep import corpus
from data_prep.corpora import VARIABLE, own_folder
from data_prep.errors import UserError
from data_prep.manifest import write_atomic

# Where a corpus says what its files are: in their names, in their folders, in a table.
LAYOUTS = {
    "name": {
        "files": "``s01/s01_anger_01.wav``",
        "example": "s01/s01_anger_01.wav",
        "what": "names are",
        "reason": "name does not fit the corpus",
    },
    "path": {
        "files": "``s01/anger/01.wav``",
        "example": "s01/anger/01.wav",
        "what": "paths are",
        "reason": "name does not fit the corpus",
    },
    "table": {
        "files": "``labels.csv`` and ``audio/s01_anger_01.wav``",
        "example": "labels.csv, and audio/s01_anger_01.wav",
        "what": "the table is",
        "reason": "not in labels.csv",
    },
}
ROOT = Path(__file__).resolve().parents[1]
PLACES = {
    "corpus.txt": "data_prep/corpora/{name}.py",
    "test.txt": "tests/data_prep/test_{name}.py",
}


def _paths(name: str, root: Path) -> dict[str, Path]:
    """Where a checkout has such files; elsewhere both go to the folder of one's own."""
    paths = {file: root / place.format(name=name) for file, place in PLACES.items()}
    if all(path.parent.is_dir() for path in paths.values()):
        return paths
    own = own_folder()
    if own is None:
        raise UserError(f"this account has no home: set {VARIABLE} to a folder")
    return {file: own / path.name for file, path in paths.items()}


def new(
    name: str, language: str = "", root: Path = ROOT, layout: str = "name"
) -> list[Path]:
    """Write a corpus' file and its test, to be filled in.

    Arguments
    ---------
    name : str
        The registry name to be.
    language : str
        ISO 639-1 code, if it is known already.
    root : Path
        The checkout of the project; if it is not one, the files go to ``own_folder``.
    layout : str
        One of ``LAYOUTS``: where the corpus says what its files are.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    UserError
        If the name cannot be used or is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} cannot name a corpus: use small letters, digits and _, as emodb"
        )
    if not re.fullmatch(r"|[a-z]{2,3}", language):
        raise UserError(f"{language!r} is no language code: use ISO 639-1, as de")
    if name in corpus.registry():
        raise UserError(f"there is a corpus {name} already: choose another name")
    paths = _paths(name, root)
    for path in paths.values():
        if path.exists():
            raise UserError(
                f"{path} is there already: choose another name, or remove it"
            )
    templates = resources.files("data_prep") / "templates"
    values = {
        **LAYOUTS[layout],
        **{
            part: (templates / f"{part}_{layout}.txt").read_text("utf-8").rstrip()
            for part in ("walk", "make")
        },
        "name": name,
        "title": name,
        "language": language or "xx",
        "language_todo": "" if language else "  # TODO the ISO 639-1 code",
    }
    for file, path in paths.items():
        template = Template((templates / file).read_text("utf-8"))
        write_atomic(path, template.substitute(values).encode())
    return list(paths.values())
