"""Checks of plain data from untrusted files: is each value one we expect?"""

import re
from collections.abc import Callable, Mapping

from data_prep.errors import UserError

Check = Callable[[object], bool]


def number(least: float, most: float) -> Check:
    """An int or float in this range."""
    return lambda value: type(value) in (int, float) and least <= value <= most


def whole(least: int, most: int) -> Check:
    """An int in this range."""
    return lambda value: type(value) is int and least <= value <= most


def one_of(*values: object) -> Check:
    """One of these values, of the same type."""
    return lambda value: any(type(value) is type(v) and value == v for v in values)


def text(pattern: str) -> Check:
    """A string of which all matches the pattern."""
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value))


def many(check: Check, most: int, least: int = 0) -> Check:
    """A list of at least and at most so many values that pass another check."""
    return lambda value: (
        isinstance(value, list)
        and least <= len(value) <= most
        and all(map(check, value))
    )


def or_none(check: Check) -> Check:
    """None, or a value that passes another check."""
    return lambda value: value is None or check(value)


def mapping(value: object) -> bool:
    """Whether it is a mapping."""
    return isinstance(value, dict)


sha256 = text(r"[0-9a-f]{64}")
boolean = one_of(True, False)


def check(values: object, rules: Mapping, where: str, ignore: bool = False) -> None:
    """Check a mapping, and those in it.

    Arguments
    ---------
    values : object
        What was read.
    rules : mapping
        By key a check, or a mapping of rules for a mapping.
    where : str
        For the UserError on the first value that is missing or not allowed.
    ignore : bool
        Whether keys without a rule are allowed.

    Example
    -------
    >>> check({"width": -1}, {"width": whole(1, 100)}, "config.json")
    Traceback (most recent call last):
        ...
    data_prep.errors.UserError: config.json: width is -1, which no exported model has: \
get the model again
    """
    if not isinstance(values, dict):
        raise UserError(f"{where}: {values!r:.50} stands where a mapping belongs")
    if not ignore and (unknown := values.keys() - rules.keys()):
        raise UserError(f"{where}: unknown key {min(unknown)!r:.50}")
    for key, rule in rules.items():
        if isinstance(rule, Mapping):
            check(values.get(key), rule, f"{where}: {key}", ignore)
        elif key not in values or not rule(values[key]):
            found = repr(values[key])[:60] if key in values else "missing"
            raise UserError(
                f"{where}: {key} is {found}, which no exported model has: "
                "get the model again"
            )
