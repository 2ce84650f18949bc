"""What the paper's tables say, to stand beside the figures of runs."""

import csv
import io
from collections.abc import Iterable
from functools import cache
from importlib import resources

LABEL_SET = "paper"  # neutral, happy, angry and sad: what its figures are of


@cache
def paper_results() -> dict[tuple[str, str], dict[str, float | None]]:
    """The figures of the paper's Table 2 that are known, in percent.

    By (setting or ``average``, system).

    Example
    -------
    >>> paper_results()["EN-DE", "proposed"]
    {'uar': 94.64, 'macro_f1': 94.36}
    """
    return {
        (row["setting"], row["system"]): {
            name: float(row[name]) if row[name] else None
            for name in ("uar", "macro_f1")
        }
        for row in _packaged("paper_table2.csv")
    }


@cache
def paper_counts() -> dict[str, dict[str, int]]:
    """What the paper's Table 1 says of its settings.

    Example
    -------
    >>> paper_counts()["EN-DE"]
    {'train_utterances': 20165, 'train_speakers': 288}
    """
    return {
        row["setting"]: {
            name: int(row[name]) for name in ("train_utterances", "train_speakers")
        }
        for row in _packaged("paper_table1.csv")
    }


@cache
def paper_systems() -> tuple[str, ...]:
    """The systems of the paper's Table 2, in its order."""
    return tuple(dict.fromkeys(system for _, system in paper_results()))


def in_order(systems: Iterable[str]) -> list[str]:
    """The paper's systems in its order, then all others by name, each once."""
    names = set(systems)
    known = [name for name in paper_systems() if name in names]
    return known + sorted(names.difference(known))


def _packaged(name: str) -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))
