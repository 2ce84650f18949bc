"""Recipe YAML: HyperPyYAML with shared pieces, overrides, and no silent typo.

A recipe and the pieces that it includes become one tree, which plain HyperPyYAML reads
(``hyperparams.yaml`` in a run's folder is that tree: ``load_hyperpyyaml(open(...))``).
Three things are added on the way:

* ``$key`` in the path of an ``!include:`` stands for the value of that key, so that
  ``--encoder=whisper`` picks a piece; a path into ``common/`` that is not there is that of
  the installed recipes. The piece of the system, ``run.system``, is included as the
  block ``system``.
* What is indented below an ``!include:``, or given on the command line, replaces values
  at any depth (``--objectives.supcon.temperature=0.2``), objects with their class
  (``optimizer: !name:torch.optim.SGD``) among them. A key of a block can be
  given without its block as long as only one block has it (``--learning_rate=0.01``).
* ``!ref <key>`` in a piece is a key of that piece; ``<training[steps]>`` and the like, of
  a block of the recipe.
"""

import difflib
import io
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from data_prep.errors import UserError
from data_prep.outside import printable
from xser_brain.protocol.system import System
from xser_brain.recipes import (
    find_piece,
    folder,
    full_path,
    is_file,
    is_own,
    pieces_beside,
)
from xser_brain.yaml_text import parse_yaml, read_yaml

INCLUDE = "!include:"
VERBOSE = "--verbose"  # a key that needs no value
DEMO_PIECE = Path("../../common/demo.yaml")
SYSTEMS = Path("../../common/systems")
# What a recipe holds beside keys of its own that it refers to, and blocks of its own.
KEYS = ("source", "non_target", "target", "corpora", "encoder")
BLOCKS = ("run", "training", "objectives", "model", "adapt", "system")


def _read(path: Path) -> CommentedMap:
    mend = "pass the path of a YAML file, or one that `xser recipes list` shows"
    if not is_file(path):
        raise UserError(f"no recipe {path}: {mend}")
    return read_yaml(path, "a recipe", mend)


def _tag(node: object) -> str:
    """The tag of a node, or ""."""
    return getattr(getattr(node, "tag", None), "value", None) or ""


def _located(recipe: Path, name: str | Path) -> Path:
    """A path in a recipe: from its folder, or of the installed recipes."""
    return find_piece(full_path(name, recipe.parent))


def _included_path(node: object, tree: Mapping, recipe: Path) -> Path | None:
    """The file that a node includes, with ``$key`` filled in."""
    if not _tag(node).startswith(INCLUDE):
        return None
    pattern = _tag(node).removeprefix(INCLUDE)
    key = "".join(re.findall(r"\$(\w+)", pattern))
    value = str(tree.get(key))
    if key and is_file_name(value):
        path = full_path(value)
    else:
        path = _located(recipe, pattern.replace(f"${key}", value))
    if not is_file(path):
        raise UserError(
            f"{recipe}: no piece {path}"
            + (
                f": unknown {key} {path.stem!r}, there are: {_there(path)}"
                if key
                else ""
            )
        )
    return path


def _there(path: Path) -> str:
    return ", ".join(pieces_beside(path))


def is_file_name(name: str) -> bool:
    """Whether a piece is named by the path of a YAML file of one's own."""
    return name.endswith((".yaml", ".yml")) or "/" in name


def system_path(name: str, recipe: Path | None = None) -> Path:
    """The YAML file of a system: a piece of ``common/systems``, or a path.

    ``recipe`` is the one whose ``common`` is searched first; by default the installed
    one.
    """
    if is_file_name(name):
        path = full_path(name)
        if not is_file(path):
            raise UserError(f"no system {path}: pass the path of a YAML file")
        return path
    if recipe is None:
        path = folder() / "common/systems" / f"{name}.yaml"
    else:
        path = _located(recipe, SYSTEMS / f"{name}.yaml")
    if not is_file(path):
        raise UserError(
            f"unknown system {name!r}: use one of {_there(path)}, or the path of a YAML "
            "file of your own, as mysystem.yaml"
        )
    return path


def _scalars(node: object) -> Iterator[TaggedScalar]:
    """All tagged scalars of a tree."""
    if isinstance(node, TaggedScalar):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _scalars(value)
    elif isinstance(node, CommentedSeq):
        for value in node:
            yield from _scalars(value)


