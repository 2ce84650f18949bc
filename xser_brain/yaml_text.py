"""YAML read as data: what it names is not built, and a small text stays small."""

import re
from pathlib import Path
from typing import Any

import ruamel.yaml
from ruamel.yaml.error import YAMLError

from data_prep.errors import UserError
from data_prep.outside import printable, read_bytes

LARGEST = 2**22  # bytes
MOST = 100_000  # values, where an alias counts as all that it stands for
DEEPEST = 50


def read_yaml(path: Path, what: str, mend: str, kind: str = "rt") -> dict:
    """Read a file of ``key: value`` lines.

    Arguments
    ---------
    path : Path
        The file.
    what : str
        What it should be, for the message, as ``a grid``.
    mend : str
        What to do about it, for the message.
    kind : str
        As ruamel.yaml's ``typ``: ``rt`` keeps tags and comments, ``safe`` refuses tags.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        If it cannot be read, is no YAML, holds no such lines, or too much.
    """
    data = read_bytes(path, what, LARGEST, mend)
    return parse_yaml(data, str(path), what, kind)


def parse_yaml(data: bytes, where: str, what: str, kind: str = "rt") -> dict:
    """Understand YAML; all else as for ``read_yaml``.

    Arguments
    ---------
    data : bytes
        UTF-8.
    where : str
        Where it stands, to begin the message with.
    what : str
        See ``read_yaml``.
    kind : str
        See ``read_yaml``.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        As ``read_yaml``.

    Example
    -------
    >>> parse_yaml(b"seeds: [1, 2]", "grid.yaml", "a grid", "safe")
    {'seeds': [1, 2]}
    """
    yaml = ruamel.yaml.YAML(typ=kind, pure=True)
    try:
        _require_shallow(data)
        tree = yaml.load(data.decode("utf-8-sig"))
        _require_small(tree)
    # YAML has dates, sets, and keys of any kind, each with errors of its own.
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = printable(" ".join(str(error).split()))[:300]
        raise UserError(f"{where} is not sound YAML: {reason}") from error
    except (RecursionError, AssertionError, NotImplementedError) as error:
        raise UserError(f"{where} is not sound YAML: too deep, or too odd") from error
    if not isinstance(tree, dict):
        raise UserError(f"{where} holds no `key: value` lines: is it {what}?")
    return tree


def _require_shallow(data: bytes) -> None:
    """Of brackets, before they are read: for each, ruamel.yaml looks at all around it."""
    depth = 0
    for match in re.finditer(rb"[][{}]", data):
        depth = depth + 1 if match[0] in b"[{" else max(0, depth - 1)
        if depth > 4 * DEEPEST:  # in comments and texts they need no partner
            raise ValueError("too deep")


def _require_small(tree: Any) -> None:
    left, count = [(tree, 0)], 0
    while left:
        node, depth = left.pop()
        count += 1
        if count > MOST or depth > DEEPEST:
            raise ValueError("too large, or too deep")
        if isinstance(node, dict):
            for key, value in node.items():
                if not isinstance(key, str | int | float | bool):
                    raise ValueError(f"{key!r:.50} is no name of a key")
                left.append((value, depth + 1))
        elif isinstance(node, list | tuple | set):
            left += [(value, depth + 1) for value in node]
