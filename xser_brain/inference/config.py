"""``config.json`` of an exported model: plain data, of which nothing is believed.

A model may come from a stranger: every value that decides what is built is checked
against a range before it is used, so that a hostile file can neither name a class or a
file of its choice nor ask for more memory than a model of that kind may take.
"""

import hashlib
import json
from pathlib import Path

from data_prep.audio import SAMPLE_RATE
from data_prep.errors import UserError
from xser_brain.checks import (
    boolean,
    many,
    mapping,
    number,
    one_of,
    or_none,
    sha256,
    text,
    whole,
)
from xser_brain.checks import check as check_values
from xser_brain.encoders.families import find
from xser_brain.encoders.weights import FILES, INSIDE, LARGEST_CONFIG
from xser_brain.protocol.labels import MOST_LABELS, is_label

SCHEMA = 1
NAME = "config.json"
WEIGHTS = "model.safetensors"
ENCODER_FILES = tuple(f"{INSIDE}/{name}" for name in FILES)
MOST_MEMBERS = 100  # of an ensemble
LARGEST_FILE = 2**34  # bytes; XLS-R 2B takes half of it
LONGEST_LICENCE = 200  # characters that are kept of what a corpus says of it

_labels = many(is_label, MOST_LABELS, least=2)
_percent = number(0, 100)
_interval = many(_percent, 2, least=2)
_family = text(r"[\w.<>]{1,200}")
_licence = text(rf"[^\n\r\ud800-\udfff]{{0,{LONGEST_LICENCE}}}")
_name, _language = text(r"[\w.-]{1,100}"), text(r"[A-Za-z-]{1,20}")
CALIBRATED = [
    (part, when) for part in ("valid", "target") for when in ("before", "after")
]


def are_labels(value: object) -> bool:
    """Whether this can be a model's labels: 2 to 64 different short names.

    Arguments
    ---------
    value : object
        What a file says.

    Returns
    -------
    bool

    Example
    -------
    >>> are_labels(["low", "high"]), are_labels(["low", "low"]), are_labels(["low"])
    (True, False, False)
    """
    return _labels(value) and len(set(value)) == len(value)


def _intervals(value: object) -> bool:
    return mapping(value) and all(
        _interval(value.get(name)) for name in ("uar", "macro_f1")
    )


def _licences(value: object) -> bool:
    """By corpus; one line each."""
    return (
        mapping(value)
        and len(value) <= 100
        and all(_name(name) and _licence(held) for name, held in value.items())
    )


PARTS = {
    "schema": one_of(SCHEMA),
    "labels": are_labels,
    "sample_rate": one_of(SAMPLE_RATE),
    "projection": whole(0, 2**14),
    "statistics": boolean,
    "calibration": {
        "temperature": number(1e-3, 1e3),
        "threshold": number(0, 1),
        **{f"ece_{part}_{when}": _percent for part, when in CALIBRATED},
    },
    # What is shown to people.
    "training": {
        "system": _name,
        "seed": whole(0, 2**63),
        "corpora": many(_name, 100),
        "languages": many(_language, 100),
        "utterances": whole(0, 2**40),
        "speakers": whole(0, 2**40),
        "standin": boolean,
    },
    "result": {
        "protocol": one_of("zero-shot", "trained on the target"),
        "target": _name,
        "language": _language,
    },
}
_vectors = many(whole(0, 1000), 1000, least=1)
_takes = many(whole(0, 1000), 2, least=2)
HEAD = {"projection": whole(0, 2**14), "norm": boolean}
_hidden = whole(1, 2**14)


def _member(value: object) -> bool:
    """A head of an ensemble."""
    optional = {"vectors": _vectors, "hidden": _hidden}
    rules = {**HEAD, "takes": _takes, **optional}
    return (
        mapping(value)
        and set(rules) - set(optional) <= set(value) <= set(rules)
        and all(rules[name](part) for name, part in value.items())
        and value["takes"][1] > 0
    )