def _built(node: object) -> Iterator[str]:
    """The tags of a tree that name what is built, as ``!new:...``."""
    if _tag(node).startswith(("!new:", "!name:", "!apply:")):
        yield _tag(node)
    if isinstance(node, Mapping | CommentedSeq):
        for value in node.values() if isinstance(node, Mapping) else node:
            yield from _built(value)


def _localise(node: object, block: str, keys: Mapping, folder: Path) -> None:
    """Make what a piece refers to hold in the recipe's tree."""

    def local(match: re.Match) -> str:
        name = match[1]
        return f"<{block}[{name}]" if name in keys and name not in BLOCKS else match[0]

    for scalar in _scalars(node):
        tag = _tag(scalar)
        if tag in ("!ref", "!copy"):
            scalar.value = re.sub(r"<(\w+)", local, scalar.value)
        elif tag.startswith(INCLUDE):
            path = full_path(tag.removeprefix(INCLUDE), folder)
            scalar.yaml_set_ctag(ruamel.yaml.tag.Tag(suffix=f"{INCLUDE}{path}"))


def _opened(block: CommentedMap, key: str) -> object:
    """A value of a block; an object that is named without arguments can be given some."""
    node = block.get(key)
    bare = isinstance(node, TaggedScalar) and not node.value
    if bare and _tag(node).startswith(("!new:", "!name:")):
        block[key] = CommentedMap()
        block[key].yaml_set_ctag(node.tag)
    return block.get(key)


def _merge(base: CommentedMap, changes: Mapping, where: object) -> None:
    """Replace values of a block; only what is an object or a mapping may be new."""
    for key, value in changes.items():
        nested = isinstance(value, Mapping)
        if key not in base and not (nested or _tag(value) or _tag(base)):
            raise _unknown(key, list(base), where)
        if nested and not _tag(value) and isinstance(_opened(base, key), Mapping):
            _merge(base[key], value, where)
        else:
            base[key] = value


def _include(path: Path, block: str, own: object) -> CommentedMap:
    """A piece, with what a recipe indents below its ``!include:``."""
    piece = _read(path)
    _localise(piece, block, piece, path.parent)
    if isinstance(own, Mapping):
        own = dict(own)
        _localise(CommentedMap(own), block, piece, path.parent)
        _merge(piece, own, path)
    return piece


def _demo(recipe: Path, overrides: dict) -> dict:
    """What ``--demo=True`` changes, below what else is given."""
    if overrides.get("demo") is not True:
        return overrides
    demo = _read(_located(recipe, DEMO_PIECE))
    encoder = overrides.get("encoder", demo.get("encoder"))
    extra = demo.pop("with_" + str(encoder), {})
    demo = {k: v for k, v in demo.items() if not k.startswith("with_")}
    return {**demo, **extra, **overrides}


@dataclass(frozen=True)
class Composed:
    """A recipe, its pieces and overrides put together.

    Arguments
    ---------
    tree : CommentedMap
        References not yet resolved.
    files : list of Path
        The recipe and the pieces that it includes.
    """

    tree: CommentedMap
    files: list[Path]

    @property
    def folders(self) -> list[Path]:
        """Of the recipe and its pieces: Python files there may be named."""
        return [path.parent for path in self.files]

    def foreign(self) -> list[Path]:
        """What is none of the package's recipes and pieces, and so unknown code."""
        tags = (_tag(scalar) for scalar in _scalars(self.tree))
        inner = [
            Path(tag.removeprefix(INCLUDE)) for tag in tags if tag.startswith(INCLUDE)
        ]
        files = dict.fromkeys([*self.files, *inner])
        return [path for path in files if not is_own(path)]

    def modules(self) -> list[str]:
        """The packages and modules whose classes are named, sorted."""
        return sorted({tag.split(":")[1].split(".")[0] for tag in _built(self.tree)})

    def text(self) -> str:
        """As plain HyperPyYAML, all references resolved; UserError if one fails."""
        stream = io.StringIO()
        ruamel.yaml.YAML().dump(self.tree, stream)
        try:
            return resolve_references(stream.getvalue()).read()
        except (ValueError, KeyError, TypeError, YAMLError, OSError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"the recipe cannot be resolved: {reason}") from error


