"""The recipes that come with the package: where they are, and how to copy them.

They are the folder ``recipes`` of the repository, which a wheel holds as
``xser_brain/recipes_data``. A recipe of one's own may be anywhere: a piece of
``common`` that it includes and that is not beside it is taken from here.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import ruamel.yaml

from data_prep.errors import UserError
from data_prep.manifest import write_atomic

COMMON = "common"
SUFFIXES = (".yaml", ".py", ".md", ".sh")


def folder() -> Path:
    """Where the recipes of the package are, installed or in a checkout."""
    here = Path(__file__).resolve().parent
    installed = here / "recipes_data"
    return installed if installed.is_dir() else here.parent / "recipes"


def is_file(path: Path) -> bool:
    """Whether there is such a file; of a name that no file can have, there is none."""
    return os.path.isfile(path)


def full_path(name: str | Path, start: Path = Path()) -> Path:
    """The whole path of a file that is named in a recipe, a grid or an option.

    Arguments
    ---------
    name : path
        ``~`` stands for the user's folder.
    start : Path
        Where a relative path goes from; by default the current folder.

    Returns
    -------
    Path
        Links are followed; it need not exist.

    Raises
    ------
    UserError
        If no file can have such a name.
    """
    try:
        return Path(os.path.realpath(start / os.path.expanduser(name)))
    except ValueError as error:
        raise UserError(f"{str(name)!r:.100} is no name of a file") from error


def is_own(path: Path) -> bool:
    """Whether a file is one of the package's recipes and pieces.

    Arguments
    ---------
    path : Path
        The file; links are followed.

    Returns
    -------
    bool

    Example
    -------
    >>> is_own(folder() / "common/run.yaml"), is_own(Path("/tmp/mine.yaml"))
    (True, False)
    """
    return path.resolve().is_relative_to(folder().resolve())


def find(path: str | Path, start: Path = Path()) -> Path:
    """Find a recipe or a grid: from ``start``, else among those of the package.

    Its ``.yaml`` may be left out. The path as given, if there is none.
    """
    for base in (start, folder()):
        for name in (path, f"{path}.yaml"):
            if is_file(base / name):
                return base / name
    return start / path


def find_piece(path: Path) -> Path:
    """The path of a piece: where a recipe has it, else in ``common`` of the package."""
    return next((place for place in _places(path) if is_file(place)), path)


def pieces_beside(path: Path) -> list[str]:
    """Names of the pieces that could replace one, as encoders an encoder."""
    places = (place.parent for place in _places(path))
    found = (place.glob("*.yaml") for place in places if os.path.isdir(place))
    return sorted({piece.stem for pieces in found for piece in pieces})


def _places(path: Path) -> list[Path]:
    parts = path.parts
    if COMMON not in parts:
        return [path]
    start = len(parts) - 1 - parts[::-1].index(COMMON)
    return [path, folder().joinpath(*parts[start:])]


def _files(top: Path) -> list[Path]:
    """Files of recipes below a folder; not the results of runs."""
    return sorted(
        path
        for path in top.rglob("*")
        if path.suffix in SUFFIXES and "results" not in path.relative_to(top).parts
    )


def listed() -> tuple[list[dict[str, str]], list[str]]:
    """The recipes that come with the package.

    Returns
    -------
    recipes : list of dict
        With the keys ``recipe`` (its path), ``source``, ``target`` and ``encoder``.
    grids : list of str
        Paths of grids.

    Example
    -------
    >>> recipes, grids = listed()
    >>> recipes[0]["recipe"], recipes[0]["source"], recipes[0]["target"]
    ('de_fr/hparams/emodb_to_cafe.yaml', 'emodb', 'cafe')
    >>> "paper.yaml" in grids
    True
    """
    top, recipes, grids = folder(), [], []
    for path in _files(top):
        name = path.relative_to(top)
        if path.suffix != ".yaml" or name.parts[0] == COMMON:
            continue
        tree = ruamel.yaml.YAML().load(path.read_text(encoding="utf-8"))
        if "target" not in tree:
            grids.append(name.as_posix())
            continue
        source = _names(tree, "source") or f"of {_names(tree, 'corpora')}"
        recipes.append(
            {
                "recipe": name.as_posix(),
                "source": source,
                "target": tree["target"],
                "encoder": tree["encoder"],
            }
        )
    return recipes, grids


def _names(tree: Mapping, key: str) -> str:
    value = tree.get(key) or ""
    return value if isinstance(value, str) else ",".join(value)


def copy(target: Path, chosen: Sequence[str] = ()) -> list[Path]:
    """Copy recipes to a folder, to be changed, and return what was written.

    ``chosen`` are files or folders of the recipes; a recipe's ``train.py`` and
    ``README.md`` come with it. By default all. UserError if there is no such recipe, or
    a file with another content is there already.
    """
    top = folder()
    files = _chosen(top, chosen) if chosen else _files(top)
    texts = {target / path.relative_to(top): path.read_bytes() for path in files}
    for path, text in list(texts.items()):
        if not path.exists():
            continue
        if not is_file(path) or path.read_bytes() != text:
            raise UserError(
                f"{path} is there already: copy to another folder, or remove it first"
            )
        del texts[path]
    for path, text in texts.items():
        write_atomic(path, text)
    return sorted(texts)


def _chosen(top: Path, names: Iterable[str]) -> set[Path]:
    files = set()
    for name in names:
        path = next(
            (p for p in (top / name, top / f"{name}.yaml") if p.exists()), top / name
        )
        if not path.exists() or not path.resolve().is_relative_to(top.resolve()):
            raise UserError(f"no recipe {name}: see `xser recipes list`")
        if path.is_dir():
            files.update(_files(path))
            continue
        files.add(path)
        if path.parent.name == "hparams":
            pair = path.parents[1]
            files.update((pair / "train.py", pair / "README.md"))
    return files
