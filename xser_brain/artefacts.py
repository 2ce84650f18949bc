"""What a run left in its folder, read back; the folder may come from a stranger.

Only files of the folder itself are read, and not what links lead to elsewhere. Values have
the types that a run writes, numbers are numbers, and texts hold nothing that would change
a terminal. What a run of an earlier version does not say is missing only to whoever asks.
"""

import math
import re
from pathlib import Path
from typing import Any

from data_prep.errors import UserError
from data_prep.outside import fit, inside, printable, read_csv, read_json

RUN, PREDICTIONS, IDENTITY = "run.json", "predictions.csv", "identity.json"
MEND = "delete it and train that run again"
NOTHING = type(None)
COLUMNS = ("ID", "speaker", "emotion", "predicted", "subset")
SHAPE = {
    "system": str,
    "seed": int,
    "setting": {
        "source": [str],
        "non_target": [str],
        "target": str,
        "languages?": {"train": [str], "target": str},
    },
    "encoder": {"name": str},
    "protocol_sha256": str,
    "zero_shot": bool,
    "target_test": dict,
    "target_all?": (dict, NOTHING),
    "standin?": (bool, int),
    "trains_on?": str,
    "objectives?": [str],
    "labels?": [str],
    "label_set?": str,
    "metrics?": {str: str},
    "purpose?": str,
    "hparams_sha256?": str,
    "manifest_sha256?": {str: str},
    "manifest_schema?": int,
    "options?": dict,
    "versions?": dict,
    "counts?": dict,
    "audit?": (dict, NOTHING),
    "valid?": {"step?": int},
    "layer_weights?": (list, NOTHING),
    "steps?": int,
    "seconds?": (float, NOTHING),
    "peak_memory_mb?": (float, NOTHING),
    "device?": str,
}
RESULT = {
    "n": int,
    "labels?": [str],
    "uar?": (float, NOTHING),
    "macro_f1?": (float, NOTHING),
    "confusion?": [[float]],
    "ci95?": (dict, NOTHING),
    "ci95_speaker?": (dict, NOTHING),
}
BEGUN = {
    "hparams": dict,
    "options": dict,
    "protocol": str,
    "seed?": int,
    "processes?": int,
    "audio?": {str: str},
}
SEEN = {"corpora": [str], "languages": [str]}
STAGES = ("training", "sampling", "normalisation", "model_selection", "evaluation")
TRAINS_ON = ("source", "all", "target", "everything")


class Record(dict):
    """A mapping in a run's record; to ask for what it lacks is a UserError."""

    def __init__(self, values: dict, where: str):
        super().__init__(values)
        self.where = where

    def __missing__(self, key: object):
        raise UserError(f"{self.where} says nothing of {key}: {MEND}")


def find_file(folder: Path, name: str) -> Path:
    """The path of a file of a run, which must lie in the run's folder.

    Arguments
    ---------
    folder : Path
        The run's.
    name : str
        Of the file; it need not exist.

    Returns
    -------
    Path

    Raises
    ------
    UserError
        If it is a link that leads elsewhere.
    """
    try:
        return inside(folder, name)
    except UserError as error:
        raise UserError(
            f"{folder / name} leads out of the folder of its run: {MEND}"
        ) from error


def part_of_path(name: str) -> str:
    """A name from a run's record as one part of a path, of which it can leave nothing.

    Arguments
    ---------
    name : str
        Of a corpus or an encoder.

    Returns
    -------
    str

    Raises
    ------
    UserError
        If it is none.

    Example
    -------
    >>> part_of_path("whisper")
    'whisper'
    >>> part_of_path("../x")
    Traceback (most recent call last):
        ...
    data_prep.errors.UserError: '../x' stands in a run.json as a name, and is none
    """
    if not name or len(name) > 200 or re.search(r"[/\\\0]|^\.", name):
        raise UserError(f"{name!r:.100} stands in a run.json as a name, and is none")
    return name


