"""Recipe YAML: HyperPyYAML with shared pieces, flat overrides, and no silent typo.

Two things are added to HyperPyYAML. ``$key`` in the path of an ``!include:`` stands
for the value of that key, so that ``--encoder=whisper`` picks a piece. And a key of an
included piece can be overridden as if it stood in the recipe itself
(``--learning_rate=0.01``), as long as only one piece has it.
"""

import difflib
import io
import re
from collections.abc import Mapping
from pathlib import Path

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.comments import CommentedMap, TaggedScalar
from ruamel.yaml.error import YAMLError

from data_prep.errors import UserError

INCLUDE = "!include:"
DEMO_PIECE = Path("../../common/demo.yaml")
# What a recipe holds beside keys of its own that it refers to.
KEYS = ("source", "non_target", "target", "corpora", "encoder")
PIECES = ("run", "training", "objectives", "model", "adapt")


def _read(path: Path) -> CommentedMap:
    try:
        tree = ruamel.yaml.YAML().load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"no recipe {path}: pass the path of a YAML file, as "
            "hparams/iemocap_to_emodb.yaml"
        ) from error
    except (YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} is not sound YAML: {reason}") from error
    if not isinstance(tree, CommentedMap):
        raise UserError(f"{path} holds no `key: value` lines: is it a recipe?")
    return tree


def _included_path(node, tree: Mapping, recipe: Path) -> Path | None:
    """The file that a node includes, with ``$key`` filled in."""
    tag = getattr(getattr(node, "tag", None), "value", None) or ""
    if not tag.startswith(INCLUDE):
        return None
    pattern = tag.removeprefix(INCLUDE)
    name = re.sub(r"\$(\w+)", lambda match: str(tree.get(match[1])), pattern)
    path = (recipe.parent / name).resolve()
    if not path.is_file():
        key = "".join(re.findall(r"\$(\w+)", pattern))
        there = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise UserError(
            f"{recipe}: no piece {path}"
            + (f": unknown {key} {path.stem!r}, there are: {there}" if key else "")
        )
    return path


def resolve(recipe: str | Path, overrides: Mapping | None = None) -> str:
    """Resolve a recipe's references, pieces and overrides to plain YAML text.

    Arguments
    ---------
    recipe : path
        The YAML file.
    overrides : mapping, optional
        Values that replace those of the recipe or of one of its pieces. With
        ``demo: True`` among them, those of
        ``recipes/common/demo.yaml`` come first.

    Returns
    -------
    str

    Raises
    ------
    UserError
        On an unknown or ambiguous key (naming the nearest), a missing piece, or
        unsound YAML.
    """
    recipe, overrides = Path(recipe), dict(overrides or {})
    tree = _read(recipe)
    if overrides.get("demo") is True:
        demo = _read(recipe.parent / DEMO_PIECE)
        encoder = overrides.get("encoder", demo.get("encoder"))
        extra = demo.pop("with_" + str(encoder), {})
        demo = {k: v for k, v in demo.items() if not k.startswith("with_")}
        overrides = {**demo, **extra, **overrides}
    tree.update({key: value for key, value in overrides.items() if key in tree})
    pieces, keys = {}, {}
    for name, node in tree.items():
        path = _included_path(node, tree, recipe)
        if path is None:
            continue
        pieces[name] = (path, dict(node) if isinstance(node, Mapping) else {})
        for key in _read(path):
            keys.setdefault(key, []).append(name)
        for key in pieces[name][1]:
            if name not in keys.get(key, ()):
                raise _unknown(key, [k for k in keys if name in keys[k]], path)
    _refuse_unknown(tree, keys, recipe)
    for key, value in overrides.items():
        if key in tree:
            continue
        homes = keys.get(key, [])
        if not homes:
            raise _unknown(key, [*tree, *keys], recipe)
        if len(homes) > 1:
            raise UserError(
                f"--{key} is ambiguous: {' and '.join(homes)} have it; set it in {recipe}"
            )
        pieces[homes[0]][1][key] = value
    for name, (path, values) in pieces.items():
        tree[name] = CommentedMap(values) if values else TaggedScalar("", style="")
        tree[name].yaml_set_ctag(ruamel.yaml.tag.Tag(suffix=f"{INCLUDE}{path}"))
    stream = io.StringIO()
    ruamel.yaml.YAML().dump(tree, stream)
    try:
        return resolve_references(stream.getvalue()).read()
    except (ValueError, KeyError, YAMLError, OSError) as error:
        raise UserError(f"{recipe}: {' '.join(str(error).split())}") from error


def _refuse_unknown(tree: Mapping, keys: Mapping, recipe: Path) -> None:
    """Refuse a key of a recipe that nothing would ever read."""
    text = recipe.read_text(encoding="utf-8")
    for key in tree:
        if key in (*KEYS, *PIECES) or re.search(rf"<{key}[>\[]|\${key}\b", text):
            continue
        if key in keys:
            raise UserError(
                f"{recipe}: {key!r} is a key of {keys[key][0]}: indent it below "
                f"`{keys[key][0]}:`"
            )
        raise _unknown(key, [*KEYS, *PIECES, *keys], recipe)


def _unknown(key: str, known: list[str], where: Path) -> UserError:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
    return UserError(f"{where}: unknown key {key!r}: {hint}")


def explain(recipe: str | Path) -> str:
    """The recipe and the pieces it includes, as they stand, for a help text.

    Arguments
    ---------
    recipe : path
        The YAML file.

    Returns
    -------
    str

    Raises
    ------
    UserError
        If the recipe or a piece is missing.
    """
    recipe = Path(recipe)
    tree = _read(recipe)
    pieces = [_included_path(node, tree, recipe) for node in tree.values()]
    files = [recipe, *(path for path in pieces if path)]
    texts = [f"\n==> {path} <==\n{path.read_text(encoding='utf-8')}" for path in files]
    return (
        "Keys of this recipe, each of which can be given as --key=value:\n"
        + "".join(texts)
    )


def load(text: str) -> dict:
    """Build the objects that resolved YAML text names.

    Arguments
    ---------
    text : str
        From ``resolve``.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        If something cannot be built.
    """
    try:
        return load_hyperpyyaml(text)
    except (ValueError, TypeError, ImportError, AttributeError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the recipe cannot be built: {reason}") from error


def parse_overrides(text: str) -> dict:
    r"""Read the overrides of a command line as SpeechBrain hands them on.

    Arguments
    ---------
    text : str
        One ``key: value`` a line.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        If a line is not of that form.

    Example
    -------
    >>> parse_overrides("seed: 3\nnon_target: [esd, cafe]")
    {'seed': 3, 'non_target': ['esd', 'cafe']}
    """
    if not text.strip():
        return {}
    try:
        values = ruamel.yaml.YAML(typ="safe").load(text)
    except YAMLError as error:
        raise UserError(
            f"cannot read the options ({text!r}): use --key=value"
        ) from error
    if not isinstance(values, dict):
        raise UserError(f"cannot read the options ({text!r}): use --key=value")
    return values