def _left_out(value: object) -> bool:
    """A language that was left out."""
    return (
        mapping(value)
        and set(value) == set(LEFT_OUT)
        and all(rule(value[name]) for name, rule in LEFT_OUT.items())
    )


# What only some models have.
OPTIONAL = {
    "norm": boolean,
    "hidden": _hidden,
    "vectors": _vectors,
    "members": many(_member, MOST_MEMBERS, least=1),
    "left_out": many(_left_out, 100),
}
# Scores of the same system on languages that were left out in turn; see the starter.
LEFT_OUT = {
    "target": _name,
    "language": _language,
    "utterances": whole(1, 2**40),
    "uar": _percent,
    "low": _percent,
    "high": _percent,
    "unit": one_of("speakers", "utterances"),
}
LICENCES = {"licences": _licences}  # of the training's corpora
FIGURES = {
    "n": whole(1, 2**40),
    "uar": _percent,
    "macro_f1": _percent,
    "ci95": or_none(_intervals),
    "ci95_speaker": or_none(_intervals),
}
FILE = {"sha256": sha256, "size": whole(1, LARGEST_FILE)}


def digest(config: dict) -> str:
    """Hash all of a configuration but the hash in it.

    Arguments
    ---------
    config : dict
        As in ``config.json``.

    Returns
    -------
    str
    """
    rest = {key: value for key, value in config.items() if key != "sha256"}
    data = json.dumps(rest, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(data.encode()).hexdigest()


def read(folder: Path) -> dict:
    """Read and check ``config.json``.

    Arguments
    ---------
    folder : Path
        The model's.

    Returns
    -------
    dict

    Raises
    ------
    UserError
        If it is missing, damaged, of another version, or holds a value out of range.
    """
    path = folder / NAME
    try:
        if not path.is_file():
            raise UserError(
                f"{folder} has no {NAME}: is it a folder that a run exported?"
            )
        with path.open("rb") as stream:
            data = stream.read(LARGEST_CONFIG + 1)
        if len(data) > LARGEST_CONFIG:
            raise _damaged(path, "it is too long")
        config = json.loads(data, parse_constant=_no_constant)
        if not isinstance(config, dict) or not config:
            raise _damaged(path, "it is not a model's")
        if config.get("schema") != SCHEMA and type(config.get("schema")) is int:
            raise UserError(
                f"{path} is of version {config['schema']!r:.20} and this program reads "
                f"version {SCHEMA}: install the xser-brain that wrote it"
            )
        if digest(config) != config.get("sha256"):
            raise _damaged(path, "it is not what was exported")
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    check(config, str(path))
    names = [WEIGHTS]
    if config["encoder"].get("included"):
        names += ENCODER_FILES
    check_values(config.get("files"), dict.fromkeys(names, FILE), f"{path}: files")
    return config


def check(config: dict, where: str) -> None:
    """Check what decides on the model that is built.

    Arguments
    ---------
    config : dict
        As in ``config.json``.
    where : str
        For the message.

    Raises
    ------
    UserError
        On the first value that is missing or out of range.
    """
    there = {name: rule for name, rule in OPTIONAL.items() if name in config}
    check_values(config, {**PARTS, **there}, where, ignore=True)
    if "licences" in config["training"]:
        check_values(config["training"], LICENCES, f"{where}: training", ignore=True)
    for part in ("test", "all"):
        figures = config["result"].get(part)
        if figures is not None:
            check_values(figures, FIGURES, f"{where}: result: {part}", ignore=True)
    encoder = config.get("encoder")
    family = encoder.get("family") if isinstance(encoder, dict) else None
    if not _family(family):
        raise UserError(f"{where}: encoder family {family!r:.50}: no encoder has it")
    try:
        found = find(family)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    found.check_description(encoder, f"{where}: encoder")


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged ({reason[:200]}): get the model again")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