def compose(
    recipe: str | Path,
    overrides: Mapping | None = None,
    system: System | None = None,
) -> Composed:
    """Put a recipe, its pieces and overrides together.

    Arguments
    ---------
    recipe : path
        The YAML file.
    overrides : mapping, optional
        Values that replace those of the recipe or of one of its pieces, by key or by a
        path with dots. With ``demo: True`` among them, those of
        ``recipes/common/demo.yaml`` come first.
    system : System, optional
        Instead of the one that the recipe names.

    Returns
    -------
    Composed

    Raises
    ------
    UserError
        On an unknown or ambiguous key (naming the nearest), a missing piece, or
        unsound YAML.
    """
    recipe, given = Path(recipe), dict(overrides or {})
    overrides = _demo(recipe, given)
    tree, files = _read(recipe), [recipe.resolve()]
    for key in [k for k in overrides if k in tree and not _is_block(tree[k])]:
        tree[key] = overrides.pop(key)
    for block, node in tree.items():
        path = _included_path(node, tree, recipe)
        if path:
            tree[block] = _include(path, block, node)
            files.append(path)
    if is_file_name(str(tree.get("encoder"))):
        tree["encoder"] = Path(str(tree["encoder"])).stem
    if system is not None:
        overrides["system"] = system.name
        tree["system"] = CommentedMap(system.definition())
    elif isinstance(tree.get("run"), Mapping):
        named = [key for key in ("system", "run.system") if key in overrides]
        if len(named) > 1:
            raise _twice(*named)
        name = overrides.pop(named[0]) if named else tree["run"].get("system")
        path = system_path(str(name), recipe)
        tree["run"]["system"] = path.stem
        tree["system"] = _include(path, "system", tree.get("system"))
        files.append(path)
    _refuse_unknown(tree, recipe)
    seen: dict[str, str] = {}
    for key, value in overrides.items():
        where = _override(tree, str(key), value, recipe)
        if key in given and seen.setdefault(where, key) != key:
            raise _twice(seen[where], key)
    return Composed(tree, files)


def _twice(one: str, other: str) -> UserError:
    return UserError(f"--{other} is given twice, as --{one} too: give it once")


def _is_block(node: object) -> bool:
    return isinstance(node, Mapping) or _tag(node).startswith(INCLUDE)


def _override(tree: CommentedMap, key: str, value: object, recipe: Path) -> str:
    """Set a key, alone or with the path to it, to a value; its whole path."""
    if "." in key:
        *path, name = key.split(".")
        blocks = [name for name in tree if isinstance(tree[name], Mapping)]
        homes = [
            ".".join([*above, *path])
            for above in ([], *([name] for name in blocks))
            if isinstance(_inside(tree, [*above, *path]), Mapping)
        ]
        if homes and homes[0] != ".".join(path) and len(homes) > 1:
            raise _ambiguous(key, homes, name)
        if not homes:
            raise _unknown(key, [*_paths(tree)], recipe)
        _merge(
            _inside(tree, homes[0].split(".")), {name: value}, f"{recipe}, {homes[0]}"
        )
        return f"{homes[0]}.{name}"
    homes = [
        block
        for block, node in tree.items()
        if isinstance(node, Mapping) and not _tag(node) and key in node
    ]
    if key in tree and not homes:
        _merge(tree, {key: value}, recipe)
        return key
    if not homes:
        known = [name for node in tree.values() if _is_block(node) for name in node]
        raise _unknown(key, [*tree, *known], recipe)
    if len(homes) > 1:
        raise _ambiguous(key, homes, key)
    _merge(tree[homes[0]], {key: value}, recipe)
    return f"{homes[0]}.{key}"


def _inside(tree: CommentedMap, path: Sequence[str]) -> object:
    """What is at the end of a path, None where there is nothing."""
    node = tree
    for part in path:
        node = _opened(node, part) if isinstance(node, Mapping) else None
    return node


def _ambiguous(key: str, homes: Sequence[str], name: str) -> UserError:
    return UserError(
        f"--{key} is ambiguous: {' and '.join(homes)} have it; give "
        f"{' or '.join(f'--{home}.{name}' for home in homes)}"
    )


def _paths(node: Mapping, above: str = "") -> Iterator[str]:
    """The paths with dots of all values."""
    for key, value in node.items():
        yield f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{above}{key}.")


def _refuse_unknown(tree: Mapping, recipe: Path) -> None:
    """Refuse a key of a recipe that nothing would ever read."""
    text = recipe.read_text(encoding="utf-8")
    for key, node in tree.items():
        name = re.escape(str(key))
        others = _scalars({name: tree[name] for name in tree if name != key})
        texts = [text, *(str(scalar.value) for scalar in others)]
        used = re.search(rf"<{name}[>\[]|\${name}\b", "\n".join(texts))
        if key in (*KEYS, *BLOCKS) or used:
            continue
        own = _is_block(node) or _tag(node)
        if own and not difflib.get_close_matches(key, BLOCKS):
            continue
        homes = [name for name in BLOCKS if key in tree.get(name, ())]
        if homes:
            raise UserError(
                f"{recipe}: {key!r} is a key of {homes[0]}: indent it below "
                f"`{homes[0]}:`"
            )
        inside = [key for name in BLOCKS for key in tree.get(name, ())]
        raise _unknown(key, [*KEYS, *BLOCKS, *inside], recipe)


