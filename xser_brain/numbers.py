"""Numbers that a user sets, checked where they are used."""

import math

from data_prep.errors import UserError


def number(
    name: str, value: object, least: float = 0.0, whole: bool = False, most=math.inf
) -> float | int:
    """Check a number, and return it as an int if it must be ``whole``, else as a float.

    ``least`` and ``most`` are the range that makes sense; the UserError has ``name``.

    Example
    -------
    >>> number("steps", 3.0, least=1, whole=True)
    3
    """
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    sound = sound and math.isfinite(value) and least <= value <= most
    if not sound or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        upper = "on" if most == math.inf else f"to {most:g}"
        raise UserError(f"{name} is {value!r}: set a {kind} from {least:g} {upper}")
    return int(value) if whole else float(value)
