"""A new corpus: a file to fill in, which runs as it is, and its test."""

import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from data_prep import corpus
from data_prep.errors import UserError
from data_prep.manifest import write_atomic

ROOT = Path(__file__).resolve().parents[1]
PLACES = {
    "corpus.txt": "data_prep/corpora/{name}.py",
    "test.txt": "tests/data_prep/test_{name}.py",
}


def new(name: str, language: str = "", root: Path = ROOT) -> list[Path]:
    """Write a corpus' file and its test, to be filled in.

    Arguments
    ---------
    name : str
        The registry name to be.
    language : str
        ISO 639-1 code, if it is known already.
    root : Path
        The checkout of the project.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    UserError
        If the name cannot be used or is taken, or this is no checkout.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UserError(
            f"{name!r} cannot name a corpus: use small letters, digits and _, as emodb"
        )
    if not re.fullmatch(r"|[a-z]{2,3}", language):
        raise UserError(f"{language!r} is no language code: use ISO 639-1, as de")
    if name in corpus.registry():
        raise UserError(f"there is a corpus {name} already: choose another name")
    paths = {file: root / place.format(name=name) for file, place in PLACES.items()}
    for path in paths.values():
        if path.exists():
            raise UserError(
                f"{path} is there already: choose another name, or remove it"
            )
        if not path.parent.is_dir():
            raise UserError(
                f"{root} is no checkout of the project: clone it, `pip install -e .`, and "
                "run this again"
            )
    values = {
        "name": name,
        "title": name,
        "language": language or "xx",
        "language_todo": "" if language else "  # TODO the ISO 639-1 code",
    }
    templates = resources.files("data_prep") / "templates"
    for file, path in paths.items():
        template = Template((templates / file).read_text("utf-8"))
        write_atomic(path, template.substitute(values).encode())
    return list(paths.values())