def _unknown(key: str, known: list[str], where: object) -> UserError:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
    return UserError(f"{where}: unknown key {key!r}: {hint}")


def resolve(recipe: str | Path, overrides: Mapping | None = None) -> str:
    """Plain HyperPyYAML text of ``compose``, with all references resolved."""
    return compose(recipe, overrides).text()


def explain(recipe: str | Path) -> str:
    """The recipe and the pieces it includes, as they stand, for a help text."""
    recipe = Path(recipe)
    tree = _read(recipe)
    pieces = [_included_path(node, tree, recipe) for node in tree.values()]
    files = [recipe, *(path for path in pieces if path)]
    texts = [f"\n==> {path} <==\n{path.read_text(encoding='utf-8')}" for path in files]
    return (
        "Keys of this recipe, each of which can be given as --key=value, and those of "
        "objects\nas --block.object.key=value:\n" + "".join(texts)
    )


def load(text: str) -> dict:
    """Build the objects that YAML text of ``resolve`` names; UserError if one fails."""
    try:
        return load_hyperpyyaml(text)
    except (ValueError, TypeError, ImportError, AttributeError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the recipe cannot be built: {reason}") from error


def parse_arguments(argv: Sequence[str]) -> tuple:
    """Tell the recipe, SpeechBrain's run options and overrides of the recipe apart.

    SpeechBrain's own parser takes what begins like a run option for it (``--optimizer``
    for ``--optimizer_step_limit``), so it only gets to see what is one. ``argv`` is
    ``hparams/X.yaml [--key=value ...]``.
    """
    from speechbrain.utils.run_opts import RunOptions  # seconds, of torch

    known = {field.name for field in fields(RunOptions)} | {"help"}
    options, overrides, left = [], [], [*argv]
    for item in argv:
        _require_text(item)
    while left:
        item = left.pop(0)
        key, separator, value = item.removeprefix("--").partition("=")
        if not item.startswith("--") or key in known:
            options.append(item)
            continue
        if item == VERBOSE:
            value = "True"
        elif not separator and left and not left[0].startswith("--"):
            value = left.pop(0)
        overrides.append(f"{key}: {value}")
    recipe, run_opts, _ = RunOptions.from_command_line_args(options)
    return recipe, run_opts, parse_overrides("\n".join(overrides))


def _require_text(item: str) -> None:
    """Refuse what the locale cannot tell: YAML and paths would fail, each in its way."""
    try:
        item.encode()
    except UnicodeEncodeError as error:
        encoding = sys.getfilesystemencoding()
        mend = (
            "rename it"
            if encoding == "utf-8"
            else "set PYTHONUTF8=1 in the environment"
        )
        what = f"{printable(item)} cannot be read as {encoding}"
        raise UserError(f"{what}: {mend}") from error


def parse_overrides(text: str) -> dict:
    r"""Read overrides, one ``key: value`` a line.

    UserError if a line is not of that form, or a key is given twice.

    Example
    -------
    >>> parse_overrides("seed: 3\nnon_target: [esd, cafe]")
    {'seed': 3, 'non_target': ['esd', 'cafe']}
    """
    if not text.strip():
        return {}
    try:
        data = text.encode("utf-8", "surrogateescape")
        values = parse_yaml(data, "the command line", "the options")
    except UserError as error:
        if isinstance(error.__cause__, DuplicateKeyError):
            key = re.search(r'duplicate key "([^"]*)"', str(error.__cause__))
            told = f"--{key[1] if key else '...'} is given twice: give it once"
        else:
            told = f"cannot read the options ({text!r}): use --key=value"
        raise UserError(told) from error
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: object) -> object:
    """A value as Python has it, unless it is an object to be built."""
    if isinstance(value, CommentedSeq) and not _tag(value):
        return [_plain(item) for item in value]
    if isinstance(value, ruamel.yaml.scalarfloat.ScalarFloat):
        return float(value)
    if isinstance(value, ruamel.yaml.scalarint.ScalarInt):
        return int(value)
    if isinstance(value, ruamel.yaml.scalarbool.ScalarBoolean):
        return bool(value)
    return value
