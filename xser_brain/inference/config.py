"""``config.json`` of an exported model: plain data, of which nothing is believed.

A model may come from a stranger: every value that decides what is built is checked
against a range before it is used, so that a hostile file can neither name a class or a
file of its choice nor ask for more memory than a model of that kind may take.
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

from data_prep.audio import SAMPLE_RATE
from data_prep.errors import UserError
from data_prep.manifest import EMOTIONS
from xser_brain.encoders.adapters import METHODS

SCHEMA = 1
NAME = "config.json"
WEIGHTS = "model.safetensors"
ENCODER_FILES = (
    "encoder/config.json",
    "encoder/preprocessor_config.json",
    "encoder/model.safetensors",
)
LARGEST_CONFIG = 2**20  # bytes
LARGEST_FILE = 2**34  # bytes; XLS-R 2B takes half of it
MODEL_TYPES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "whisper")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")

Check = Callable[[object], bool]


def _number(least: float, most: float) -> Check:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _whole(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def _one_of(*values: object) -> Check:
    return lambda value: any(type(value) is type(v) and value == v for v in values)


def _text(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value))


def _many(check: Check, most: int) -> Check:
    return lambda value: (
        isinstance(value, list) and len(value) <= most and all(map(check, value))
    )


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def is_source(value: object) -> bool:
    """Whether this can name an encoder: a hub name, or an absolute path.

    Arguments
    ---------
    value : object
        What a file says.

    Returns
    -------
    bool

    Example
    -------
    >>> [is_source(s) for s in ("openai/whisper-base", "/models/w", "../w", "a/b/c")]
    [True, True, False, False]
    """
    if not isinstance(value, str) or len(value) > 4096 or not value.isprintable():
        return False
    return Path(value).is_absolute() or bool(HUB_NAME.fullmatch(value))


_sha256 = _text(r"[0-9a-f]{64}")
_boolean = _one_of(True, False)
_percent = _number(0, 100)
_name, _language = _text(r"[\w.-]{1,100}"), _text(r"[A-Za-z-]{1,20}")
CALIBRATED = [
    (part, when) for part in ("valid", "target") for when in ("before", "after")
]


def _interval(value: object) -> bool:
    return _many(_percent, 2)(value) and len(value) == 2


ECAPA = {  # before its weights are made, their shapes are compared with those stored
    "width": _whole(1, 2**14),
    "n_mels": _whole(1, 2**10),
    "channels": _whole(1, 2**14),
    "attention_channels": _whole(1, 2**14),
}
PRETRAINED = {
    "adaptation": _one_of(*METHODS),
    "use_layers": _one_of("all", "last"),
    "lora_rank": _whole(1, 1024),
    "lora_alpha": _number(0, 1e6),
    "lora_targets": _many(_text(r"[\w.]{1,64}"), 16),
    "adapter_width": _whole(1, 4096),
    "adapted_layers": _or_none(_many(_whole(0, 100), 101)),
}
ENCODERS = {
    "ecapa": {"family": _one_of("ecapa"), "options": ECAPA},
    "pretrained": {
        "family": _one_of("pretrained"),
        "options": PRETRAINED,
        "model_type": _one_of(*MODEL_TYPES),
        "source": is_source,
        "revision": _or_none(_text(r"[\w.-]{1,100}")),
        "sha256": _sha256,
        "input": {
            "normalise": _or_none(_boolean),
            "n_fft": _or_none(_whole(1, 2**14)),
            "hop": _or_none(_whole(1, 2**14)),
            "mels": _or_none(_whole(1, 2**10)),
        },
        "included": _boolean,
    },
}
PARTS = {
    "schema": _one_of(SCHEMA),
    "labels": _one_of(list(EMOTIONS)),
    "sample_rate": _one_of(SAMPLE_RATE),
    "projection": _whole(0, 2**14),
    "statistics": _boolean,
    "calibration": {
        "temperature": _number(1e-3, 1e3),
        "threshold": _number(0, 1),
        **{f"ece_{part}_{when}": _percent for part, when in CALIBRATED},
    },
    # What is shown to people.
    "training": {
        "system": _name,
        "seed": _whole(0, 2**63),
        "corpora": _many(_name, 100),
        "languages": _many(_language, 100),
        "utterances": _whole(0, 2**40),
        "speakers": _whole(0, 2**40),
        "standin": _boolean,
    },
    "result": {
        "protocol": _one_of("zero-shot", "trained on the target"),
        "target": _name,
        "language": _language,
    },
}
FIGURES = {
    "n": _whole(1, 2**40),
    "uar": _percent,
    "macro_f1": _percent,
    "ci95": {"uar": _interval, "macro_f1": _interval},
}
FILE = {"sha256": _sha256, "size": _whole(1, LARGEST_FILE)}


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
    text = json.dumps(rest, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
            raise _damaged(path, "it is no model's")
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
    _check(config.get("files"), dict.fromkeys(names, FILE), f"{path}: files")
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
    _check(config, PARTS, where, ignore=True)
    for part in ("test", "all"):
        figures = config["result"].get(part)
        if figures is not None:
            _check(figures, FIGURES, f"{where}: result: {part}", ignore=True)
    encoder = config.get("encoder")
    family = encoder.get("family") if isinstance(encoder, dict) else None
    if not isinstance(family, str) or family not in ENCODERS:
        known = " or ".join(ENCODERS)
        raise UserError(f"{where}: encoder family {family!r:.50}: there is {known}")
    _check(encoder, ENCODERS[family], f"{where}: encoder")


def _check(values: object, rules: dict, where: str, ignore: bool = False) -> None:
    if not isinstance(values, dict):
        raise UserError(f"{where}: {values!r:.50} stands where a mapping belongs")
    if not ignore and (unknown := values.keys() - rules.keys()):
        raise UserError(f"{where}: unknown key {min(unknown)!r:.50}")
    for key, rule in rules.items():
        if isinstance(rule, dict):
            _check(values.get(key), rule, f"{where}: {key}", ignore=ignore)
        elif key not in values or not rule(values[key]):
            found = repr(values[key])[:60] if key in values else "missing"
            raise UserError(
                f"{where}: {key} is {found}, which no exported model has: "
                "get the model anew"
            )


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged ({reason[:200]}): get the model anew")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