def read_run(folder: Path) -> Record:
    """Read ``run.json``.

    Arguments
    ---------
    folder : Path
        The run's.

    Returns
    -------
    Record

    Raises
    ------
    UserError
        If it is missing, damaged, or none that a run writes.
    """
    path = find_file(folder, RUN)
    values = read_json(path, "the record of a run", SHAPE, mend=MEND)
    try:
        _check_run(values)
    except ValueError as error:
        raise UserError(
            f"{path}, the record of a run, is damaged ({printable(error)}): {MEND}"
        ) from error
    return _record(values, f"{path}, the record of a run,")


def _check_run(run: dict) -> None:
    labels = run.get("labels", run["target_test"].get("labels"))
    fit(labels, [str], "labels")
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"labels are {labels!r:.50}")
    for part in ("target_test", "target_all"):
        result = run.get(part)
        if result is None:
            continue
        fit(result, RESULT, part)
        if result.get("labels", labels) != labels:
            raise ValueError(f"{part} has other labels")
        rows = result.get("confusion")
        if rows is not None and {len(rows), *map(len, rows)} != {len(labels)}:
            raise ValueError(f"{part}, confusion is not {len(labels)} by {len(labels)}")
        for unit in ("ci95", "ci95_speaker"):
            for name, bounds in (result.get(unit) or {}).items():
                if bounds is not None:
                    fit(bounds, [float], f"{part}, {unit}, {name}")
                    if len(bounds) != 2:
                        raise ValueError(f"{part}, {unit}, {name} is no interval")
        for name in run.get("metrics", ()):
            fit(result.get(name), (float, NOTHING), f"{part}, {name}")
    if run.get("trains_on", "all") not in TRAINS_ON:
        raise ValueError(f"trains_on is {run['trains_on']!r:.50}")
    if run.get("audit"):
        fit(run["audit"], dict.fromkeys(STAGES, SEEN), "audit")
    fit(run.get("layer_weights") or [], [float], "layer_weights")
    for name, count in run.get("counts", {}).items():
        fit(count, (int, dict), f"counts, {name}")
    _require_numbers(run)


def _require_numbers(value: Any, place: str = "it") -> None:
    """No infinity, and nothing that is not a number; the depth has been checked."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            _require_numbers(inner, str(key))
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place} is {value}")
    elif isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError(f"{place} is no number that a run writes")


def _record(value: Any, where: str) -> Any:
    """With texts that can be shown, and mappings that tell what they lack."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_record(item, where) for item in value]
    if isinstance(value, dict):
        items = value.items()
        return Record({printable(k): _record(v, where) for k, v in items}, where)
    return value


def read_predictions(folder: Path, labels: list[str]) -> list[dict[str, str]]:
    """Read ``predictions.csv``.

    Arguments
    ---------
    folder : Path
        The run's.
    labels : list of str
        The run's.

    Returns
    -------
    list of dict
        One an utterance, by column.

    Raises
    ------
    UserError
        If it is missing or damaged.
    """
    path = find_file(folder, PREDICTIONS)
    if not path.is_file():
        raise UserError(f"{path} is missing: train that run again")
    rows = read_csv(path, "the predictions of a run", COLUMNS, mend=MEND)
    rows = [{key: printable(value) for key, value in row.items()} for row in rows]
    for row in rows:
        known = row["emotion"] in labels and row["predicted"] in labels
        if not known or not row["ID"] or row["subset"] not in ("test", "rest"):
            shown = printable(row)[:200]
            raise UserError(f"{path} is damaged ({shown}): {MEND}")
    return rows


def read_identity(folder: Path) -> dict | None:
    """Read ``identity.json``: what a run was begun with.

    Arguments
    ---------
    folder : Path
        The run's.

    Returns
    -------
    dict or None
        As ``Spec.identity`` makes it; None if there is none.

    Raises
    ------
    UserError
        If it is damaged.
    """
    path = find_file(folder, IDENTITY)
    if not path.exists():
        return None
    return read_json(
        path,
        "what a run was begun with",
        BEGUN,
        mend=f"delete {folder} and train anew",
    )
